//! Symbolic links, followed by text inside a tree that somebody can look into. Pure.

/// As many symlinks as Linux follows.
pub const SYMLINK_LIMIT: usize = 40;

/// Why a path leads nowhere.
#[derive(Debug)]
pub enum Stop<E> {
    /// Links that lead to each other, or too many of them.
    TooMany,
    /// It could not be looked at.
    Failed(E),
}

/// Where `path` leads when every link in it is followed inside the tree, as far as it exists: what is missing is appended as it
/// is. With `last`, a link at the end is followed too. `link` tells where what is at a path leads, if it is a link. Paths have no
/// slash at either end; nothing is above the tree's root.
///
/// # Errors
/// [`Stop`].
pub fn follow<E>(
    path: &[u8],
    last: bool,
    mut link: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<Vec<u8>, Stop<E>> {
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut todo: Vec<Vec<u8>> = Vec::new();
    let push = |todo: &mut Vec<Vec<u8>>, path: &[u8]| {
        todo.extend(path.rsplit(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec));
    };
    push(&mut todo, path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == b".." {
            done.pop();
            continue;
        }
        done.push(part);
        if todo.is_empty() && !last {
            break;
        }
        let Some(target) = link(&done.join(&b'/')).map_err(Stop::Failed)? else { continue };
        links += 1;
        if links > SYMLINK_LIMIT {
            return Err(Stop::TooMany);
        }
        if target.starts_with(b"/") {
            done.clear();
        } else {
            done.pop();
        }
        push(&mut todo, &target);
    }
    Ok(done.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(path: &str, last: bool) -> Option<String> {
        let link = |path: &[u8]| -> Result<Option<Vec<u8>>, ()> {
            Ok(match path {
                b"abs" => Some(b"/a/b".to_vec()),
                b"a/up" => Some(b"../../../c".to_vec()),
                b"loop" => Some(b"loop".to_vec()),
                _ => None,
            })
        };
        follow(path.as_bytes(), last, link).ok().map(|path| String::from_utf8(path).unwrap())
    }

    #[test]
    fn links_stay_inside() {
        assert_eq!(led("abs/./x/", true).as_deref(), Some("a/b/x"));
        assert_eq!(led("abs", false).as_deref(), Some("abs"));
        assert_eq!(led("a/up/y", true).as_deref(), Some("c/y"));
        assert_eq!(led("../../z", true).as_deref(), Some("z"));
        assert_eq!(led("loop", true), None);
        assert_eq!(led("loop", false).as_deref(), Some("loop"));
    }
}
