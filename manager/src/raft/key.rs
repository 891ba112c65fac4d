//! The file that holds the key of everything in the raft directory: text, one `name value` a line.
//!
//! ```text
//! orca-raft-key 1
//! kind plain
//! cluster 0000000000000000000000001
//! key 64 hex digits
//! ```
//! `kind plain` means that the key stands there as it is, guarded by the file's mode 0600. Locking a manager only changes the
//! kind: the key is then wrapped by another one, and no record is written anew.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use model::ClusterId;
use ring::rand::{SecureRandom, SystemRandom};

use super::seal::{KEY_LEN, Sealer};
use crate::error::{Error, RecordFlaw};

/// Name of the file in the raft directory.
pub const FILE: &str = "key";
const FIRST_LINE: &str = "orca-raft-key 1";

/// A cluster's key.
pub struct RaftKey {
    /// The cluster that the key belongs to.
    pub cluster: ClusterId,
    secret: [u8; KEY_LEN],
}

impl RaftKey {
    /// Reads the key of `dir`; makes one when there is neither a key nor a log, for the cluster that is joined or a new one.
    pub fn load_or_create(dir: &Path, has_log: bool, joins: Option<ClusterId>) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let failed = |source| Error::file("read", &path, source);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mode = fs::metadata(&path).map_err(failed)?.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(Error::Key {
                        path,
                        reason: format!("its mode is {mode:o}, others can read it; run chmod 600 on it"),
                    });
                }
                Self::parse(&text).map_err(|reason| Error::Key { path, reason })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !has_log => Self::create(&path, joins),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::Key {
                path,
                reason: "it is missing, and the log beside it can't be read without it; restore it from a backup"
                    .into(),
            }),
            Err(error) => Err(failed(error)),
        }
    }

    /// The cluster whose key is in `dir`, if any.
    pub fn cluster_in(dir: &Path) -> Result<Option<ClusterId>, Error> {
        match dir.join(FILE).try_exists() {
            Ok(true) => Self::load_or_create(dir, true, None).map(|key| Some(key.cluster)),
            Ok(false) => Ok(None),
            Err(source) => Err(Error::file("look for", &dir.join(FILE), source)),
        }
    }

    /// What seals with this key.
    pub fn sealer(&self) -> Result<Sealer, RecordFlaw> {
        Sealer::new(&self.secret, self.cluster)
    }

    fn create(path: &Path, joins: Option<ClusterId>) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let (mut cluster, mut secret) = ([0; 16], [0; KEY_LEN]);
        random.fill(&mut cluster).and_then(|()| random.fill(&mut secret)).map_err(|_| Error::Random)?;
        let cluster = joins.unwrap_or(ClusterId::from_random(u128::from_le_bytes(cluster)));
        let key = Self { cluster, secret };
        write_durably(path, key.text().as_bytes()).map_err(|source| Error::file("write", path, source))?;
        Ok(key)
    }

    fn text(&self) -> String {
        let hex: String = self.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{FIRST_LINE}\nkind plain\ncluster {}\nkey {hex}\n", self.cluster)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if first != FIRST_LINE {
            return Err(format!("its first line is not {FIRST_LINE:?}: it is damaged, or of a newer release"));
        }
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
            value.ok_or_else(|| format!("it has no line {name:?} where one is expected; restore it from a backup"))
        };
        let kind = field("kind")?;
        if kind != "plain" {
            return Err(format!(
                "its kind is {kind:?}, which this release does not know; use the release that wrote it"
            ));
        }
        let cluster = field("cluster")?.parse().map_err(|error| format!("{error}"))?;
        let secret = parse_hex(field("key")?).ok_or("its key is not 64 hex digits; restore it from a backup")?;
        Ok(Self { cluster, secret })
    }
}

fn parse_hex(text: &str) -> Option<[u8; KEY_LEN]> {
    if text.len() != KEY_LEN * 2 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; KEY_LEN];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Writes a file that only its owner can read, so that after a crash it is there whole or not at all.
fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    // One that an earlier crash has left.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let made = RaftKey::load_or_create(dir.path(), false, None).unwrap();
        let read = RaftKey::load_or_create(dir.path(), true, None).unwrap();
        assert_eq!((made.cluster, made.secret), (read.cluster, read.secret));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_lost_open_or_unknown_key_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let error = || RaftKey::load_or_create(dir.path(), true, None).err().unwrap().to_string();
        assert!(error().contains("missing") && error().contains(path.to_str().unwrap()));
        write_durably(&path, b"orca-raft-key 2\n").unwrap();
        assert!(error().contains("newer release"));
        write_durably(&path, b"orca-raft-key 1\nkind wrapped\n").unwrap();
        assert!(error().contains("\"wrapped\""));
        write_durably(&path, b"orca-raft-key 1\nkind plain\ncluster 0000000000000000000000001\nkey 00\n").unwrap();
        assert!(error().contains("64 hex digits"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(error().contains("chmod 600"));
    }
}
