use std::io::Read;

use super::*;
use crate::builtin::import_static_binary;
use crate::manifest::{MEDIA_INDEX, MEDIA_LAYER_GZIP, Platform, RootFs, RunConfig};

const NOW: i64 = 1_700_000_000;

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

fn open() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (dir, store)
}

fn options(name: &str, changes: &[&str]) -> ImportOptions {
    ImportOptions {
        name: Some(name.parse().unwrap()),
        changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        source: "-".to_owned(),
        now: NOW,
        ..ImportOptions::default()
    }
}

fn host() -> Platform {
    Platform::host()
}

fn is_empty(store: &Store) -> bool {
    let staging = fs::read_dir(store.root.join("staging")).unwrap().count();
    store.content.list().unwrap().is_empty() && store.list().unwrap().is_empty() && staging == 0
}

/// Config, manifest and gzip layer of a one-layer image for `architecture`, as blobs.
fn image_blobs(architecture: &str) -> (Vec<Vec<u8>>, Descriptor) {
    let layer = tar_of(&[("hello", architecture.as_bytes())]);
    let config = ImageConfig {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        rootfs: RootFs { diff_ids: vec![Digest::of(&layer)], ..RootFs::default() },
        ..ImageConfig::default()
    };
    let (layer, config) = (gzip(&layer), serde_json::to_vec(&config).unwrap());
    let descriptor = |media: &str, bytes: &[u8]| Descriptor::new(media, Digest::of(bytes), bytes.len() as u64);
    let manifest = Manifest::new(descriptor(MEDIA_CONFIG, &config), vec![descriptor(MEDIA_LAYER_GZIP, &layer)]);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut top = descriptor(MEDIA_MANIFEST, &manifest);
    top.platform = Some(format!("linux/{architecture}").parse().unwrap());
    (vec![layer, config, manifest], top)
}

fn layout(name: &str, architectures: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut blobs = Vec::new();
    let mut nested = Vec::new();
    for architecture in architectures {
        let (image, descriptor) = image_blobs(architecture);
        blobs.extend(image);
        nested.push(descriptor);
    }
    let nested = serde_json::to_vec(&serde_json::json!({"schemaVersion": 2, "manifests": nested})).unwrap();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [{
        "mediaType": MEDIA_INDEX, "digest": Digest::of(&nested), "size": nested.len(),
        "annotations": {"io.containerd.image.name": name},
    }]});
    blobs.push(nested);
    let mut files: Vec<(String, Vec<u8>)> =
        blobs.into_iter().map(|blob| (format!("blobs/sha256/{}", Digest::of(&blob).hex()), blob)).collect();
    files.push(("index.json".to_owned(), serde_json::to_vec(&index).unwrap()));
    files.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    files
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    tar_of(&files)
}

#[test]
fn an_imported_image_is_listed_unpacked_removed_and_collected() {
    let (dir, store) = open();
    let tar = tar_of(&[("etc/passwd", b"root:x:0:0::/root:"), ("hello", b"world")]);
    for (name, bytes) in [("a", tar.clone()), ("b", gzip(&tar)), ("c", zstd::encode_all(&tar[..], 1).unwrap())] {
        store.import(&bytes[..], &options(name, &["CMD [\"/hello\"]", &format!("LABEL n={name}")])).unwrap();
    }
    let details = store.inspect("b").unwrap();
    assert_eq!(details.repo_tags, ["b:latest"]);
    assert_eq!(details.created, "2023-11-14T22:13:20Z");
    assert_eq!((details.size, &details.config.cmd), (tar.len() as u64, &Some(vec!["/hello".to_owned()])));
    assert_eq!(details.root_fs.layers, [Digest::of(&tar)]);
    assert_eq!(details.history[0].comment.as_deref(), Some("Imported from -"));

    let image = store.get("a").unwrap();
    let lower = store.prepare(&image, &Unpacker::InProcess).unwrap();
    assert_eq!(lower, store.lower_dirs(&image));
    assert_eq!(store.merged_root(&image).read_file("/hello", 10).unwrap(), b"world");
    // The same layer under three compressions is one snapshot.
    assert_eq!(store.prepare(&store.get("c").unwrap(), &Unpacker::InProcess).unwrap(), lower);

    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(store.list().unwrap().len(), 3);
    assert_eq!(store.collect(&BTreeSet::new()).unwrap(), Collected::default());
    for name in ["a", "b", "c"] {
        store.remove(name, &BTreeSet::new(), false).unwrap();
    }
    assert_eq!(store.collect(&Store::snapshot_ids(&image)).unwrap(), Collected { blobs: 9, snapshots: 0 });
    assert_eq!(store.collect(&BTreeSet::new()).unwrap(), Collected { blobs: 0, snapshots: 1 });
    assert!(is_empty(&store) && !lower[0].exists());
}

#[test]
fn bad_imports_leave_nothing() {
    let (_dir, store) = open();
    let tar = tar_of(&[("hello", &[7; 5000])]);
    for bytes in [&b""[..], b"not a tar, and long enough to be looked at", &tar[..3000], &gzip(&tar)[..40]] {
        assert!(store.import(bytes, &options("bad", &[])).is_err());
    }
    assert!(store.import(&tar[..], &options("bad", &["RUN x"])).is_err());
    assert!(is_empty(&store));
}

