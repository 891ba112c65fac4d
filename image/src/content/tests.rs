use std::fs;

use super::*;

struct Fixture {
    _dir: tempfile::TempDir,
    store: ContentStore,
    staging: PathBuf,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let staging = dir.path().join("staging");
    let store = ContentStore::open(dir.path(), &staging).unwrap();
    Fixture { _dir: dir, store, staging }
}

#[test]
fn what_is_put_is_read() {
    let f = fixture();
    let digest = f.store.put(b"hello").unwrap();
    assert_eq!(f.store.read(&digest, 5).unwrap(), b"hello");
    assert_eq!(f.store.list().unwrap(), [digest]);
    assert!(matches!(f.store.read(&digest, 4), Err(Error::TooLarge { .. })));
    f.store.remove(&digest).unwrap();
    f.store.remove(&digest).unwrap();
    assert!(matches!(f.store.read(&digest, 5), Err(Error::NoSuchBlob(_))));
}

#[test]
fn a_wrong_digest_names_both_and_stores_nothing() {
    let f = fixture();
    let (wrong, right) = (Digest::of(b"other"), Digest::of(b"hello"));
    let message = f.store.put_expected(&b"hello"[..], &wrong, 5).unwrap_err().to_string();
    assert!(message.contains(&wrong.to_string()) && message.contains(&right.to_string()), "{message}");
    assert!(f.store.put_expected(&b"hello"[..], &right, 4).is_err());
    assert!(f.store.put_expected(&b"hello"[..], &right, 6).is_err());
    assert!(f.store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(&f.staging).unwrap().count(), 0);
    f.store.put_expected(&b"hello"[..], &right, 5).unwrap();
}

#[test]
fn content_that_rots_on_disk_is_found_when_read() {
    let f = fixture();
    let digest = f.store.put(b"hello").unwrap();
    fs::write(f.store.path(&digest), b"jello").unwrap();
    assert!(matches!(f.store.read(&digest, 100), Err(Error::DigestMismatch { .. })));
    let mut sink = Vec::new();
    let error = f.store.open_verified(&digest, 5).unwrap().read_to_end(&mut sink).unwrap_err();
    assert!(matches!(Error::io("read", "blob", error), Error::DigestMismatch { .. }));
    fs::write(f.store.path(&digest), b"hell").unwrap();
    assert!(matches!(f.store.open_verified(&digest, 5), Err(Error::SizeMismatch { .. })));
}

#[test]
fn ingesting_learns_the_uncompressed_digest() {
    let f = fixture();
    let plain = vec![7; 300_000];
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&plain).unwrap();
        encoder.finish().unwrap()
    };
    let zstd = zstd::encode_all(&plain[..], 1).unwrap();
    for blob in [&plain, &gzip, &zstd] {
        let ingested = ingest(&f.store, &blob[..], 1 << 20).unwrap();
        assert_eq!(ingested.blob.digest, Digest::of(blob));
        assert_eq!(ingested.diff, Ok((Digest::of(&plain), plain.len() as u64)));
    }
    let truncated = ingest(&f.store, &gzip[..gzip.len() - 4], 1 << 20).unwrap();
    assert!(truncated.diff.is_err());
    assert_eq!(truncated.blob.digest, Digest::of(&gzip[..gzip.len() - 4]));
    assert!(matches!(ingest(&f.store, &zstd[..], 299_999), Err(Error::LimitExceeded { .. })));
}
