use std::io::Read;

use super::*;
use crate::archive::{Kind, Limits, TarReader, TarWriter};
use crate::digest::Digest;
use crate::dockerfile::Ignore;

/// A context of these files, whose content is their path.
fn context(dir: &std::path::Path, paths: &[&str]) -> Context {
    let mut context = Context::new(dir.to_owned());
    for (number, path) in (0..).zip(paths) {
        let (path, kind) = match path.split_once(" -> ") {
            Some((path, target)) => (path, ContextKind::Symlink(target.into())),
            None if path.ends_with('/') => (*path, ContextKind::Directory),
            None => (*path, ContextKind::File(path.len() as u64)),
        };
        let entry = ContextEntry { path: path.into(), kind: kind.clone(), mode: 0o644, uid: 7, gid: 8, mtime: 100 };
        context.add(number, entry).unwrap();
        if let ContextKind::File(size) = kind {
            context.receive(number, size, &mut path.as_bytes()).unwrap();
        }
    }
    context
}

fn selected(context: &Context, sources: &[&str], parents: bool, exclude: &[&str]) -> Result<Selection, crate::Error> {
    let sources: Vec<String> = sources.iter().map(|source| (*source).to_owned()).collect();
    let exclude: Vec<String> = exclude.iter().map(|source| (*source).to_owned()).collect();
    select(context, &sources, parents, &Ignore::of(&exclude).unwrap())
}

/// The entries of a layer: names, modes, owners, and contents.
fn entries(layer: &[u8]) -> Vec<String> {
    let mut tar = TarReader::new(layer, Limits::default());
    let mut found = Vec::new();
    while let Some(entry) = tar.next_entry().unwrap() {
        let mut content = String::new();
        tar.read_to_string(&mut content).unwrap();
        let path = String::from_utf8(entry.path.clone()).unwrap();
        let what = match &entry.kind {
            Kind::Symlink(target) | Kind::HardLink(target) => format!("-> {}", String::from_utf8_lossy(target)),
            _ => content,
        };
        found.push(format!("{path} {:o} {}:{} {what}", entry.mode, entry.uid, entry.gid).trim_end().to_owned());
    }
    found
}

fn layer(from: &Context, selection: &Selection, below: &Context, to: &CopyTo) -> Result<Vec<String>, crate::Error> {
    let mut out = Vec::new();
    write(from, selection, &[], below, to, &mut out)?;
    Ok(entries(&out))
}

fn to(destination: &str) -> CopyTo {
    CopyTo { destination: destination.to_owned(), owner: Some((0, 0)), ..CopyTo::default() }
}

#[test]
fn sources_are_files_directories_patterns_and_links() {
    let dir = tempfile::tempdir().unwrap();
    let own = context(dir.path(), &["a.txt", "b.txt", "d/x", "d/y/z", "l -> d", "out -> ../../etc"]);
    let names = |sources: &[&str]| -> Vec<String> {
        let selection = selected(&own, sources, false, &[]).unwrap();
        selection.paths().map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    };
    assert_eq!(names(&["a.txt"]), ["a.txt"]);
    assert_eq!(names(&["*.txt"]), ["a.txt", "b.txt"]);
    assert_eq!(names(&["none*"]), [""; 0]);
    assert_eq!(names(&["d"]), ["d", "d/x", "d/y", "d/y/z"]);
    assert_eq!(names(&["/l/y/../x"]), ["d/x"]);
    assert_eq!(names(&["../../../a.txt"]), ["a.txt"]);
    let error = selected(&own, &["missing"], false, &[]).unwrap_err().to_string();
    assert_eq!(error, "no such file or directory: /missing");
    // A link that leads out of the context leads to its root, where there is no such thing.
    assert!(selected(&own, &["out/passwd"], false, &[]).is_err());
    let without = selected(&own, &["d"], false, &["**/z", "x"]).unwrap();
    assert_eq!(without.paths().count(), 2);
}

