//! The file that holds the key of everything in the raft directory: text, one `name value` a line.
//!
//! ```text
//! orca-raft-key 1
//! kind plain
//! cluster 0000000000000000000000001
//! key 64 hex digits
//! ```
//! `kind plain` means that the key stands there as it is, guarded by the file's mode 0600. Locking a manager only changes the
//! kind to `wrapped`: the key is then a sealed record, of the unlock key, and no other record is written anew.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use model::{ClusterId, KeptKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::seal::{KEY_LEN, Place, Sealer};
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

/// What is in the file.
struct Content {
    cluster: ClusterId,
    is_wrapped: bool,
    /// The key, or the record that it is sealed in.
    bytes: Vec<u8>,
}

impl RaftKey {
    /// Reads the key of `dir`; makes one when there is neither a key nor a log, for the cluster that is joined or a new one. One that
    /// is wrapped needs the unlock key.
    pub fn load_or_create(
        dir: &Path,
        has_log: bool,
        joins: Option<ClusterId>,
        unlock: Option<&KeptKey>,
    ) -> Result<Self, Error> {
        let path = dir.join(FILE);
        match read(&path)? {
            Some(content) => Self::open(content, unlock, &path),
            None if !has_log => Self::create(&path, joins),
            None => Err(Error::Key {
                path,
                reason: "it is missing, and the log beside it can't be read without it; restore it from a backup"
                    .into(),
            }),
        }
    }

    /// The cluster whose key is in `dir`, if any.
    pub fn cluster_in(dir: &Path) -> Result<Option<ClusterId>, Error> {
        Ok(read(&dir.join(FILE))?.map(|content| content.cluster))
    }

    /// Whether the key in `dir` needs the unlock key.
    pub fn is_wrapped_in(dir: &Path) -> Result<bool, Error> {
        Ok(read(&dir.join(FILE))?.is_some_and(|content| content.is_wrapped))
    }

    /// What seals with this key.
    pub fn sealer(&self) -> Result<Sealer, RecordFlaw> {
        Sealer::new(&self.secret, self.cluster)
    }

    /// Writes the key anew: wrapped by this one, or plain.
    pub fn keep(&self, dir: &Path, lock: Option<&KeptKey>) -> Result<(), Error> {
        let path = dir.join(FILE);
        let failed = |flaw: RecordFlaw| Error::Key { path: path.clone(), reason: flaw.to_string() };
        let text = match lock {
            None => self.text("plain", &self.secret),
            Some(lock) => {
                let sealer = Sealer::new(lock.reveal(), self.cluster).map_err(failed)?;
                self.text("wrapped", &sealer.seal(Place::WrappedKey, &self.secret).map_err(failed)?)
            }
        };
        write_durably(&path, text.as_bytes()).map_err(|source| Error::file("write", &path, source))
    }

    fn create(path: &Path, joins: Option<ClusterId>) -> Result<Self, Error> {
        let random = SystemRandom::new();
        let (mut cluster, mut secret) = ([0; 16], [0; KEY_LEN]);
        random.fill(&mut cluster).and_then(|()| random.fill(&mut secret)).map_err(|_| Error::Random)?;
        let cluster = joins.unwrap_or(ClusterId::from_random(u128::from_le_bytes(cluster)));
        let key = Self { cluster, secret };
        let text = key.text("plain", &key.secret);
        write_durably(path, text.as_bytes()).map_err(|source| Error::file("write", path, source))?;
        Ok(key)
    }

    fn open(content: Content, unlock: Option<&KeptKey>, path: &Path) -> Result<Self, Error> {
        let Content { cluster, is_wrapped, bytes } = content;
        let plain = match (is_wrapped, unlock) {
            (false, _) => bytes,
            (true, None) => return Err(Error::Locked),
            (true, Some(unlock)) => {
                let sealer = Sealer::new(unlock.reveal(), cluster);
                sealer.and_then(|sealer| sealer.open(Place::WrappedKey, &bytes)).map_err(|_| Error::WrongKey)?
            }
        };
        let secret = plain.as_slice().try_into().map_err(|_| Error::Key {
            path: path.into(),
            reason: "its key is not 64 hex digits; restore it from a backup".into(),
        })?;
        Ok(Self { cluster, secret })
    }

