//! Who this node is, and the exclusive right to its data directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use model::NodeId;
use net::plan::NodeKey;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, random};

const FILE: &str = "node.json";
const LOCK: &str = "daemon.lock";
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    id: NodeId,
}

/// This node. Holds the lock on its data directory until it is dropped.
#[derive(Debug)]
pub struct Identity {
    /// The node's id, made at its first start.
    pub id: NodeId,
    /// What names of devices, cgroups and tables begin with.
    pub key: NodeKey,
    _lock: File,
}

impl Identity {
    /// Takes the data directory, making it and the node's id where there are none.
    ///
    /// # Errors
    /// [`Error::DataDirInUse`] while another daemon has it; [`Error::Format`], [`Error::Damaged`], [`Error::Io`].
    pub fn open(data_dir: &Path) -> Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o711).create(data_dir).map_err(Error::io("make", data_dir))?;
        let lock_path = data_dir.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(Error::io("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::DataDirInUse { path: data_dir.into() }),
            Err(errno) => return Err(Error::io("lock", &lock_path)(errno)),
        }
        let id = read_or_make(data_dir)?;
        Ok(Self { id, key: NodeKey::of(id), _lock: lock })
    }
}

fn read_or_make(data_dir: &Path) -> Result<NodeId> {
    let path = data_dir.join(FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return make(data_dir, &path),
        Err(error) => return Err(Error::io("read", &path)(error)),
    };
    let document: Document = serde_json::from_slice(&bytes)
        .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
    if document.format != FORMAT {
        return Err(Error::Format { path, found: document.format, known: FORMAT });
    }
    Ok(document.id)
}

fn make(data_dir: &Path, path: &Path) -> Result<NodeId> {
    let document = Document { format: FORMAT, id: NodeId::from_random(random::bits128()?) };
    let text = serde_json::to_vec(&document)
        .map_err(|error| Error::Damaged { path: path.into(), reason: error.to_string() })?;
    let staged = data_dir.join(".node.json.new");
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&staged)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&staged, path)?;
        File::open(data_dir)?.sync_all()
    };
    write().map_err(Error::io("write", path))?;
    Ok(document.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_kept_and_the_directory_is_one_daemons() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(dir.path()).unwrap();
        assert!(matches!(Identity::open(dir.path()), Err(Error::DataDirInUse { .. })));
        let id = first.id;
        drop(first);
        assert_eq!(Identity::open(dir.path()).unwrap().id, id);
    }

    #[test]
    fn a_later_format_and_damage_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"format":2,"id":"0000000000000000000000001"}"#).unwrap();
        assert!(matches!(Identity::open(dir.path()), Err(Error::Format { found: 2, .. })));
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(matches!(Identity::open(dir.path()), Err(Error::Damaged { .. })));
        // The form of version 1.
        fs::write(dir.path().join(FILE), r#"{"format":1,"id":"0000000000000000000000001"}"#).unwrap();
        assert_eq!(Identity::open(dir.path()).unwrap().id, NodeId::from_random(1));
    }
}
