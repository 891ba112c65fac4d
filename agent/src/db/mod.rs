//! The agent's database: containers, volumes, the networks it was last told of.
//!
//! One thread writes. A write that somebody waits for is on disk when it is acknowledged; others linger for some
//! milliseconds, so that what follows them rides in the same fsync: a container that is started, ends and is removed at
//! once costs two. What a killed daemon had not written yet is found again by looking at shims and directories.

mod codec;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::{Assignments, ContainerId, LocalNetwork, NetworkId};
use prost::Message;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::containers::Record;
use crate::mounts::VolumeRecord;
use crate::{Error, Result};
use writer::{Change, Key, Writer};

/// Format of the whole file.
const FORMAT: u64 = 1;
/// Format of each record.
pub(crate) const RECORD_FORMAT: u32 = 1;
/// Bytes of pages kept in memory: the records are in memory anyway.
const CACHE: usize = 1 << 20;

pub(crate) const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
pub(crate) const CONTAINERS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("containers");
pub(crate) const VOLUMES: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("volumes");
/// The node's own networks; databases of the first releases lack the table.
pub(crate) const LOCAL_NETWORKS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("local_networks");
pub(crate) const NETWORKS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("networks");

/// Everything that was in the database when it was opened.
#[derive(Debug, Default)]
pub struct Contents {
    /// Containers.
    pub containers: Vec<Record>,
    /// Volumes by name.
    pub volumes: BTreeMap<String, VolumeRecord>,
    /// Networks and endpoints of the last assignments.
    pub networks: Option<Assignments>,
    /// Networks that the node keeps.
    pub local_networks: BTreeMap<NetworkId, LocalNetwork>,
}

/// The open database.
#[derive(Debug)]
pub struct Db {
    writer: Writer,
}

fn open_file(path: &Path) -> std::result::Result<Database, redb::DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

impl Db {
    /// Opens or makes the database and reads all of it.
    ///
    /// # Errors
    /// [`Error::Format`] if a later version wrote it, [`Error::Damaged`] naming the record, [`Error::Database`].
    pub fn open(path: &Path) -> Result<(Self, Contents)> {
        let fail = |reason: String| Error::Database { path: path.into(), reason };
        let database = open_file(path).map_err(|error| fail(error.to_string()))?;
        initialise(&database, path)?;
        let contents = read(&database, path)?;
        Ok((Self { writer: Writer::start(database, path.into())? }, contents))
    }

    /// Writes a container and its volumes, durably when this returns.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn create_container(&self, record: &Record, volumes: &[VolumeRecord]) -> Result<()> {
        self.writer.write_durably(with_volumes(record, volumes)).await
    }

    /// Writes a container and its volumes soon, and together: a volume that no container's record names would stay.
    pub fn save_with_volumes(&self, record: &Record, volumes: &[VolumeRecord]) {
        self.writer.write(with_volumes(record, volumes));
    }

    /// Writes a container soon.
    pub fn save_container(&self, record: &Record) {
        self.writer.write(vec![(Key::container(record.id), Some(codec::container(record)))]);
    }

    /// Forgets a container soon.
    pub fn delete_container(&self, id: ContainerId) {
        self.writer.write(vec![(Key::container(id), None)]);
    }

    /// Writes a volume soon.
    pub fn save_volume(&self, record: &VolumeRecord) {
        self.writer.write(vec![(Key::volume(&record.name), Some(codec::volume(record)))]);
    }

    /// Forgets a volume soon.
    pub fn delete_volume(&self, name: &str) {
        self.writer.write(vec![(Key::volume(name), None)]);
    }

    /// Writes what containers need to start with no manager: networks and endpoints, nothing else of the assignments.
    pub fn save_networks(&self, assignments: &Assignments) {
        self.writer.write(vec![(Key::networks(), Some(codec::networks(assignments)))]);
    }

    /// Writes one of the node's own networks, durably when this returns.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn create_network(&self, network: &LocalNetwork) -> Result<()> {
        self.writer.write_durably(vec![(Key::local_network(network.id), Some(codec::local_network(network)))]).await
    }

    /// Forgets one of the node's own networks soon.
    pub fn delete_network(&self, id: NetworkId) {
        self.writer.write(vec![(Key::local_network(id), None)]);
    }

    /// Waits until everything asked for so far is on disk.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn flush(&self) -> Result<()> {
        self.writer.flush().await
    }
}

