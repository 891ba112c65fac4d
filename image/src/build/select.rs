//! What a COPY takes from a tree.

use super::files::{Files, Seen, resolve};
use super::key::KeyWriter;
use crate::archive::Kind;
use crate::dockerfile::{Ignore, is_pattern, matches};
use crate::error::{Error, Result};

/// The deepest tree.
const DEPTH_LIMIT: usize = 256;
/// The most files of one COPY.
const FILE_LIMIT: usize = 2_000_000;

/// One source, and all that is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is called where it is put into a directory.
    pub name: Vec<u8>,
    /// With `--parents`, the directories that are kept.
    pub parents: Vec<u8>,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Its files, itself first: the path below it, the path in the tree, and what is there.
    pub(super) files: Vec<(Vec<u8>, Vec<u8>, Seen)>,
}

/// All that one COPY takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// In the order of the sources.
    pub items: Vec<Item>,
}

/// Finds what `sources` mean in `files`. Patterns that match nothing take nothing.
///
/// # Errors
/// [`Error::NoSuchPath`] for a source that isn't there, a malformed pattern, [`Error::LimitExceeded`].
pub fn select(files: &dyn Files, sources: &[String], parents: bool, exclude: &Ignore) -> Result<Selection> {
    let mut selection = Selection::default();
    let mut count = 0;
    for source in sources {
        let (pivot, wanted) = pivot(source, parents);
        for path in expand(files, wanted.as_bytes())? {
            let real = resolve(files, &path, true)?;
            let Some(seen) = files.look(&real)? else {
                return Err(Error::NoSuchPath { path: format!("/{}", wanted.trim_start_matches('/')) });
            };
            let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
            let kept = match parents {
                true => kept(&path, pivot),
                false => Vec::new(),
            };
            let is_dir = seen.is_dir();
            let excluded = |below: &[u8]| exclude.ignores(if below.is_empty() { &name } else { below });
            if !is_dir && !exclude.is_empty() && excluded(b"") {
                continue;
            }
            let mut item =
                Item { name: name.clone(), parents: kept, is_dir, files: vec![(Vec::new(), real.clone(), seen)] };
            if is_dir {
                walk(files, &real, &mut Vec::new(), exclude, &mut item, &mut count, 0)?;
            }
            selection.items.push(item);
        }
    }
    Ok(selection)
}

/// With `--parents`, `a/./b` keeps only what comes after the dot.
fn pivot(source: &str, parents: bool) -> (usize, String) {
    let trimmed = source.trim_start_matches('/').trim_start_matches("./");
    match trimmed.split_once("/./").filter(|_| parents) {
        Some((before, after)) => {
            let depth = before.split('/').filter(|part| !matches!(*part, "" | ".")).count();
            (depth, format!("{before}/{after}"))
        }
        None => (0, trimmed.to_owned()),
    }
}

/// The directories above `path`, without the first `skip` of them.
fn kept(path: &[u8], skip: usize) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let dirs = &parts[..parts.len().saturating_sub(1)];
    dirs.get(skip..).unwrap_or_default().join(&b'/')
}

/// The paths that a pattern means; a path without a pattern in it means itself.
fn expand(files: &dyn Files, pattern: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut clean: Vec<&[u8]> = Vec::new();
    for part in pattern.split(|&b| b == b'/') {
        match part {
            b"" | b"." => {}
            // Out of the tree leads nothing.
            b".." => drop(clean.pop()),
            name => clean.push(name),
        }
    }
    let mut found: Vec<Vec<u8>> = vec![Vec::new()];
    for part in clean {
        if !is_pattern(part) {
            found.iter_mut().for_each(|path| push(path, part));
            continue;
        }
        let mut next = Vec::new();
        for path in &found {
            let dir = resolve(files, path, true)?;
            for name in files.names(&dir)? {
                let matched = matches(part, &name);
                if matched.map_err(|reason| Error::Rootfs { path: shown(pattern), reason })? {
                    let mut path = path.clone();
                    push(&mut path, &name);
                    next.push(path);
                }
            }
        }
        found = next;
    }
    if found.len() > 1 || pattern.iter().any(|b| b"*?[".contains(b)) {
        // Behind a pattern, what isn't there is no match.
        let mut there = Vec::new();
        for path in found {
            if files.look(&resolve(files, &path, true)?)?.is_some() {
                there.push(path);
            }
        }
        return Ok(there);
    }
    Ok(found)
}

fn push(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn walk(
    files: &dyn Files,
    root: &[u8],
    below: &mut Vec<u8>,
    exclude: &Ignore,
    item: &mut Item,
    count: &mut usize,
    depth: usize,
) -> Result<()> {
    if depth > DEPTH_LIMIT {
        let reason = format!("it is deeper than {DEPTH_LIMIT} directories");
        return Err(Error::Rootfs { path: shown(below), reason });
    }
    let dir = join(root, below);
    for name in files.names(&dir)? {
        *count += 1;
        if *count > FILE_LIMIT {
            return Err(Error::LimitExceeded { what: "files of one COPY", limit: FILE_LIMIT as u64 });
        }
        let length = below.len();
        push(below, &name);
        let path = join(root, below);
        let ignored = !exclude.is_empty() && exclude.ignores(below);
        if let Some(seen) = files.look(&path)? {
            let is_dir = seen.is_dir();
            if !ignored {
                item.files.push((below.clone(), path, seen));
            }
            if is_dir && !(ignored && exclude.prunes(below)) {
                walk(files, root, below, exclude, item, count, depth + 1)?;
            }
        }
        below.truncate(length);
    }
    Ok(())
}

fn join(root: &[u8], below: &[u8]) -> Vec<u8> {
    match (root.is_empty(), below.is_empty()) {
        (true, _) => below.to_vec(),
        (_, true) => root.to_vec(),
        _ => [root, b"/", below].concat(),
    }
}

impl Selection {
    /// The paths in the tree of all that is taken.
    pub fn paths(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.items.iter().flat_map(|item| &item.files).map(|(_, path, _)| path)
    }

    /// Adds what is taken to a key: names, kinds, modes, owners and contents; times don't count, as in Docker.
    ///
    /// # Errors
    /// As [`Files::digest`].
    pub fn describe(&self, files: &dyn Files, key: &mut KeyWriter) -> Result<()> {
        for item in &self.items {
            key.field(&item.name).field(&item.parents);
            key.field([u8::from(item.is_dir)]);
            for (below, path, seen) in &item.files {
                key.field(below)
                    .field(seen.mode.to_le_bytes())
                    .field(seen.uid.to_le_bytes())
                    .field(seen.gid.to_le_bytes());
                match &seen.kind {
                    Kind::Directory => key.field("d"),
                    Kind::File(_) => key.field("f").field(files.digest(path)?.to_string()),
                    Kind::Symlink(target) => key.field("l").field(target),
                    Kind::HardLink(target) => key.field("h").field(target),
                    Kind::Fifo => key.field("p"),
                    Kind::CharDevice(major, minor) => key.field(format!("c{major}:{minor}")),
                    Kind::BlockDevice(major, minor) => key.field(format!("b{major}:{minor}")),
                };
                for (name, value) in &seen.xattrs {
                    key.field(name).field(value);
                }
            }
        }
        Ok(())
    }
}
