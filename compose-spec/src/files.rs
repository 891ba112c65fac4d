//! How the loader reaches files: through its caller, so that loading stays a function of its arguments.

use std::fmt;
use std::path::{Component, Path, PathBuf};

/// Why a file that exists can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// Whether the path names a directory.
    pub is_directory: bool,
    /// The system's words.
    pub reason: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// The file system as the loader sees it.
pub trait Files {
    /// The bytes of a file; `None` when no file has that name.
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError>;

    /// The path without the symbolic links in it; `None` if it has none.
    fn resolved(&self, _path: &Path) -> Option<PathBuf> {
        None
    }

    /// The local file of what `include` or `extends` names elsewhere, such as `oci://…`; `None` if it names nothing of that kind.
    fn local(&self, _remote: &str) -> Option<Result<PathBuf, FileError>> {
        None
    }
}

/// Joins and cleans lexically (`a/./b/../c` is `a/c`), as Compose resolves relative paths.
pub fn join(base: &Path, path: &str) -> PathBuf {
    clean(&base.join(path))
}

/// Removes `.` and resolves `..` without looking at the file system.
pub fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out
}

/// `path` as seen from `base`, both absolute and clean.
pub fn relative(base: &Path, path: &Path) -> PathBuf {
    let shared = base.components().zip(path.components()).take_while(|(a, b)| a == b).count();
    let up = base.components().skip(shared).map(|_| Component::ParentDir);
    let found: PathBuf = up.chain(path.components().skip(shared)).collect();
    if found.as_os_str().is_empty() { ".".into() } else { found }
}

/// A path as text; bytes that are no UTF-8 are replaced, as they can't come from a Compose file.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths() {
        for (base, path, expected) in
            [("/a", "/a/b", "b"), ("/a/b", "/a/c", "../c"), ("/a", "/a", "."), ("/", "/x", "x")]
        {
            assert_eq!(relative(Path::new(base), Path::new(path)), PathBuf::from(expected));
        }
    }

    #[test]
    fn cleans_lexically() {
        for (given, expected) in
            [("/a/./b/../c", "/a/c"), ("/..", "/"), ("a/..", "."), ("../x", "../x"), ("/a//b/", "/a/b")]
        {
            assert_eq!(clean(Path::new(given)), PathBuf::from(expected), "{given}");
        }
    }
}
