//! Paths in containers as `cp` takes them. Pure.

/// `path` from the container's root, without `..`, double slashes and inner dots; what says "the directory itself" at its end,
/// a slash or a slash and a dot, stays.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let mut cleaned = [b"/".to_vec(), parts.join(&b'/')].concat();
    if path == b"." || path.ends_with(b"/.") {
        cleaned.extend_from_slice(if parts.is_empty() { b"." } else { b"/." });
    } else if path.ends_with(b"/") && !parts.is_empty() {
        cleaned.push(b'/');
    }
    cleaned
}

/// What the entries of an archive of a cleaned path begin with: its last component, `.` for what is in a directory.
pub fn archive_name(cleaned: &[u8]) -> Vec<u8> {
    let name = cleaned.strip_suffix(b"/").unwrap_or(cleaned);
    match name.rsplit(|&b| b == b'/').next() {
        None | Some(b"") => b".".to_vec(),
        Some(name) => name.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names() {
        for (path, cleaned, name) in [
            ("", "/", "."),
            ("/", "/", "."),
            ("/.", "/.", "."),
            ("etc/passwd", "/etc/passwd", "passwd"),
            ("/etc/", "/etc/", "etc"),
            ("/etc/.", "/etc/.", "."),
            ("/a//b/../c/./d", "/a/c/d", "d"),
            ("../../etc", "/etc", "etc"),
        ] {
            let found = clean(path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), cleaned, "{path}");
            assert_eq!(String::from_utf8_lossy(&archive_name(&found)), name, "{path}");
        }
    }
}
