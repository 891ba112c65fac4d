//! Hostile input: a table of archives that are refused by name, and mutated ones that must not do worse than be refused.
//!
//! `make fuzz` runs the mutations for longer: `FUZZ_ROUNDS` times as many, from the seed `SEED`. A failure prints both.

use std::io::{Read, Write};
use std::path::Path;

use crate::archive::{Decoder, Entry, Kind, Limits, TarWriter};
use crate::content::ingest;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{ImageConfig, Index, Manifest};
use crate::reference::Reference;
use crate::snapshot::{Layer, unpack_in_process};
use crate::tree::{Conflicts, ExtractOptions, IdMap, Owner, Root, Within, extract};

fn entry(path: &str, kind: Kind) -> Entry {
    let path = path.as_bytes().to_vec();
    Entry { path, kind, mode: 0o755, uid: 0, gid: 0, mtime: (1, 0), xattrs: Vec::new() }
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    for entry in entries {
        writer.entry(entry).unwrap();
        if let Kind::File(size) = entry.kind {
            writer.content(&entry.path, &mut std::io::repeat(b'x'), size).unwrap();
        }
    }
    writer.finish().unwrap()
}

/// Unpacks an archive as a layer into a directory of its own.
fn unpack(dir: &Path, archive: &[u8], limits: Limits) -> Result<()> {
    let blob = dir.join("blob");
    std::fs::write(&blob, archive).unwrap();
    let into = tempfile::tempdir_in(dir).unwrap();
    let mut plain = Vec::new();
    let decoded = Decoder::detect(archive).and_then(|decoder| decoder.take(64 << 20).read_to_end(&mut plain));
    let diff_id = Digest::of(if decoded.is_ok() { &plain } else { archive });
    let (digest, size) = (Digest::of(archive), archive.len() as u64);
    let layer = Layer { blob, digest, size, diff_id, chain_id: diff_id, parents: &[] };
    unpack_in_process(&layer, into.path(), limits).map(drop)
}

#[test]
fn hostile_layers_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { entries: 1000, bytes: 1 << 20 };
    let file = |path: &str| entry(path, Kind::File(1));
    let link = |path: &str, to: &str| entry(path, Kind::Symlink(to.as_bytes().to_vec()));
    let hard = |path: &str, to: &str| entry(path, Kind::HardLink(to.as_bytes().to_vec()));
    let mut fake = file("fake");
    fake.xattrs = vec![(b"trusted.overlay.redirect".to_vec(), b"/etc".to_vec())];
    let many: Vec<Entry> = (0..1001).map(|number| entry(&format!("f{number}"), Kind::File(0))).collect();
    let table: Vec<(&str, Vec<Entry>, &str)> = vec![
        ("path traversal", vec![file("../escaped")], ".."),
        ("deep traversal", vec![file("a/b/../../../escaped")], ".."),
        ("a hard link out", vec![hard("l", "../../etc/passwd")], "leads out"),
        ("a hard link to itself", vec![hard("l", "l")], "not in the layer"),
        ("a disk", vec![entry("disk", Kind::BlockDevice(8, 0))], "device"),
        ("memory", vec![entry("mem", Kind::CharDevice(1, 1))], "device"),
        ("overlayfs's whiteout", vec![entry("gone", Kind::CharDevice(0, 0))], "device"),
        ("a whiteout of nothing", vec![file(".wh.")], "whiteout"),
        ("a whiteout of the parent", vec![file("a/.wh...")], "whiteout"),
        ("below a whiteout", vec![file(".wh.x/y")], "whiteout"),
        ("overlayfs's attributes", vec![fake], "overlayfs"),
        ("deep nesting", vec![file(&"d/".repeat(300))], "components"),
        ("a link to nowhere as a parent", vec![link("l", "/none"), file("l/x")], "leads nowhere"),
        ("a loop as a parent", vec![link("a", "b"), link("b", "a"), file("a/x")], "symlinks"),
        ("a file as a parent", vec![file("f"), file("f/x")], "not a directory"),
        ("too many entries", many, "entries"),
        ("too many bytes", vec![entry("big", Kind::File(2 << 20))], "bytes"),
    ];
    for (what, entries, reason) in table {
        let error = unpack(dir.path(), &archive(&entries), limits).expect_err(what).to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
    // Links out of the root are kept as they are, and nothing is written through them.
    let out = dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let through = vec![link("l", out.to_str().unwrap()), file("l/x")];
    assert!(unpack(dir.path(), &archive(&through), limits).is_err());
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    // The nodes that distributions put into /dev are no harm.
    unpack(dir.path(), &archive(&[entry("dev/null", Kind::CharDevice(1, 3))]), limits).unwrap();
}