fn with_volumes(record: &Record, volumes: &[VolumeRecord]) -> Vec<Change> {
    let container = (Key::container(record.id), Some(codec::container(record)));
    let volumes = volumes.iter().map(|volume| (Key::volume(&volume.name), Some(codec::volume(volume))));
    volumes.chain([container]).collect()
}

fn initialise(database: &Database, path: &Path) -> Result<()> {
    let fail = |reason: String| Error::Database { path: path.into(), reason };
    let transaction = database.begin_write().map_err(|error| fail(error.to_string()))?;
    let found = {
        let meta = transaction.open_table(META).map_err(|error| fail(error.to_string()))?;
        meta.get("format").map_err(|error| fail(error.to_string()))?.map(|value| value.value())
    };
    match found {
        Some(FORMAT) => return transaction.abort().map_err(|error| fail(error.to_string())),
        Some(found) => {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Error::Format { path: path.into(), found, known: FORMAT as u32 });
        }
        None => {}
    }
    {
        let mut meta = transaction.open_table(META).map_err(|error| fail(error.to_string()))?;
        meta.insert("format", FORMAT).map_err(|error| fail(error.to_string()))?;
        for table in [CONTAINERS, VOLUMES, NETWORKS, LOCAL_NETWORKS] {
            transaction.open_table(table).map_err(|error| fail(error.to_string()))?;
        }
    }
    transaction.commit().map_err(|error| fail(error.to_string()))
}

fn read(database: &Database, path: &Path) -> Result<Contents> {
    let mut contents = Contents::default();
    for (_, record) in rows(database, path, CONTAINERS, codec::read_container)? {
        contents.containers.push(record);
    }
    contents.volumes = rows(database, path, VOLUMES, codec::read_volume)?.into_iter().collect();
    contents.networks =
        rows(database, path, NETWORKS, codec::read_networks)?.into_iter().map(|(_, value)| value).next();
    let networks = rows(database, path, LOCAL_NETWORKS, codec::read_local_network)?;
    contents.local_networks = networks.into_iter().map(|(_, network)| (network.id, network)).collect();
    Ok(contents)
}

/// All rows of a table. A row that cannot be read ends the start: to go on without it would orphan what it stands for.
fn rows<W: Message + Default, T>(
    database: &Database,
    path: &Path,
    table: TableDefinition<'static, &str, &[u8]>,
    convert: impl Fn(W) -> std::result::Result<T, codec::Unreadable>,
) -> Result<Vec<(String, T)>> {
    let fail = |reason: String| Error::Database { path: path.into(), reason };
    let transaction = database.begin_read().map_err(|error| fail(error.to_string()))?;
    let table = match transaction.open_table(table) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        opened => opened.map_err(|error| fail(error.to_string()))?,
    };
    let mut rows = Vec::new();
    for row in table.iter().map_err(|error| fail(error.to_string()))? {
        let (key, value) = row.map_err(|error| fail(error.to_string()))?;
        let key = key.value().to_owned();
        let wire = W::decode(value.value())
            .map_err(|error| Error::Damaged { path: path.into(), reason: format!("record {key}: {error}") })?;
        let record = convert(wire).map_err(|unreadable| unreadable.of(path, &key))?;
        rows.push((key, record));
    }
    Ok(rows)
}

/// Where a database was, for messages.
pub(crate) type Location = PathBuf;
