//! The one thread that writes.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use model::{ContainerId, NetworkId};
use redb::{Database, TableDefinition};
use tokio::sync::oneshot;

use super::{CONTAINERS, LOCAL_NETWORKS, Location, NETWORKS, VOLUMES};
use crate::{Error, Result};

/// How long a write that nobody waits for lingers.
const LINGER: Duration = Duration::from_millis(25);
/// When to try again after a failed commit, as on a full disk.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Containers,
    Volumes,
    Networks,
    LocalNetworks,
}

/// Which row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Table, String);

impl Key {
    pub fn container(id: ContainerId) -> Self {
        Self(Table::Containers, id.to_string())
    }

    pub fn volume(name: &str) -> Self {
        Self(Table::Volumes, name.into())
    }

    pub fn networks() -> Self {
        Self(Table::Networks, "assigned".into())
    }

    pub fn local_network(id: NetworkId) -> Self {
        Self(Table::LocalNetworks, id.to_string())
    }

    fn table(&self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        match self.0 {
            Table::Containers => CONTAINERS,
            Table::Volumes => VOLUMES,
            Table::Networks => NETWORKS,
            Table::LocalNetworks => LOCAL_NETWORKS,
        }
    }
}

type Acknowledge = oneshot::Sender<std::result::Result<(), String>>;

/// What becomes of a row; `None` deletes it.
pub type Change = (Key, Option<Vec<u8>>);

struct Message {
    /// They are on disk together or not at all.
    changes: Vec<Change>,
    acknowledge: Option<Acknowledge>,
}

/// Hands rows to the writing thread.
#[derive(Debug)]
pub struct Writer {
    sender: Option<Sender<Message>>,
    thread: Option<std::thread::JoinHandle<()>>,
    location: Location,
}

impl Writer {
    pub fn start(database: Database, location: Location) -> Result<Self> {
        let (sender, receiver) = channel();
        let disk = Disk { path: location.clone(), database: Some(database) };
        let thread = std::thread::Builder::new().name("agent-db".into()).spawn(move || run(disk, &receiver));
        let thread = thread.map_err(Error::io("start the writer of", &location))?;
        Ok(Self { sender: Some(sender), thread: Some(thread), location })
    }

    /// Writes rows soon.
    pub fn write(&self, changes: Vec<Change>) {
        self.send(Message { changes, acknowledge: None });
    }

    /// Writes rows; they are on disk when this returns.
    pub async fn write_durably(&self, changes: Vec<Change>) -> Result<()> {
        let (acknowledge, done) = oneshot::channel();
        self.send(Message { changes, acknowledge: Some(acknowledge) });
        let done = done.await.unwrap_or_else(|_| Err("its writer has ended".into()));
        done.map_err(|reason| Error::Database { path: self.location.clone(), reason })
    }

    /// Waits for all rows so far.
    pub async fn flush(&self) -> Result<()> {
        self.write_durably(Vec::new()).await
    }

    fn send(&self, message: Message) {
        // Without its thread nothing can be written; who waits for an acknowledgement is told.
        if let Some(sender) = &self.sender {
            let _ = sender.send(message);
        }
    }
}

impl Drop for Writer {
    /// Writes what is left before the database closes.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The database; gone after an error until it is opened anew.
struct Disk {
    path: Location,
    database: Option<Database>,
}

impl Disk {
    /// Writes rows. After an I/O error redb refuses everything, room on the disk or not, until its file is opened again.
    fn commit(&mut self, pending: &BTreeMap<Key, Option<Vec<u8>>>) -> std::result::Result<(), Box<redb::Error>> {
        let database = match self.database.take() {
            Some(database) => database,
            None => super::open_file(&self.path).map_err(|error| Box::new(error.into()))?,
        };
        commit(&database, pending)?;
        self.database = Some(database);
        Ok(())
    }
}

fn run(mut disk: Disk, receiver: &Receiver<Message>) {
    let mut pending = BTreeMap::new();
    let mut waiting: Vec<Acknowledge> = Vec::new();
    let mut due: Option<Instant> = None;
    loop {
        let message = match due {
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => receiver.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        let ended = matches!(message, Err(RecvTimeoutError::Disconnected));
        let mut urgent = ended || message.is_err();
        for message in message.into_iter().chain(std::iter::from_fn(|| receiver.try_recv().ok())) {
            pending.extend(message.changes);
            urgent |= message.acknowledge.is_some();
            waiting.extend(message.acknowledge);
        }
        if !urgent {
            due = due.or_else(|| Some(Instant::now() + LINGER));
            continue;
        }
        let done = if pending.is_empty() { Ok(()) } else { disk.commit(&pending).map_err(|error| error.to_string()) };
        due = match &done {
            Ok(()) => {
                pending.clear();
                None
            }
            Err(error) => {
                tracing::error!(%error, "the agent's database cannot be written; trying again");
                Some(Instant::now() + RETRY)
            }
        };
        for acknowledge in waiting.drain(..) {
            // Who has stopped waiting needs no answer.
            let _ = acknowledge.send(done.clone());
        }
        if ended {
            return;
        }
    }
}

fn commit(database: &Database, pending: &BTreeMap<Key, Option<Vec<u8>>>) -> std::result::Result<(), Box<redb::Error>> {
    let boxed = |error: redb::Error| Box::new(error);
    let transaction = database.begin_write().map_err(|error| boxed(error.into()))?;
    for (key, value) in pending {
        let mut table = transaction.open_table(key.table()).map_err(|error| boxed(error.into()))?;
        match value {
            Some(value) => table.insert(key.1.as_str(), value.as_slice()).map(drop),
            None => table.remove(key.1.as_str()).map(drop),
        }
        .map_err(|error| boxed(error.into()))?;
    }
    transaction.commit().map_err(|error| boxed(error.into()))
}