#[test]
fn damaged_archives_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(&[entry("a", Kind::File(3000))]);
    for (what, bytes, reason) in [
        ("nothing", Vec::new(), "empty"),
        ("truncated", whole[..1500].to_vec(), "truncated"),
        ("no archive", vec![b'x'; 4096], "not a tar"),
        ("a damaged header", [&whole[..100], b"zz", &whole[102..]].concat(), "tar"),
        ("damaged gzip", [&[0x1f, 0x8b, 8, 0][..], &[0xff; 600]].concat(), "corrupt"),
    ] {
        let error = unpack(dir.path(), &bytes, Limits::default()).expect_err(what).to_string();
        assert!(error.contains(reason), "{what}: {error}");
    }
    let blob = dir.path().join("blob");
    std::fs::write(&blob, &whole).unwrap();
    for (digest, diff_id) in [(Digest::of(b"other"), Digest::of(&whole)), (Digest::of(&whole), Digest::of(b"other"))] {
        let into = tempfile::tempdir_in(dir.path()).unwrap();
        let size = whole.len() as u64;
        let layer = Layer { blob: blob.clone(), digest, size, diff_id, chain_id: diff_id, parents: &[] };
        let error = unpack_in_process(&layer, into.path(), Limits::default()).unwrap_err();
        assert!(matches!(error, Error::DigestMismatch { .. }), "{error}");
    }
    // A huge extended header is refused before it is read.
    let mut huge = entry("huge", Kind::File(0));
    huge.xattrs = vec![(b"user.x".to_vec(), vec![b'x'; 2 << 20])];
    assert!(TarWriter::new(std::io::sink()).entry(&huge).unwrap_err().to_string().contains("1 MiB"));
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 33);
    header.set_cksum();
    let error = unpack(dir.path(), header.as_bytes(), Limits::default()).unwrap_err();
    assert!(error.to_string().contains("extension header"), "{error}");
}

/// 10 GB of zeros in a few megabytes: refused at the size that its header says, before anything is written.
#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_size(10 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let member = gzip(&vec![0; 16 << 20]);
    let bomb = [gzip(header.as_bytes()), member.repeat(640)].concat();
    assert!(bomb.len() < 16 << 20, "{}", bomb.len());
    let error = unpack(dir.path(), &bomb, Limits::default()).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    let store = crate::content::ContentStore::open(dir.path(), &dir.path().join("staging")).unwrap();
    let Err(error) = ingest(&store, bomb.as_slice(), 64 << 30) else { panic!("a bomb was taken") };
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
}

/// splitmix64: the same seed gives the same run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }

    /// A few changes: bytes flipped, blocks moved, cut, repeated, numbers replaced by edge cases.
    fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            let length = 1 + self.below(64).min(bytes.len().saturating_sub(at));
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b"\0\xff/.9\"{}"[self.below(8)]),
                3 => {
                    let piece: Vec<u8> = bytes.iter().skip(at).take(length).copied().collect();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                4 => drop(bytes.splice(at..(at + length).min(bytes.len()), [])),
                _ => {
                    let edge: &[u8] =
                        [&b"77777777777"[..], b"-1", b"18446744073709551616", b"../..", b"null"][self.below(5)];
                    bytes.splice(at..(at + edge.len()).min(bytes.len()), edge.iter().copied());
                }
            }
        }
        bytes
    }

    /// Makes a mutated header's checksum right, so that what is behind it is reached.
    fn mend(&mut self, bytes: &mut [u8]) {
        for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
            if self.below(4) > 0 {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
        }
    }
}

