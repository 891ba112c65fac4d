//! What a node of a cluster keeps of it: one file, replaced as a whole, and its key. Both can be read by root only.

use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use api::identity::NodeKey;
use api::tls::Identity;
use model::{ClusterId, NodeRole, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

const DIR: &str = "swarm";
const FILE: &str = "node.json";
const KEY: &str = "key.pem";
const FORMAT: u32 = 1;

/// A node's place in a cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    format: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// What the certificate lets the node do.
    pub role: NodeRole,
    /// The CA's certificate, PEM; of both CAs while one takes over from the other.
    pub ca: String,
    /// SHA-256 of the certificate of the CA that issued the node's own; empty: the only one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authority: Vec<u8>,
    /// The node's own and the CA's, PEM.
    pub certificate: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Where it listens as a manager.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub address: SocketAddr,
    /// Where managers listen.
    pub managers: Vec<String>,
    /// Where others' packets for its containers reach it, if not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_path: Option<IpAddr>,
}

impl Document {
    /// One of the format that this release writes.
    pub fn new(cluster: ClusterId, listen: SocketAddr, address: SocketAddr) -> Self {
        let (ca, certificate, managers) = (String::new(), String::new(), Vec::new());
        let (issued_at, expires_at) = (Timestamp::default(), Timestamp::default());
        Self {
            format: FORMAT,
            cluster,
            role: NodeRole::Worker,
            ca,
            authority: Vec::new(),
            certificate,
            issued_at,
            expires_at,
            listen,
            address,
            managers,
            data_path: None,
        }
    }

    /// What the node shows to others.
    pub fn identity(&self, key: &NodeKey) -> Identity {
        Identity { ca: self.ca.clone(), cert: self.certificate.clone(), key: key.pem.clone() }
    }

    /// Which CA issued the node's certificate.
    pub fn authority(&self) -> Result<Vec<u8>> {
        match self.authority.is_empty() {
            true => Ok(api::identity::digest_of_pem(&self.ca)?.to_vec()),
            false => Ok(self.authority.clone()),
        }
    }

    /// Those of the managers' addresses that are addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.managers.iter().filter_map(|address| address.parse().ok()).collect()
    }
}

/// The directory.
#[derive(Debug, Clone)]
pub struct Files {
    dir: PathBuf,
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { action, path: path.into(), source }
}

fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

impl Files {
    /// In a data directory.
    pub fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join(DIR) }
    }

    /// The node's place, if it has one.
    pub fn document(&self) -> Result<Option<Document>> {
        let path = self.dir.join(FILE);
        let Some(text) = read(&path)? else { return Ok(None) };
        let damaged = |reason: String| Error::Start { action: "use its place in the cluster", reason };
        let document: Document = serde_json::from_str(&text)
            .map_err(|error| damaged(format!("{} is damaged ({error}); restore it from a backup", path.display())))?;
        if document.format != FORMAT {
            let found = document.format;
            return Err(damaged(format!("{} is of format {found}; run the release that wrote it", path.display())));
        }
        Ok(Some(document))
    }

    /// The node's key; made at the first time, and kept as long as the node is in one cluster or on its way there.
    pub fn key(&self) -> Result<NodeKey> {
        let path = self.dir.join(KEY);
        if let Some(text) = read(&path)? {
            return Ok(NodeKey::from_pem(&text)?);
        }
        let key = NodeKey::generate()?;
        self.write(KEY, &key.pem)?;
        Ok(key)
    }

    /// Keeps the node's place.
    pub fn save(&self, document: &Document) -> Result<()> {
        let text = serde_json::to_string_pretty(document)
            .map_err(|error| Error::Start { action: "keep its place in the cluster", reason: error.to_string() })?;
        self.write(FILE, &text)
    }

    /// Forgets the cluster, the place first.
    pub fn forget(&self) -> Result<()> {
        for path in [self.dir.join(FILE), self.dir.join(KEY)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        let staged = self.dir.join(format!(".{name}.new"));
        let write = || -> io::Result<()> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            // One that an earlier crash has left.
            match fs::remove_file(&staged) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&staged, &path)?;
            fs::File::open(&self.dir)?.sync_all()
        };
        write().map_err(failed("write", &path))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_place_is_kept_for_root_only_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path());
        assert!(files.document().unwrap().is_none());
        let key = files.key().unwrap();
        let address = "10.0.0.1:2377".parse().unwrap();
        let document = Document::new(ClusterId::from_random(1), address, address);
        files.save(&document).unwrap();
        assert!(files.document().unwrap() == Some(document));
        assert_eq!(files.key().unwrap().public, key.public);
        for name in [FILE, KEY] {
            let mode = fs::metadata(dir.path().join(DIR).join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        files.forget().unwrap();
        assert!(files.document().unwrap().is_none() && files.key().unwrap().public != key.public);
        fs::write(dir.path().join(DIR).join(FILE), "{").unwrap();
        assert!(files.document().is_err());
    }
}
