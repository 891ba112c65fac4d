use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};

use super::*;
use crate::error::{Error, Result};

fn options(within: Within) -> ExtractOptions {
    ExtractOptions {
        owner: Owner::Kept(IdMap::default()),
        conflicts: Conflicts::Refused,
        keep_directories: false,
        within,
        rename: None,
    }
}

fn packed(root: &Path, path: &str, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    pack(&Root::open(root).unwrap(), path.as_bytes(), name.as_bytes(), &IdMap::default(), &mut out).unwrap();
    out
}

fn unpacked(archive: &[u8], root: &Path, at: &str, options: ExtractOptions) -> Result<Extracted> {
    extract(archive, &Root::open(root).unwrap(), at.as_bytes(), options)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("a/b")).unwrap();
    fs::create_dir(&to).unwrap();
    fs::write(from.join("a/file"), "content").unwrap();
    fs::hard_link(from.join("a/file"), from.join("a/b/same")).unwrap();
    symlink("../file", from.join("a/b/link")).unwrap();
    fs::set_permissions(from.join("a/file"), fs::Permissions::from_mode(0o4711)).unwrap();
    std::os::unix::fs::chown(from.join("a/b"), Some(7), Some(8)).unwrap();
    rustix::fs::setxattr(from.join("a/file"), "user.note", b"1", XattrFlags::empty()).unwrap();
    rustix::fs::mknodat(CWD, from.join("a/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(from.join("a/socket")).unwrap();

    let archive = packed(&from, "/a", "a");
    let done = unpacked(&archive, &to, "/", options(Within::Root)).unwrap();
    assert_eq!((done.bytes, done.entries), (7, 6));
    let file = fs::metadata(to.join("a/file")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.nlink()), (0o4711, 2));
    assert_eq!(fs::metadata(to.join("a/b")).unwrap().uid(), 7);
    assert_eq!(fs::read_link(to.join("a/b/link")).unwrap(), Path::new("../file"));
    let mut value = [0; 4];
    assert_eq!(rustix::fs::getxattr(to.join("a/file"), "user.note", &mut value[..]).unwrap(), 1);
    assert!(!to.join("a/socket").exists());

    // For a caller who trusts nobody: no set-user-id bit, his own files.
    let cautious =
        ExtractOptions { owner: Owner::Caller, rename: Some(("a".into(), "n".into())), ..options(Within::Directory) };
    unpacked(&archive, &to, "", cautious).unwrap();
    assert_eq!(fs::metadata(to.join("n/b/same")).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::metadata(to.join("n/b")).unwrap().uid(), 0);
}

#[test]
fn directories_and_files_do_not_replace_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("x")).unwrap();
    fs::create_dir_all(to.join("y")).unwrap();
    fs::write(from.join("y"), "").unwrap();
    fs::write(to.join("x"), "").unwrap();
    for name in ["x", "y"] {
        let error = unpacked(&packed(&from, name, name), &to, "", options(Within::Root)).unwrap_err();
        assert!(error.to_string().contains("cannot overwrite"), "{error}");
    }
    let replacing = ExtractOptions { conflicts: Conflicts::Replaced, ..options(Within::Root) };
    unpacked(&packed(&from, "x", "x"), &to, "", replacing).unwrap();
    assert!(to.join("x").is_dir());
    assert!(matches!(
        unpacked(&packed(&from, "x", "x"), &to, "none", options(Within::Root)),
        Err(Error::NoSuchPath { .. })
    ));
}

#[test]
fn links_lead_nowhere_but_below_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/secret"), "the container's").unwrap();
    fs::write(dir.path().join("secret"), "the host's").unwrap();
    symlink("/etc", root.join("absolute")).unwrap();
    symlink("../../../../etc", root.join("climbing")).unwrap();
    symlink(dir.path(), root.join("out")).unwrap();
    for path in ["absolute/secret", "climbing/secret"] {
        let archive = packed(&root, path, "s");
        assert!(archive.windows(15).any(|text| text == b"the container's"));
    }
    let open = Root::open(&root).unwrap();
    assert!(matches!(open.stat(b"out/secret"), Err(Error::NoSuchPath { .. })));
    assert_eq!(open.stat(b"absolute").unwrap().target.as_deref(), Some(&b"/etc"[..]));
    assert_eq!(open.stat(b"absolute/").unwrap().target, None);
    // Extraction through the same links.
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("new"), "").unwrap();
    unpacked(&packed(&from, "new", "climbing/new"), &root, "", options(Within::Root)).unwrap();
    assert!(root.join("etc/new").exists());
    let error = unpacked(&packed(&from, "new", "absolute/new"), &root, "", options(Within::Directory)).unwrap_err();
    assert!(error.to_string().contains("symlink"), "{error}");
    assert!(unpacked(&packed(&from, "new", "../new"), &root, "etc", options(Within::Root)).is_err());
}

/// CVE-2018-15664: a directory that is exchanged with a link to the host while it is copied into and out of.
#[test]
fn a_tree_that_changes_under_the_copy_gets_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    let outside = dir.path().join("outside");
    fs::create_dir_all(root.join("real")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "THE HOST'S SECRET").unwrap();
    fs::write(root.join("real/secret"), "its own").unwrap();
    symlink(&outside, root.join("link")).unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("planted"), "").unwrap();
    let planted = packed(&from, "planted", "planted");

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, root.join("real"), CWD, root.join("link"), exchange).unwrap();
            }
        });
        let open = Root::open(&root).unwrap();
        for _ in 0..400 {
            let mut out = Vec::new();
            if pack(&open, b"real/secret", b"s", &IdMap::default(), &mut out).is_ok() {
                assert!(!out.windows(8).any(|text| text == b"THE HOST"));
            }
            let _ = extract(planted.as_slice(), &open, b"real", options(Within::Root));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(!outside.join("planted").exists());
}

