use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use tar::{EntryType, Header};

use super::*;

/// Builds layers with names no well-behaved writer would make.
struct Tar(Vec<u8>);

impl Tar {
    fn new() -> Tar {
        Tar(Vec::new())
    }

    fn entry(mut self, kind: EntryType, path: &str, link: &str, content: &[u8]) -> Tar {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(0).unwrap();
        header.set_device_minor(0).unwrap();
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn dir(self, path: &str) -> Tar {
        self.entry(EntryType::Directory, path, "", b"")
    }

    fn file(self, path: &str, content: &str) -> Tar {
        self.entry(EntryType::Regular, path, "", content.as_bytes())
    }

    fn symlink(self, path: &str, target: &str) -> Tar {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Tar {
        self.entry(EntryType::Link, path, target, b"")
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

struct Fixture {
    dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("outside"), "untouched").unwrap();
        Fixture { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn unpack(&self, name: &str, blob: &[u8], diff: &[u8], parents: &[PathBuf], limits: Limits) -> Result<Unpacked> {
        let (file, into) = (self.path(&format!("{name}.blob")), self.path(name));
        fs::write(&file, blob).unwrap();
        fs::create_dir(&into).unwrap();
        let digest = Digest::of(blob);
        let diff_id = Digest::of(diff);
        let layer = Layer { blob: file, digest, size: blob.len() as u64, diff_id, chain_id: diff_id, parents };
        unpack::unpack_layer(&layer, &into, limits)
    }

    fn plain(&self, name: &str, tar: Tar) -> Result<Unpacked> {
        let bytes = tar.end();
        self.unpack(name, &bytes, &bytes, &[], Limits::default())
    }
}

fn message(result: Result<Unpacked>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn names_that_lead_out_are_refused_or_contained() {
    let u = Fixture::new();
    for (case, path) in ["../outside", "a/../../outside", "a/.."].iter().enumerate() {
        let text = message(u.plain(&format!("dots{case}"), Tar::new().file(path, "evil")));
        assert!(text.contains(path) && text.contains("\"..\""), "{text}");
    }
    u.plain("absolute", Tar::new().file("/etc/passwd", "mine")).unwrap();
    assert_eq!(fs::read_to_string(u.path("absolute/etc/passwd")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(u.path("outside")).unwrap(), "untouched");
}

#[test]
fn symlinked_parents_stay_inside() {
    let u = Fixture::new();
    let up = Tar::new().dir("d").symlink("d/up", "../..").file("d/up/outside", "evil");
    u.plain("up", up).unwrap();
    assert_eq!(fs::read_to_string(u.path("up/outside")).unwrap(), "evil");
    let absolute = Tar::new().symlink("abs", &u.dir.path().display().to_string()).file("abs/outside", "evil");
    assert!(message(u.plain("absolute", absolute)).contains("abs/outside"));
    let overwrite = Tar::new().symlink("f", "../outside").file("f", "evil");
    u.plain("overwrite", overwrite).unwrap();
    assert!(fs::symlink_metadata(u.path("overwrite/f")).unwrap().is_file());
    let looped = Tar::new().symlink("a", "b").symlink("b", "a").file("a/x", "evil");
    assert!(message(u.plain("looped", looped)).contains("a/x"));
    assert_eq!(fs::read_to_string(u.path("outside")).unwrap(), "untouched");
}

#[test]
fn hard_links_stay_inside_and_name_what_is_missing() {
    let u = Fixture::new();
    assert!(message(u.plain("dots", Tar::new().hard_link("l", "../outside"))).contains("leads out"));
    let through = Tar::new().symlink("s", "..").hard_link("l", "s/outside");
    assert!(message(u.plain("through", through)).contains("not in the layer"));
    assert!(message(u.plain("missing", Tar::new().hard_link("l", "nothing"))).contains("nothing"));
    assert!(message(u.plain("dir", Tar::new().dir("d").hard_link("l", "d"))).contains("directory"));
    assert!(message(u.plain("own", Tar::new().file("f", "x").hard_link("f", "./f"))).contains("itself"));
    u.plain("good", Tar::new().file("f", "x").hard_link("/g", "/f")).unwrap();
    assert_eq!(fs::metadata(u.path("good/g")).unwrap().nlink(), 2);
}

#[test]
fn owners_modes_and_times_are_kept() {
    let u = Fixture::new();
    u.plain("m", Tar::new().dir("d").file("d/f", "x").symlink("d/s", "f").entry(EntryType::Fifo, "p", "", b""))
        .unwrap();
    for name in ["d", "d/f", "d/s", "p"] {
        let meta = fs::symlink_metadata(u.path("m").join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mtime()), (7, 8, 1_000_000_000), "{name}");
    }
    assert_eq!(fs::metadata(u.path("m/d/f")).unwrap().permissions().mode() & 0o7777, 0o755);
}

#[test]
fn whiteouts_become_overlayfs_own() {
    let u = Fixture::new();
    let tar = Tar::new()
        .file(".wh.gone", "")
        .dir("d")
        .file("d/.wh..wh..opq", "")
        .file(".wh.again", "")
        .dir("again")
        .file(".wh..wh.plnk", "");
    u.plain("w", tar).unwrap();
    let gone = fs::symlink_metadata(u.path("w/gone")).unwrap();
    assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    for name in ["d", "again"] {
        let mut value = [0; 4];
        let length = rustix::fs::getxattr(u.path("w").join(name), "trusted.overlay.opaque", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"y", "{name}");
    }
    assert!(!u.path("w/.wh..wh.plnk").exists());
    for (case, bad) in [".wh.", ".wh..", ".wh..."].iter().enumerate() {
        assert!(message(u.plain(&format!("bad{case}"), Tar::new().file(bad, ""))).contains("names nothing"));
    }
}

/// The image specification: a whiteout hides what lower layers have, never what its own layer has, in whatever order they come.
#[test]
fn whiteouts_hide_nothing_of_their_own_layer() {
    let u = Fixture::new();
    let tar = Tar::new()
        .file("first", "1")
        .file(".wh.first", "")
        .file(".wh.last", "")
        .file("last", "1")
        .dir("d")
        .file("d/before", "1")
        .file("d/.wh..wh..opq", "")
        .file("d/after", "1");
    u.plain("w", tar).unwrap();
    for name in ["first", "last", "d/before", "d/after"] {
        assert_eq!(fs::read_to_string(u.path("w").join(name)).unwrap(), "1", "{name}");
    }
}

#[test]
fn implied_parents_keep_the_lower_layers_owner_and_mode() {
    let u = Fixture::new();
    u.plain("low", Tar::new().dir("tmp")).unwrap();
    fs::set_permissions(u.path("low/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    let bytes = Tar::new().file("tmp/f", "x").end();
    u.unpack("high", &bytes, &bytes, &[u.path("low")], Limits::default()).unwrap();
    let meta = fs::metadata(u.path("high/tmp")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid()), (0o1777, 7));
}

#[test]
fn bombs_and_wrong_digests_are_named() {
    let u = Fixture::new();
    let tar = Tar::new().entry(EntryType::Regular, "zeros", "", &vec![0; 4 << 20]).end();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    let gzip = gzip.finish().unwrap();
    let small = Limits { entries: 10, bytes: 1 << 20 };
    assert!(message(u.unpack("bomb", &gzip, &tar, &[], small)).contains("limit of 1048576 bytes"));
    let wrong = u.unpack("wrong", &gzip, b"other", &[], Limits::default());
    assert!(
        matches!(&wrong, Err(Error::DigestMismatch { expected, actual, .. }) if *expected == Digest::of(b"other") && *actual == Digest::of(&tar))
    );
    assert!(message(u.unpack("cut", &gzip[..gzip.len() / 2], &tar, &[], Limits::default())).contains("truncated"));
    let many = (0..11).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), "")).end();
    assert!(message(u.unpack("many", &many, &many, &[], small)).contains("limit of 10 entries"));
}

#[test]
fn overlayfs_attributes_in_an_archive_are_refused() {
    let u = Fixture::new();
    let record = "43 SCHILY.xattr.trusted.overlay.redirect=/\n";
    assert_eq!(record.len(), 43);
    let tar = Tar::new().entry(EntryType::XHeader, "x", "", record.as_bytes()).dir("d");
    assert!(message(u.plain("x", tar)).contains("trusted.overlay.redirect"));
}

#[test]
fn what_gnu_tar_packs_comes_back() {
    let u = Fixture::new();
    let source = u.path("source");
    let script = r#"set -e; mkdir -p "$1/d/e"; cd "$1"; echo hello > d/f; ln d/f d/hard; ln -s ../f d/e/sym; mkfifo d/p
        mknod d/null c 1 3; chmod 4755 d/f; chown 12:34 d/hard; touch -d @1234567890.5 d/f; chmod 1777 d/e
        n=$(printf 'n%.0s' $(seq 200)); echo long > "d/$n"
        tar --format=pax --xattrs --xattrs-include='*' --numeric-owner -cf ../packed.tar ."#;
    fs::create_dir(&source).unwrap();
    rustix::fs::setxattr(&source, "user.colour", b"blue", rustix::fs::XattrFlags::empty()).unwrap();
    assert!(Command::new("sh").args(["-c", script, "sh"]).arg(&source).status().unwrap().success());
    let packed = fs::read(u.path("packed.tar")).unwrap();
    u.unpack("copy", &packed, &packed, &[], Limits::default()).unwrap();
    let listing = |dir: &Path| {
        let find = r#"cd "$1"; find . -printf '%p %y %m %U:%G %T@ %n %l\n' | sort; find . -type f | sort | xargs cat"#;
        String::from_utf8(Command::new("sh").args(["-c", find, "sh"]).arg(dir).output().unwrap().stdout).unwrap()
    };
    assert_eq!(listing(&source), listing(&u.path("copy")));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::getxattr(u.path("copy"), "user.colour", &mut value[..]).unwrap(), 4);
}

/// A real overlay mount, in a mount namespace of its own that ends with the command.
#[test]
fn the_kernel_understands_the_whiteouts() {
    let u = Fixture::new();
    u.plain("low", Tar::new().dir("d").file("d/old", "1").file("gone", "1").file("kept", "1")).unwrap();
    u.plain("high", Tar::new().dir("d").file("d/.wh..wh..opq", "").file("d/new", "2").file(".wh.gone", "")).unwrap();
    let script = r#"mkdir "$1/m" && mount -t overlay overlay -o "lowerdir=$1/high:$1/low" "$1/m" && cd "$1/m" && find . -mindepth 1 | sort"#;
    let output = Command::new("unshare")
        .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(u.dir.path())
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "./d\n./d/new\n./kept\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn very_deep_trees_are_removed() {
    let u = Fixture::new();
    let top = u.path("deep");
    fs::create_dir(&top).unwrap();
    let script = r#"cd "$1"; for i in $(seq 1500); do mkdir d && cd -P d 2>/dev/null || exit 1; : > f; done"#;
    let made = Command::new("sh").args(["-c", script, "sh"]).arg(&top).status().unwrap();
    assert!(made.success());
    remove_tree(&top).unwrap();
    assert!(!top.exists());
    remove_tree(&top).unwrap();
}