#[test]
fn what_is_copied_lands_where_docker_puts_it() {
    let (from, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = context(from.path(), &["a", "d/x", "d/l -> x"]);
    let image = context(below.path(), &["app/", "lib -> usr/lib", "usr/lib/", "file"]);
    let copied = |sources: &[&str], destination: &str| {
        layer(&own, &selected(&own, sources, false, &[]).unwrap(), &image, &to(destination))
    };
    assert_eq!(copied(&["a"], "/new/name").unwrap(), ["new/ 755 0:0", "new/name 644 0:0 a"]);
    assert_eq!(copied(&["a"], "/new/").unwrap(), ["new/ 755 0:0", "new/a 644 0:0 a"]);
    assert_eq!(copied(&["a"], "/app").unwrap(), ["app/a 644 0:0 a"]);
    assert_eq!(copied(&["a"], "/lib/").unwrap(), ["usr/lib/a 644 0:0 a"]);
    assert_eq!(copied(&["d"], "/app").unwrap(), ["app/l 644 0:0 -> x", "app/x 644 0:0 d/x"]);
    assert_eq!(
        copied(&["a", "d"], "/n/").unwrap(),
        ["n/ 755 0:0", "n/a 644 0:0 a", "n/l 644 0:0 -> x", "n/x 644 0:0 d/x"]
    );
    assert!(copied(&["d"], "/file").unwrap_err().to_string().contains("not a directory"));
    let linked = CopyTo { link: true, ..to("/lib/") };
    let selection = selected(&own, &["a"], false, &[]).unwrap();
    assert_eq!(layer(&own, &selection, &image, &linked).unwrap(), ["lib/a 644 0:0 a"]);
}

#[test]
fn owners_modes_times_and_parents() {
    let (from, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let own = context(from.path(), &["x/y/z.txt", "x/y/w"]);
    let image = context(below.path(), &[]);
    let selection = selected(&own, &["x/y/*.txt"], true, &[]).unwrap();
    let with = CopyTo { owner: Some((5, 6)), chmod: Some(Chmod::parse("u+x,go=").unwrap()), ..to("/o/") };
    assert_eq!(
        layer(&own, &selection, &image, &with).unwrap(),
        ["o/ 755 5:6", "o/x/ 755 5:6", "o/x/y/ 755 5:6", "o/x/y/z.txt 700 5:6 x/y/z.txt"]
    );
    let pivoted = selected(&own, &["x/./y/w"], true, &[]).unwrap();
    assert_eq!(layer(&own, &pivoted, &image, &to("/")).unwrap(), ["y/ 755 0:0", "y/w 644 0:0 x/y/w"]);
    let kept = CopyTo { owner: None, ..to("/k") };
    let one = selected(&own, &["x/y/w"], false, &[]).unwrap();
    assert_eq!(layer(&own, &one, &image, &kept).unwrap(), ["k 644 7:8 x/y/w"]);
}

#[test]
fn modes_are_octal_or_symbolic() {
    for (text, mode, is_dir, expected) in [
        ("755", 0o600, false, 0o755),
        ("0644", 0o755, false, 0o644),
        ("u+x", 0o644, false, 0o744),
        ("+x", 0o644, false, 0o755),
        ("a=r", 0o777, false, 0o444),
        ("go-rwx,u=rwX", 0o644, true, 0o700),
        ("u=rwX", 0o044, false, 0o644),
        ("g=u", 0o640, false, 0o660),
        ("u+s", 0o755, false, 0o4755),
        ("+t", 0o755, true, 0o1755),
    ] {
        assert_eq!(Chmod::parse(text).unwrap().apply(mode, is_dir), expected, "{text}");
    }
    for bad in ["", "9", "77777", "u", "x+y", "u+rwz"] {
        assert!(Chmod::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn archives_are_unpacked_through_the_images_links_and_never_out() {
    let (from, below) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let image = context(below.path(), &["lib -> usr/lib", "usr/lib/", "etc -> /usr"]);
    let archive = |paths: &[(&str, Kind)]| {
        let mut tar = TarWriter::new(Vec::new());
        for (path, kind) in paths {
            let entry = crate::archive::Entry {
                path: path.as_bytes().to_vec(),
                kind: kind.clone(),
                mode: 0o755,
                uid: 1,
                gid: 2,
                mtime: (9, 0),
                xattrs: Vec::new(),
            };
            tar.entry(&entry).unwrap();
        }
        tar.finish().unwrap()
    };
    let added = |bytes: &[u8]| {
        let mut own = Context::new(from.path().to_owned());
        let kind = ContextKind::File(bytes.len() as u64);
        let entry = ContextEntry { path: b"t.tar".to_vec(), kind, mode: 0o644, uid: 0, gid: 0, mtime: 0 };
        own.add(0, entry).unwrap();
        own.receive(0, bytes.len() as u64, &mut &bytes[..]).unwrap();
        let selection = selected(&own, &["t.tar"], false, &[]).unwrap();
        let with = CopyTo { unpack: true, owner: None, ..to("/") };
        layer(&own, &selection, &image, &with)
    };
    let whole = archive(&[
        ("lib/a", Kind::File(0)),
        ("new/", Kind::Directory),
        ("new/b", Kind::HardLink(b"lib/a".to_vec())),
        ("new/out", Kind::Symlink(b"/../../etc".to_vec())),
    ]);
    assert_eq!(
        added(&whole).unwrap(),
        ["usr/lib/a 755 1:2", "new/ 755 1:2", "new/b 755 1:2 -> usr/lib/a", "new/out 755 1:2 -> /../../etc"]
    );
    for (hostile, part) in [
        (archive(&[("../x", Kind::File(0))]), "\"..\""),
        (archive(&[("disk", Kind::BlockDevice(8, 0))]), "device"),
        (archive(&[(".wh.etc", Kind::File(0))]), ".wh."),
    ] {
        let error = added(&hostile).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    // What is no archive is copied as it is.
    assert_eq!(added(b"plain").unwrap(), ["t.tar 644 0:0 plain"]);
    assert!(added(b"\xfd7zXZ\0 and more").unwrap_err().to_string().contains("xz archives"));
}

#[test]
fn keys_depend_on_names_modes_and_contents_but_not_on_times() {
    let key = |paths: &[&str], mtime: i64, mode: u32| {
        let dir = tempfile::tempdir().unwrap();
        let mut own = Context::new(dir.path().to_owned());
        for (number, path) in (0..).zip(paths) {
            let kind = ContextKind::File(path.len() as u64);
            own.add(number, ContextEntry { path: path.as_bytes().to_vec(), kind, mode, uid: 0, gid: 0, mtime })
                .unwrap();
            own.receive(number, path.len() as u64, &mut path.as_bytes()).unwrap();
        }
        let mut key = KeyWriter::new("copy");
        selected(&own, &["."], false, &[]).unwrap().describe(&own, &mut key).unwrap();
        key.finish()
    };
    let first = key(&["a", "b"], 1, 0o644);
    assert_eq!(first, key(&["b", "a"], 2, 0o644));
    assert_ne!(first, key(&["a"], 1, 0o644));
    assert_ne!(first, key(&["a", "b"], 1, 0o755));
    let joined = |parts: &[&str]| {
        let mut key = KeyWriter::new("x");
        key.list(parts);
        key.finish()
    };
    assert_ne!(joined(&["ab", "c"]), joined(&["a", "bc"]));
}

#[test]
fn a_context_refuses_what_is_no_tree_and_files_that_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut own = context(dir.path(), &["f", "d/"]);
    let mut add = |path: &str, kind: ContextKind| {
        own.add(9, ContextEntry { path: path.into(), kind, mode: 0, uid: 0, gid: 0, mtime: 0 }).unwrap_err().to_string()
    };
    assert!(add("../x", ContextKind::File(1)).contains("\"..\""));
    assert!(add("f/x", ContextKind::File(1)).contains("parent is no directory"));
    assert!(add("h", ContextKind::HardLink(b"none".to_vec())).contains("hard link"));
    own.set_digest(5, Digest::of(b"told"));
    assert!(own.receive(5, 3, &mut &b"lie"[..]).unwrap_err().to_string().contains("has changed"));
    assert!(own.receive(6, 9, &mut &b"short"[..]).is_err());
}
