use std::io::Read;

use super::*;
use crate::builtin::import_static_binary;
use crate::catalog::{Filter, PruneRules, User, Users};
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
        store.remove(name, false, Users::new).unwrap();
    }
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

/// The image specification: media types that a reader does not know are no error in an index; a layout is marked, and its
/// descriptors say what the blobs are.
#[test]
fn the_obligations_of_layouts() {
    let change = |name: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let mut files = layout("app:1", &[&host().architecture]);
        let file = files.iter_mut().find(|(other, _)| other == name).unwrap();
        let mut document = serde_json::from_slice(&file.1).unwrap();
        change(&mut document);
        file.1 = serde_json::to_vec(&document).unwrap();
        let (_dir, store) = open();
        let loaded = store.load(&packed(&files)[..], &host(), NOW).map_err(|error| error.to_string());
        assert!(loaded.is_ok() || is_empty(&store), "nothing stays of what was refused");
        loaded
    };
    let of_index = |with: &dyn Fn(&mut serde_json::Value)| change("index.json", with);
    assert!(of_index(&|_| {}).is_ok());
    let unknown = |index: &mut serde_json::Value| {
        let digest = Digest::of(b"{}");
        let entry = serde_json::json!({"mediaType": "application/vnd.example+json", "digest": digest, "size": 2});
        index["manifests"].as_array_mut().unwrap().insert(0, entry);
    };
    assert_eq!(of_index(&unknown).unwrap().len(), 1);
    assert!(of_index(&|index| index["manifests"][0]["size"] = 5.into()).is_err(), "another size");
    assert!(of_index(&|index| index["manifests"][0]["digest"] = Digest::of(b"x").to_string().into()).is_err());
    assert!(of_index(&|index| index["schemaVersion"] = 1.into()).is_err());
    let of_marker = |value: serde_json::Value| change("oci-layout", &move |marker| *marker = value.clone());
    assert!(of_marker(serde_json::json!({"imageLayoutVersion": "2.0.0"})).unwrap_err().contains("2.0.0"));
    assert!(of_marker(serde_json::json!({})).is_err());
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

/// As `docker save` of version 25 and later: what one reader doesn't know, the other does.
#[test]
fn a_saved_archive_is_loaded_again_with_every_name() {
    let (_dir, store) = open();
    let tar = tar_of(&[("hello", b"world")]);
    let id = store.import(&tar[..], &options("app:1", &[])).unwrap();
    store.import(&gzip(&tar)[..], &options("other", &["LABEL a=b"])).unwrap();
    store.tag("app:1", &"app:2".parse().unwrap(), NOW).unwrap();
    store.tag("app:1", &"localhost:5000/app:2".parse().unwrap(), NOW).unwrap();
    let save = |texts: &[&str]| {
        let mut archive = Vec::new();
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        store.save(&texts, None, &mut archive).map(|()| archive)
    };
    let load = |archive: Vec<u8>| {
        let (dir, store) = open();
        let mut names: Vec<String> =
            store.load(&archive[..], &host(), NOW).unwrap().into_iter().flat_map(|loaded| loaded.names).collect();
        names.sort();
        (dir, store, names)
    };
    let (_other_dir, other, names) = load(save(&["app", "other"]).unwrap());
    assert_eq!(names, ["app:1", "app:2", "other:latest"]);
    assert_eq!(other.get("app:2").unwrap(), store.get("app:1").unwrap());
    assert_eq!(load(save(&[&id.to_string()]).unwrap()).2, Vec::<String>::new());
    assert_eq!(load(save(&["localhost:5000/app:2"]).unwrap()).2, ["localhost:5000/app:2"]);
    assert!(matches!(save(&["app:1", "nothing"]), Err(Error::NoSuchImage(_))));
    // Only the older form, as old readers see it.
    let archive = save(&["app:2"]).unwrap();
    let mut old = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(&archive[..]).entries().unwrap() {
        let mut entry = entry.unwrap();
        let (path, mut header) = (entry.path().unwrap().into_owned(), entry.header().clone());
        if !["oci-layout", "index.json"].contains(&path.to_str().unwrap()) {
            old.append_data(&mut header, path, &mut entry).unwrap();
        }
    }
    let (_old_dir, old, names) = load(old.into_inner().unwrap());
    assert_eq!(names, ["app:2"]);
    assert_eq!(old.get("app:2").unwrap().id, id);
}

