//! PAX extended header records: `"%d %s=%s\n"` (POSIX pax, "pax Extended Header").

use crate::error::{Error, Result};

/// The most bytes of one extended header: room for many 64 KiB xattrs.
pub(super) const PAX_LIMIT: u64 = 1 << 20;
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What extended headers say about the entry that follows them.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<(i64, u32)>,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) sparse: bool,
}

impl Extensions {
    /// Adds the records of one PAX header.
    ///
    /// # Errors
    /// [`Error::InvalidArchive`] if a record is malformed.
    pub(super) fn add_pax(&mut self, mut records: &[u8]) -> Result<()> {
        while !records.is_empty() {
            let (key, value, rest) =
                split_record(records).ok_or_else(|| Error::archive("a PAX record is malformed"))?;
            self.add_record(key, value)?;
            records = rest;
        }
        Ok(())
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let malformed = || Error::archive(format!("PAX record {} is malformed", String::from_utf8_lossy(key)));
        if value.contains(&0) && !key.starts_with(XATTR_PREFIX) {
            return Err(malformed());
        }
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(number(value).ok_or_else(malformed)?),
            b"uid" => self.uid = Some(number(value).ok_or_else(malformed)?),
            b"gid" => self.gid = Some(number(value).ok_or_else(malformed)?),
            b"mtime" => self.mtime = Some(timestamp(value).ok_or_else(malformed)?),
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
                    if name.is_empty() || name.contains(&0) {
                        return Err(malformed());
                    }
                    self.xattrs.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

/// The first record's key and value, and what follows it. The length counts the whole record, itself included.
fn split_record(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = records.iter().take(20).position(|&b| b == b' ')?;
    let length = usize::try_from(number(&records[..blank])?).ok()?;
    let record = records.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&b| b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Seconds with an optional sign and fraction; digits beyond nanoseconds are cut.
fn timestamp(text: &[u8]) -> Option<(i64, u32)> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let point = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
    let seconds = i64::try_from(number(&text[..point])?).ok()?;
    let fraction = text.get(point + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + fraction.get(at).map_or(0, |digit| u32::from(digit - b'0')));
    match (negative, nanos) {
        (false, nanos) => Some((seconds, nanos)),
        (true, 0) => Some((-seconds, 0)),
        (true, nanos) => Some((-seconds - 1, 1_000_000_000 - nanos)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(key: &str, value: &str) -> Vec<u8> {
        let payload = key.len() + value.len() + 3;
        let mut length = payload + payload.to_string().len();
        length = payload + length.to_string().len();
        format!("{length} {key}={value}\n").into_bytes()
    }

    #[test]
    fn records_are_read() {
        let mut extensions = Extensions::default();
        let mut text = record("path", "a=b");
        text.extend(record("mtime", "-1.25"));
        text.extend(record("SCHILY.xattr.user.x", "1\0 2"));
        extensions.add_pax(&text).unwrap();
        assert_eq!(extensions.path.as_deref(), Some(&b"a=b"[..]));
        assert_eq!(extensions.mtime, Some((-2, 750_000_000)));
        assert_eq!(extensions.xattrs, [(b"user.x".to_vec(), b"1\0 2".to_vec())]);
    }

    #[test]
    fn malformed_records_are_refused() {
        for bad in [
            &b"x"[..],
            b"5 a=",
            b"99 a=b\n",
            b"3 a\n",
            b"0 a=b\n",
            b" a=b\n",
            b"10 size=x1\n",
            b"99999999999999999999 a=b\n",
        ] {
            assert!(Extensions::default().add_pax(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Extensions::default().add_pax(&bytes);
        }
    }
}
