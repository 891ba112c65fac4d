use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};

use rustix::fs::{CWD, Mode, XattrFlags};

use super::*;

/// `top` over `low`: a whiteout, an opaque directory, a merged one, links.
fn fixture() -> (tempfile::TempDir, MergedRoot) {
    let dir = tempfile::tempdir().unwrap();
    let (top, low) = (dir.path().join("top"), dir.path().join("low"));
    for (layer, name) in [(&low, "etc"), (&low, "opaque"), (&low, "merged/sub"), (&top, "opaque"), (&top, "merged/sub")]
    {
        fs::create_dir_all(layer.join(name)).unwrap();
    }
    for (path, text) in [
        ("low/etc/passwd", "low"),
        ("low/gone", "x"),
        ("low/opaque/old", "x"),
        ("top/opaque/new", "x"),
        ("low/merged/a", "low a"),
        ("top/merged/a", "top a"),
        ("low/merged/sub/b", "b"),
    ] {
        fs::write(dir.path().join(path), text).unwrap();
    }
    rustix::fs::mknodat(CWD, top.join("gone"), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    rustix::fs::setxattr(top.join("opaque"), OPAQUE_XATTR, b"y", XattrFlags::empty()).unwrap();
    fs::write(dir.path().join("secret"), "host").unwrap();
    symlink("/etc/passwd", top.join("absolute")).unwrap();
    symlink("../../../../secret", top.join("escape")).unwrap();
    symlink("loop", top.join("loop")).unwrap();
    symlink("etc", top.join("conf")).unwrap();
    fs::hard_link(low.join("merged/sub/b"), low.join("merged/c")).unwrap();
    std::os::unix::fs::chown(top.join("merged"), Some(5), Some(6)).unwrap();
    let root = MergedRoot::new(vec![top, low]);
    (dir, root)
}

#[test]
fn files_are_read_as_overlayfs_would_show_them() {
    let (_dir, root) = fixture();
    let read = |path: &str| root.read_file(path, 100).map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(read("/etc/passwd").unwrap(), "low");
    assert_eq!(read("absolute").unwrap(), "low");
    assert_eq!(read("/conf/../conf/./passwd").unwrap(), "low");
    assert_eq!(read("merged/a").unwrap(), "top a");
    assert_eq!(read("merged/sub/b").unwrap(), "b");
    for gone in ["gone", "opaque/old", "escape", "/../secret", "nothing/at/all"] {
        assert!(matches!(read(gone), Err(Error::NotFoundInRootfs { .. })), "{gone}");
    }
    assert!(read("loop").unwrap_err().to_string().contains("symlinks"));
    assert!(read("etc").unwrap_err().to_string().contains("directory"));
    assert!(read("etc/passwd/x").unwrap_err().to_string().contains("not a directory"));
    assert!(matches!(root.read_file("etc/passwd", 2), Err(Error::TooLarge { .. })));
}

#[test]
fn metadata_follows_links() {
    let (_dir, root) = fixture();
    let absolute = root.metadata("absolute").unwrap().unwrap();
    assert!(absolute.is_file && absolute.size == 3);
    assert_eq!(root.metadata("merged").unwrap().unwrap().uid, 5);
    assert_eq!(root.metadata("gone").unwrap(), None);
}

#[test]
fn trees_are_copied_with_owners_and_hard_links() {
    let (dir, root) = fixture();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    assert!(root.copy_tree("/merged", &out).unwrap());
    assert_eq!(fs::read_to_string(out.join("a")).unwrap(), "top a");
    let (b, c) = (fs::metadata(out.join("sub/b")).unwrap(), fs::metadata(out.join("c")).unwrap());
    assert_eq!((b.ino(), b.nlink()), (c.ino(), 2));
    assert_eq!(fs::metadata(&out).unwrap().uid(), 5);

    let whole = dir.path().join("whole");
    fs::create_dir(&whole).unwrap();
    assert!(root.copy_tree("/", &whole).unwrap());
    assert!(!whole.join("gone").exists() && !whole.join("opaque/old").exists() && whole.join("opaque/new").exists());
    assert_eq!(fs::read_link(whole.join("escape")).unwrap().to_str(), Some("../../../../secret"));
    let mut value = [0; 4];
    assert!(rustix::fs::getxattr(whole.join("opaque"), OPAQUE_XATTR, &mut value[..]).is_err());

    assert!(!root.copy_tree("/nothing", &whole).unwrap());
    assert!(root.copy_tree("/etc/passwd", &whole).is_err());
}
