use std::io::{Cursor, Write};

use proptest::prelude::*;

use super::*;
use crate::error::Result;

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn all(bytes: &[u8], limits: Limits) -> Result<Vec<(Entry, Vec<u8>)>> {
    let mut reader = TarReader::new(bytes, limits);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(|error| Error::io("read", "content", error))?;
        entries.push((entry, content));
    }
    Ok(entries)
}

#[test]
fn long_names_and_contents_come_back() {
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(150));
    let entries = all(&archive(&[("a", b"hello"), (&long, &[1; 513]), ("empty", b"")]), Limits::default()).unwrap();
    assert_eq!(entries[0].1, b"hello");
    assert_eq!(entries[1].0.path, long.as_bytes());
    assert_eq!(entries[1].1, [1; 513]);
    assert_eq!(entries[2].0.kind, Kind::File(0));
}

#[test]
fn every_truncation_is_an_error_or_a_clean_prefix() {
    let bytes = archive(&[("a", &[7; 700]), ("b", b"x")]);
    for length in 0..bytes.len() - 1024 {
        match all(&bytes[..length], Limits::default()) {
            Err(error) => assert!(error.to_string().contains("archive"), "{error}"),
            // Where an entry ends on a block, nothing tells that more should follow.
            Ok(entries) => assert!(
                length % 512 == 0
                    && entries.iter().all(|(entry, content)| entry.kind == Kind::File(content.len() as u64))
            ),
        }
    }
}

#[test]
fn limits_are_named() {
    let bytes = archive(&[("a", &[7; 700]), ("b", b"x")]);
    let message = |limits| all(&bytes, limits).unwrap_err().to_string();
    assert_eq!(message(Limits { entries: 1, bytes: 9999 }), "archive exceeds the limit of 1 entries");
    assert_eq!(message(Limits { entries: 9, bytes: 700 }), "archive exceeds the limit of 700 bytes");
}

#[test]
fn a_huge_declared_size_costs_nothing() {
    let mut header = tar::Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_size(u64::MAX / 2);
    header.set_cksum();
    assert!(matches!(all(header.as_bytes(), Limits::default()), Err(Error::LimitExceeded { .. })));
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_cksum();
    assert!(all(header.as_bytes(), Limits::default()).unwrap_err().to_string().contains("extension header"));
}

#[test]
fn what_is_no_archive_says_so() {
    assert!(all(b"", Limits::default()).unwrap_err().to_string().contains("empty"));
    assert!(all(&[b'x'; 1024], Limits::default()).unwrap_err().to_string().contains("not a tar archive"));
}

#[test]
fn sparse_files_are_refused_by_name() {
    let mut header = tar::Header::new_gnu();
    header.set_path("holes").unwrap();
    header.set_size(0);
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_cksum();
    let message = all(header.as_bytes(), Limits::default()).unwrap_err().to_string();
    assert!(message.contains("holes") && message.contains("sparse"), "{message}");
}

#[test]
fn compression_is_detected_and_drained() {
    let plain = archive(&[("a", b"hello")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    for bytes in [plain.clone(), gzip.finish().unwrap(), zstd::encode_all(&plain[..], 1).unwrap()] {
        let mut decoder = Decoder::detect(Cursor::new(bytes)).unwrap();
        let mut out = vec![0; 512];
        decoder.read_exact(&mut out).unwrap();
        assert_eq!(out, plain[..512]);
        decoder.drain().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damage_panics(at in 0usize..2048, value in any::<u8>()) {
        let mut bytes = archive(&[("a", b"hello"), ("b", b"x")]);
        let at = at % bytes.len();
        bytes[at] = value;
        let _ = all(&bytes, Limits { entries: 100, bytes: 1 << 20 });
    }
}