/// Two layers' worth of directories: what is below, and an upper directory as overlayfs leaves it.
fn overlay(dir: &Path) -> (PathBuf, PathBuf) {
    let (lower, upper) = (dir.join("lower"), dir.join("upper"));
    for path in ["etc", "gone/deep", "opaque/old", "same"] {
        fs::create_dir_all(lower.join(path)).unwrap();
    }
    for path in ["etc/passwd", "etc/touched", "opaque/kept", "file"] {
        fs::write(lower.join(path), "below").unwrap();
    }
    let copied = std::process::Command::new("cp").arg("-a").arg(&lower).arg(&upper).status().unwrap();
    assert!(copied.success());
    fs::remove_dir_all(upper.join("gone")).unwrap();
    fs::remove_file(upper.join("file")).unwrap();
    fs::remove_dir_all(upper.join("opaque/old")).unwrap();
    for path in ["gone", "file"] {
        rustix::fs::mknodat(CWD, upper.join(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    }
    rustix::fs::setxattr(upper.join("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    fs::write(upper.join("etc/passwd"), "changed here").unwrap();
    fs::create_dir_all(upper.join("new/sub")).unwrap();
    fs::write(upper.join("new/sub/file"), "new").unwrap();
    fs::create_dir_all(upper.join("proc")).unwrap();
    fs::write(upper.join("etc/hosts"), "").unwrap();
    (lower, upper)
}

#[test]
fn changes_are_told_as_docker_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let (lower, upper) = overlay(dir.path());
    let mut told = Vec::new();
    let mut tell = |change: Change| {
        let letter = match change.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        told.push(format!("{letter} {}", String::from_utf8(change.path).unwrap()));
        Ok(())
    };
    changes(&upper, &[lower], &mut tell).unwrap();
    let expected = [
        "C /etc",
        "C /etc/passwd",
        "D /file",
        "D /gone",
        "A /new",
        "A /new/sub",
        "A /new/sub/file",
        "C /opaque",
        "D /opaque/old",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_layer_made_here_unpacks_to_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (lower, upper) = overlay(dir.path());
    let mut archive = Vec::new();
    let packed = layer(&upper, &[lower], &IdMap::default(), &LayerRules::default(), &mut archive).unwrap();
    assert!(packed.entries > 8);
    let mut reader = crate::archive::TarReader::new(archive.as_slice(), crate::archive::Limits::default());
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        names.push(String::from_utf8(entry.path).unwrap());
    }
    for name in [".wh.gone", ".wh.file", "opaque/", "opaque/.wh..wh..opq", "new/sub/file", "etc/passwd"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    for name in ["etc/hosts", "proc/"] {
        assert!(!names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    rustix::fs::mknodat(CWD, upper.join("disk"), FileType::BlockDevice, Mode::empty(), rustix::fs::makedev(8, 0))
        .unwrap();
    let error = layer(&upper, &[dir.path().join("lower")], &IdMap::default(), &LayerRules::default(), std::io::sink())
        .unwrap_err();
    assert!(error.to_string().contains("disk"), "{error}");
}

#[test]
fn what_goes_is_looked_up_below_the_root() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("app/old/deep")).unwrap();
    fs::create_dir_all(root.join("app/kept")).unwrap();
    fs::write(dir.path().join("outside"), "").unwrap();
    symlink("../..", root.join("app/up")).unwrap();
    symlink("/app", root.join("link")).unwrap();
    let open = Root::open(&root).unwrap();
    remove(&open, b"/link/old").unwrap();
    remove(&open, b"app/up/outside").unwrap();
    remove(&open, b"app/none/deeper").unwrap();
    remove(&open, b"/").unwrap();
    assert!(!root.join("app/old").exists() && root.join("app/kept").exists());
    assert!(dir.path().join("outside").exists());
    // A link goes, and not what it leads to.
    remove(&open, b"link").unwrap();
    assert!(!root.join("link").exists() && root.join("app/kept").exists());
    assert!(remove(&open, b"app/../app/kept").is_err());
}

#[test]
fn single_files_are_packed_under_names_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("d/below")).unwrap();
    fs::create_dir_all(to.join("app/d")).unwrap();
    fs::write(from.join("f"), "1").unwrap();
    fs::write(from.join("d/g"), "2").unwrap();
    fs::set_permissions(to.join("app/d"), fs::Permissions::from_mode(0o700)).unwrap();
    let entries: [(&[u8], &[u8]); 4] =
        [(b"f", b"app/new/f"), (b"d", b"app/d"), (b"d/g", b"app/d/g"), (b"gone", b"gone")];
    let mut archive = Vec::new();
    let packed = pack_each(&Root::open(&from).unwrap(), entries, &IdMap::default(), &mut archive).unwrap();
    assert_eq!(packed.entries, 3);
    let keeping = ExtractOptions { keep_directories: true, ..options(Within::Root) };
    unpacked(&archive, &to, "", keeping).unwrap();
    assert_eq!(fs::read_to_string(to.join("app/new/f")).unwrap(), "1");
    assert_eq!(fs::read_to_string(to.join("app/d/g")).unwrap(), "2");
    assert!(!to.join("app/d/below").exists());
    assert_eq!(fs::metadata(to.join("app/d")).unwrap().mode() & 0o777, 0o700, "it was there");
}