fn rounds(count: usize) -> (Random, usize) {
    let number = |name: &str, other: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(other);
    let seed = number("SEED", 1);
    let factor = usize::try_from(number("FUZZ_ROUNDS", 1)).unwrap();
    eprintln!("SEED={seed} FUZZ_ROUNDS={factor}");
    (Random(seed), count * factor)
}

#[test]
fn mutated_archives_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let mut rich = entry("etc/file", Kind::File(600));
    rich.xattrs = vec![(b"user.note".to_vec(), b"value".to_vec())];
    let whole = archive(&[
        entry("etc/", Kind::Directory),
        rich,
        entry(&format!("{}/{}/", "long".repeat(20), "longer".repeat(10)), Kind::Directory),
        entry("etc/link", Kind::Symlink(b"../etc/file".to_vec())),
        entry("etc/hard", Kind::HardLink(b"etc/file".to_vec())),
        entry("etc/.wh.gone", Kind::File(0)),
        entry("dev/null", Kind::CharDevice(1, 3)),
    ]);
    let outside = dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let limits = Limits { entries: 200, bytes: 1 << 20 };
    let (mut random, count) = rounds(300);
    for round in 0..count {
        let mut bytes = random.mutate(&whole);
        random.mend(&mut bytes);
        // Whatever comes of it: an error, never more.
        let _ = unpack(dir.path(), &bytes, limits);
        if round % 4 == 0 {
            let into = tempfile::tempdir_in(dir.path()).unwrap();
            let (owner, conflicts, within) = (Owner::Kept(IdMap::default()), Conflicts::Refused, Within::Root);
            let options = ExtractOptions { owner, conflicts, keep_directories: false, within, rename: None };
            let _ = extract(bytes.as_slice(), &Root::open(into.path()).unwrap(), b"", options);
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "only the blob and the directory beside stay: {left:?}");
}

#[test]
fn mutated_documents_and_names_do_no_harm() {
    let config = br#"{"created":"2024-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Cmd":["sh"],"ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD","x"],"Interval":1000000000}},"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]},"history":[{"created_by":"x","empty_layer":true}]}"#;
    let manifest = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":9}]}"#;
    let name = b"registry.example.org:5000/team/app:v1.2@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let (mut random, count) = rounds(20_000);
    for _ in 0..count {
        let _ = ImageConfig::parse("config", &random.mutate(config));
        let bytes = random.mutate(manifest);
        let _ = (Manifest::parse("manifest", &bytes), Index::parse("index", &bytes));
        if let Ok(found) = String::from_utf8_lossy(&random.mutate(name)).parse::<Reference>() {
            // What was read is written and read as the same.
            assert_eq!(found.to_string().parse::<Reference>().unwrap(), found);
        }
    }
}

#[test]
fn mutated_dockerfiles_do_no_harm() {
    use crate::dockerfile::{Dockerfile, Graph, Ignore, Options};
    use crate::manifest::Platform;
    let file = b"# escape=`\nARG V=1\nFROM debian:${V:-2} AS base\nRUN --mount=type=cache,target=/c,id=x a `\n b\nCOPY --from=base --chown=1:2 [\"a\", \"b\"] /c/\n\
        RUN <<-EOF\n\tx ${V%%a*} ${V//b/c}\n\tEOF\nHEALTHCHECK --interval=1m CMD x\nFROM base\nONBUILD ENV A=\"$V\" B='c'\nADD <<\"f\" /d\n$x\nf\n";
    let rules = b"*.md\n!README.md\n**/[a-c]?/**\n\\!x\n";
    let (mut random, count) = rounds(4000);
    let options = Options {
        target: None,
        args: std::collections::BTreeMap::new(),
        contexts: std::collections::BTreeSet::new(),
        platform: Platform::host(),
        host: Platform::host(),
    };
    for _ in 0..count {
        let text = String::from_utf8_lossy(&random.mutate(file)).into_owned();
        if let Ok(file) = Dockerfile::parse(&text) {
            let _ = Graph::plan(&file, &options);
        }
        let text = String::from_utf8_lossy(&random.mutate(rules)).into_owned();
        if let Ok(ignore) = Ignore::parse(&text) {
            let _ = (ignore.ignores(b"a/b/README.md"), ignore.prunes(b"a"));
        }
    }
}