    fn text(&self, kind: &str, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{FIRST_LINE}\nkind {kind}\ncluster {}\nkey {hex}\n", self.cluster)
    }
}

fn read(path: &Path) -> Result<Option<Content>, Error> {
    let failed = |source| Error::file("read", path, source);
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let unusable = |reason| Error::Key { path: path.into(), reason };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(unusable(format!("its mode is {mode:o}, others can read it; run chmod 600 on it")));
    }
    parse(&text).map(Some).map_err(unusable)
}

fn parse(text: &str) -> Result<Content, String> {
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
    let is_wrapped = match field("kind")? {
        "plain" => false,
        "wrapped" => true,
        kind => {
            return Err(format!(
                "its kind is {kind:?}, which this release does not know; use the release that wrote it"
            ));
        }
    };
    let cluster = field("cluster")?.parse().map_err(|error| format!("{error}"))?;
    let bytes = parse_hex(field("key")?).filter(|bytes| is_wrapped || bytes.len() == KEY_LEN);
    let bytes = bytes.ok_or("its key is not 64 hex digits; restore it from a backup")?;
    Ok(Content { cluster, is_wrapped, bytes })
}

fn parse_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || text.len() > 1024 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len() / 2).map(|index| u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).ok()).collect()
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
        let made = RaftKey::load_or_create(dir.path(), false, None, None).unwrap();
        let read = RaftKey::load_or_create(dir.path(), true, None, None).unwrap();
        assert_eq!((made.cluster, made.secret), (read.cluster, read.secret));
        let mode = fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_wrapped_key_opens_with_its_unlock_key_only() {
        let dir = tempfile::tempdir().unwrap();
        let unlock = |byte| KeptKey::new([byte; 32]);
        let made = RaftKey::load_or_create(dir.path(), false, None, None).unwrap();
        made.keep(dir.path(), Some(&unlock(1))).unwrap();
        assert!(RaftKey::is_wrapped_in(dir.path()).unwrap());
        assert_eq!(RaftKey::cluster_in(dir.path()).unwrap(), Some(made.cluster));
        let hex: String = made.secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!fs::read_to_string(dir.path().join(FILE)).unwrap().contains(&hex));
        let load = |key: Option<KeptKey>| RaftKey::load_or_create(dir.path(), true, None, key.as_ref());
        assert!(matches!(load(None), Err(Error::Locked)));
        assert!(matches!(load(Some(unlock(2))), Err(Error::WrongKey)));
        assert_eq!(load(Some(unlock(1))).unwrap().secret, made.secret);
        made.keep(dir.path(), None).unwrap();
        assert!(!RaftKey::is_wrapped_in(dir.path()).unwrap());
        assert_eq!(load(Some(unlock(2))).unwrap().secret, made.secret, "a plain one needs none");
    }

    #[test]
    fn a_lost_open_or_unknown_key_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let error = || RaftKey::load_or_create(dir.path(), true, None, None).err().unwrap().to_string();
        assert!(error().contains("missing") && error().contains(path.to_str().unwrap()));
        write_durably(&path, b"orca-raft-key 2\n").unwrap();
        assert!(error().contains("newer release"));
        write_durably(&path, b"orca-raft-key 1\nkind other\n").unwrap();
        assert!(error().contains("\"other\""));
        write_durably(&path, b"orca-raft-key 1\nkind plain\ncluster 0000000000000000000000001\nkey 00\n").unwrap();
        assert!(error().contains("64 hex digits"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(error().contains("chmod 600"));
    }
}
