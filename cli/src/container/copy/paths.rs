//! What the ends of `cp` mean: Docker's rules of trailing slashes and dots, of directories and files. Pure.

/// One end of a copy, as far as it was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct End {
    /// As given, links followed where that was asked for.
    pub path: String,
    /// Something is there.
    pub exists: bool,
    /// It is a directory.
    pub is_dir: bool,
    /// What the source is called if a link has changed its last component.
    pub name: Option<String>,
}

/// Why a copy makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A directory cannot become a file.
    #[error("cannot copy directory")]
    DirectoryToFile,
    /// A file cannot become a directory.
    #[error("no such directory")]
    NoSuchDirectory,
}

/// Where to extract, and what the archive's first component is to be called instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// A directory.
    pub directory: String,
    /// From what to what.
    pub rename: Option<(String, String)>,
}

/// What a copy of `source` to `target` does.
pub fn plan(source: &End, target: &End) -> Result<Plan, Mismatch> {
    let (directory, base) = split(&target.path);
    let from = match &source.name {
        Some(name) => name.clone(),
        None => base_name(&source.path),
    };
    let rename = Some((if from == "/" { ".".into() } else { from }, base));
    match (target.exists, target.is_dir, source.is_dir) {
        (true, true, _) => Ok(Plan { directory: target.path.clone(), rename: None }),
        (true, false, true) => Err(Mismatch::DirectoryToFile),
        (false, _, false) if asserts_directory(&target.path) => Err(Mismatch::NoSuchDirectory),
        _ => Ok(Plan { directory, rename }),
    }
}

/// What the archive's first entry is called: `.` for what is in a directory.
pub fn base_name(path: &str) -> String {
    match split(path).1.as_str() {
        "/" => ".".into(),
        name => name.to_owned(),
    }
}

/// Whether a path says that it is a directory.
pub fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || is_current_directory(path)
}

/// Whether a path's last component is `.`.
pub fn is_current_directory(path: &str) -> bool {
    let trimmed = path.trim_end_matches('/');
    trimmed == "." || trimmed.ends_with("/.")
}

/// Directory and last component of a path, of which a final dot is one.
pub fn split(path: &str) -> (String, String) {
    let cleaned = clean(path);
    if is_current_directory(path) {
        return (cleaned, ".".into());
    }
    match cleaned.rsplit_once('/') {
        Some(("", "")) => ("/".into(), "/".into()),
        Some(("", name)) => ("/".into(), name.into()),
        Some((directory, name)) => (directory.into(), name.into()),
        None => (".".into(), cleaned),
    }
}

/// A path without `..`, double slashes and dots, as Go's `path.Clean` makes it.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            name => parts.push(name),
        }
    }
    match (rooted, parts.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".into(),
        (false, joined) => joined,
    }
}

/// `path` made absolute from `here`, with the slash or dot that it ends with.
pub fn absolute(here: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{here}/{path}") };
    let mut cleaned = clean(&joined);
    if is_current_directory(path) {
        cleaned.push_str(if cleaned == "/" { "." } else { "/." });
    } else if path.ends_with('/') && cleaned != "/" {
        cleaned.push('/');
    }
    cleaned
}

/// What a source is called whose path was followed through links to `resolved`.
pub fn followed(path: &str, resolved: &str) -> (String, Option<String>) {
    let mut resolved = resolved.to_owned();
    if is_current_directory(path) && !is_current_directory(&resolved) {
        resolved.push_str("/.");
    }
    if path.ends_with('/') && !resolved.ends_with('/') {
        resolved.push('/');
    }
    let name = base_name(path);
    let name = (name != base_name(&resolved)).then_some(name);
    (resolved, name)
}

/// `CONTAINER:PATH`; a path that begins with a slash or a dot is of this machine.
pub fn container_path(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['/', '.']) {
        return None;
    }
    text.split_once(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(path: &str, kind: &str) -> End {
        End { path: path.into(), exists: kind != "none", is_dir: kind == "dir", name: None }
    }

    #[test]
    fn dockers_table() {
        // docs.docker.com, "docker container cp": source, target, and what comes of it.
        type Expected<'a> = Result<(&'a str, Option<(&'a str, &'a str)>), Mismatch>;
        let table: [(&str, &str, &str, &str, Expected); 12] = [
            ("/s/f", "file", "/t/n", "none", Ok(("/t", Some(("f", "n"))))),
            ("/s/f", "file", "/t/n/", "none", Err(Mismatch::NoSuchDirectory)),
            ("/s/f", "file", "/t/n/.", "none", Err(Mismatch::NoSuchDirectory)),
            ("/s/f", "file", "/t/o", "file", Ok(("/t", Some(("f", "o"))))),
            ("/s/f", "file", "/t/d", "dir", Ok(("/t/d", None))),
            ("/s/d", "dir", "/t/n", "none", Ok(("/t", Some(("d", "n"))))),
            ("/s/d", "dir", "/t/n/", "none", Ok(("/t", Some(("d", "n"))))),
            ("/s/d", "dir", "/t/o", "file", Err(Mismatch::DirectoryToFile)),
            ("/s/d", "dir", "/t/d", "dir", Ok(("/t/d", None))),
            ("/s/d/.", "dir", "/t/d", "dir", Ok(("/t/d", None))),
            ("/s/d/.", "dir", "/t/n", "none", Ok(("/t", Some((".", "n"))))),
            ("/", "dir", "/t/n", "none", Ok(("/t", Some((".", "n"))))),
        ];
        for (source, kind, target, there, expected) in table {
            let found = plan(&end(source, kind), &end(target, there));
            let expected = expected.map(|(directory, rename)| Plan {
                directory: directory.into(),
                rename: rename.map(|(from, to)| (from.into(), to.into())),
            });
            assert_eq!(found, expected, "{source} {target}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(container_path("web:/etc"), Some(("web", "/etc")));
        assert_eq!(container_path("./web:/etc"), None);
        assert_eq!(container_path("/web:/etc"), None);
        assert_eq!(container_path("file"), None);
        assert_eq!(absolute("/here", "a/../b/"), "/here/b/");
        assert_eq!(absolute("/here", "."), "/here/.");
        assert_eq!(absolute("/", "."), "/.");
        assert_eq!(split("/a/b/."), ("/a/b".into(), ".".into()));
        assert_eq!(split("/a"), ("/".into(), "a".into()));
        assert_eq!(base_name("/a/b/"), "b");
        assert_eq!(followed("/a/link", "/x/real"), ("/x/real".into(), Some("link".into())));
        assert_eq!(followed("/a/link/", "/x/real"), ("/x/real/".into(), Some("link".into())));
        assert_eq!(followed("/a/b/.", "/a/b"), ("/a/b/.".into(), None));
    }
}