#[test]
fn history_tells_each_step_and_what_its_layer_takes() {
    let (_dir, store) = open();
    let tar = tar_of(&[("hello", b"world")]);
    let id = store.import(&gzip(&tar)[..], &options("app:1", &["CMD [\"/hello\"]"])).unwrap();
    let steps = store.history("app:1").unwrap();
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].id, steps[0].size), (Some(id), tar.len() as u64));
    assert_eq!((steps[0].comment.as_str(), &steps[0].tags[..]), ("Imported from -", &["app:1".to_owned()][..]));
}

#[test]
fn pruning_tells_what_it_gave_back() {
    let (_dir, store) = open();
    let (shared, own) = (tar_of(&[("shared", &[1; 3000])]), tar_of(&[("own", &[2; 9000])]));
    for (name, tar) in [("a", &shared), ("b", &shared), ("c", &own)] {
        store.import(&tar[..], &options(name, &[&format!("LABEL name={name}")])).unwrap();
    }
    let rules =
        |all, filter: &str| PruneRules { all, filters: vec![Filter::parse(filter, |_| Some(NOW + 1)).unwrap()] };
    assert_eq!(store.prune(&rules(true, "label=name=none"), Users::new).unwrap(), Pruned::default());
    // What another image has too is not given back.
    assert_eq!(store.prune(&rules(true, "label=name=a"), Users::new).unwrap().reclaimed, 0);
    let pruned = store.prune(&rules(true, "until=now"), Users::new).unwrap();
    assert_eq!(pruned.reclaimed, (shared.len() + own.len()) as u64);
    assert!(is_empty(&store));
}

#[test]
fn what_is_leased_or_used_stays() {
    let (_dir, store) = open();
    let tar = tar_of(&[("hello", b"world")]);
    let id = store.import(&tar[..], &options("app:1", &[])).unwrap();
    let image = store.get("app:1").unwrap();
    let lease = store.lease([image.manifest.layers[0].digest]);
    let second = store.lease([image.manifest.layers[0].digest]);
    store.remove("app:1", false, Users::new).unwrap();
    assert_eq!(store.content.list().unwrap(), [image.manifest.layers[0].digest]);
    drop(lease);
    store.collect(&BTreeSet::new()).unwrap();
    assert!(store.content.contains(&image.manifest.layers[0].digest));
    drop(second);
    store.collect(&BTreeSet::new()).unwrap();
    assert!(is_empty(&store));

    assert_eq!(store.import(&tar[..], &options("app:1", &[])).unwrap(), id);
    let used = || Users::from([(id, User { container: "c0ffee".to_owned(), running: false })]);
    store.remove("app:1", true, used).unwrap();
    assert_eq!(store.prune(&PruneRules::default(), used).unwrap(), Pruned::default());
    assert_eq!(store.get(&id.to_string()).unwrap().id, id);
}

#[test]
fn plain_layers_are_compressed_once_and_mean_the_same() {
    let (_dir, store) = open();
    let tar = tar_of(&[("hello", &[7; 50_000])]);
    let id = store.import(&tar[..], &options("app:1", &[])).unwrap();
    store.compress(&id).unwrap();
    let image = store.get("app:1").unwrap();
    let layer = &image.manifest.layers[0];
    assert_eq!((image.id, layer.media_type.as_str()), (id, MEDIA_LAYER_GZIP));
    assert!(layer.size < 5000);
    store.compress(&id).unwrap();
    assert_eq!(store.get("app:1").unwrap(), image);
    store.collect(&BTreeSet::new()).unwrap();
    assert_eq!(store.content.list().unwrap().len(), 3, "the plain layer is garbage now");
    store.prepare(&image, &Unpacker::InProcess).unwrap();
    assert_eq!(store.merged_root(&image).read_file("/hello", 1 << 20).unwrap().len(), 50_000);
    let (_other_dir, other) = open();
    other.import(&tar[..], &options("app:1", &[])).unwrap();
    other.compress(&id).unwrap();
    assert_eq!(other.get("app:1").unwrap().manifest, image.manifest);
}