#[test]
fn an_oci_layout_gives_the_nodes_platform() {
    let (_dir, store) = open();
    let host_architecture = host().architecture;
    let archive = gzip(&packed(&layout("docker.io/library/app:1", &["riscv64", &host_architecture])));
    let loaded = store.load(&archive[..], &host(), NOW).unwrap();
    assert_eq!(loaded[0].names, ["app:1"]);
    let image = store.get("app:1").unwrap();
    store.prepare(&image, &Unpacker::InProcess).unwrap();
    assert_eq!(store.merged_root(&image).read_file("hello", 99).unwrap(), host_architecture.as_bytes());
    // Only what the chosen image needs is kept.
    assert_eq!(store.content.list().unwrap().len(), 3);
}

#[test]
fn a_missing_platform_names_those_there_are() {
    let (_dir, store) = open();
    let archive = packed(&layout("app:1", &["riscv64", "s390x"]));
    let message = store.load(&archive[..], &host(), NOW).unwrap_err().to_string();
    assert!(message.contains("linux/riscv64, linux/s390x"), "{message}");
    assert!(is_empty(&store));
}

#[test]
fn a_docker_archive_with_a_symlinked_layer_is_loaded() {
    let (_dir, store) = open();
    let layer = tar_of(&[("hello", b"docker")]);
    let config = ImageConfig {
        architecture: host().architecture,
        os: "linux".to_owned(),
        config: RunConfig { env: vec!["A=1".to_owned()], ..RunConfig::default() },
        rootfs: RootFs { diff_ids: vec![Digest::of(&layer); 2], ..RootFs::default() },
        ..ImageConfig::default()
    };
    let config = serde_json::to_vec(&config).unwrap();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let manifest = serde_json::json!([{"Config": config_name, "RepoTags": ["old:1", "old:2"], "Layers": ["a/layer.tar", "b/layer.tar"]}]);
    let mut builder = tar::Builder::new(tar_of(&[
        (&config_name, &config),
        ("manifest.json", &serde_json::to_vec(&manifest).unwrap()),
        ("a/layer.tar", &layer),
    ]));
    let end = builder.get_ref().len() - 1024;
    builder.get_mut().truncate(end);
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_size(0);
    builder.append_link(&mut link, "b/layer.tar", "../a/layer.tar").unwrap();
    let loaded = store.load(&builder.into_inner().unwrap()[..], &host(), NOW).unwrap();
    assert_eq!(loaded, [Loaded { id: Digest::of(&config), names: vec!["old:1".to_owned(), "old:2".to_owned()] }]);
    assert_eq!(store.prepare(&store.get("old:2").unwrap(), &Unpacker::InProcess).unwrap().len(), 2);
}

#[test]
fn damaged_archives_load_nothing() {
    let (_dir, store) = open();
    let architecture = host().architecture;
    let whole = layout("app:1", &[&architecture]);
    let archive = packed(&whole);
    for length in [0, 300, 700, archive.len() / 2] {
        assert!(store.load(&archive[..length], &host(), NOW).is_err(), "{length}");
    }
    for damaged in 0..4 {
        let mut files = whole.clone();
        files[damaged].1[5] ^= 1;
        let message = store.load(&packed(&files)[..], &host(), NOW).unwrap_err().to_string();
        assert!(message.contains("digest mismatch"), "{message}");
        files.remove(damaged);
        assert!(store.load(&packed(&files)[..], &host(), NOW).is_err());
    }
    assert!(is_empty(&store));
}

#[test]
fn the_builtin_image_is_made_once_a_marker() {
    let (_dir, store) = open();
    let name: Reference = "orca/demo".parse().unwrap();
    let name = name.with_default_tag();
    let import =
        |binary: &[u8], marker: &str| import_static_binary(&store, &name, binary, 6, RunConfig::default(), marker, NOW);
    let id = import(b"binary", "1").unwrap();
    assert_eq!(import(b"", "1").unwrap(), id);
    assert!(import(b"short", "2").is_err());
    assert_ne!(import(b"newbin", "2").unwrap(), id);
    let image = store.get("orca/demo").unwrap();
    store.prepare(&image, &Unpacker::InProcess).unwrap();
    let root = store.merged_root(&image);
    assert_eq!(root.read_file("/orca", 99).unwrap(), b"newbin");
    assert_eq!(root.metadata("/tmp").unwrap().unwrap().mode, 0o1777);
}

#[test]
fn one_process_owns_the_directory_and_leftovers_go() {
    let (dir, store) = open();
    assert!(matches!(Store::open(dir.path()), Err(Error::StoreBusy { .. })));
    drop(store);
    fs::create_dir_all(dir.path().join("image/staging/layer-0/fs/d")).unwrap();
    fs::write(dir.path().join("image/staging/blob-0"), "half").unwrap();
    assert!(is_empty(&Store::open(dir.path()).unwrap()));
    fs::write(dir.path().join("image/index.json"), r#"{"version":9}"#).unwrap();
    assert!(matches!(Store::open(dir.path()), Err(Error::StoreVersion { found: 9, .. })));
}
