//! The only thread that writes the log: it drains its queue into one transaction, so that whatever arrives during one fsync
//! shares the next (group commit).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::time::Duration;

use openraft::storage::IOFlushed;
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::sync::{oneshot, watch};

use super::types::Types;
use crate::error::Error;

/// Sealed entries by index.
pub const LOG: TableDefinition<u64, &[u8]> = TableDefinition::new("log");
/// Sealed single values by name.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");
/// redb's cache in bytes: the log is read once at a start and seldom after.
const CACHE: usize = 4 << 20;
/// Most entries in one transaction, so that the first of a long queue need not wait for the last.
const BATCH: usize = 8192;
/// How long a full disk is left alone before the write is tried again.
const FULL_DISK_RETRY: Duration = Duration::from_millis(500);

/// A write, in the order in which Raft asks for it.
pub enum Write {
    Append {
        entries: Vec<(u64, Vec<u8>)>,
        ticket: u64,
        done: IOFlushed<Types>,
    },
    /// Durable when `done` says so.
    Put {
        name: &'static str,
        record: Vec<u8>,
        done: oneshot::Sender<std::io::Result<()>>,
    },
    /// Rides in the next transaction; losing it costs only a little time at the next start.
    PutLazily {
        name: &'static str,
        record: Vec<u8>,
    },
    TruncateFrom(u64),
    PurgeTo {
        index: u64,
        record: Vec<u8>,
    },
    Stop(oneshot::Sender<()>),
}

/// The database; gone for a moment while it is opened anew after an error.
pub struct Disk {
    pub path: PathBuf,
    database: RwLock<Option<Database>>,
    full: watch::Sender<bool>,
}

impl Disk {
    /// Opens the log, or makes one.
    pub fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let database = open(path)?;
        Ok(Arc::new(Self {
            path: path.to_owned(),
            database: RwLock::new(Some(database)),
            full: watch::Sender::new(false),
        }))
    }

    /// Whether writes wait for room on the disk.
    pub fn full(&self) -> watch::Receiver<bool> {
        self.full.subscribe()
    }

    /// Calls `read` with a consistent view of the tables.
    pub fn read<R>(&self, read: impl FnOnce(&redb::ReadTransaction) -> Result<R, redb::Error>) -> Result<R, Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Error::database(&self.path, redb::Error::DatabaseClosed))?;
        let transaction = database.begin_read().map_err(|error| Error::database(&self.path, error))?;
        read(&transaction).map_err(|error| Error::database(&self.path, error))
    }

    fn write(&self, batch: &[Write]) -> Result<(), Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or_else(|| Error::database(&self.path, redb::Error::DatabaseClosed))?;
        commit(database, batch).map_err(|error| Error::database(&self.path, error))
    }

    /// After an I/O error redb refuses everything until its file is opened again.
    fn reopen(&self) -> Result<(), Error> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        *database = None;
        *database = Some(open(&self.path)?);
        Ok(())
    }

    fn close(&self) {
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

fn open(path: &Path) -> Result<Database, Error> {
    let database =
        Database::builder().set_cache_size(CACHE).create(path).map_err(|error| Error::database(path, error))?;
    commit(&database, &[]).map_err(|error| Error::database(path, error))?;
    Ok(database)
}

fn commit(database: &Database, batch: &[Write]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut log = transaction.open_table(LOG)?;
        let mut meta = transaction.open_table(META)?;
        for write in batch {
            match write {
                Write::Append { entries, .. } => {
                    for (index, record) in entries {
                        log.insert(index, record.as_slice())?;
                    }
                }
                Write::Put { name, record, .. } | Write::PutLazily { name, record } => {
                    meta.insert(name, record.as_slice())?;
                }
                Write::TruncateFrom(index) => log.retain_in(*index.., |_, _| false)?,
                Write::PurgeTo { index, record } => {
                    meta.insert("purged", record.as_slice())?;
                    log.retain_in(..=*index, |_, _| false)?;
                }
                Write::Stop(_) => {}
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// The writer's queue.
pub struct Writer {
    queue: Mutex<mpsc::Sender<Write>>,
}

impl Writer {
    /// Starts the thread. `flushed` is told the ticket of each append that is on disk, before Raft is.
    pub fn start(disk: Arc<Disk>, flushed: impl Fn(u64) + Send + 'static) -> Result<Self, Error> {
        let (queue, writes) = mpsc::channel();
        let run = move || run(&disk, &writes, &flushed);
        let thread = std::thread::Builder::new().name("raft-log".into()).spawn(run);
        thread.map_err(|source| Error::Thread { name: "raft-log", source })?;
        Ok(Self { queue: Mutex::new(queue) })
    }

    /// Queues a write.
    pub fn send(&self, write: Write) -> std::io::Result<()> {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.send(write).map_err(|_| std::io::Error::other("the raft log's writer has stopped"))
    }

    /// Writes what is queued and closes the database.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.send(Write::Stop(done)).is_ok() {
            // An error means that the thread has ended already.
            let _ = stopped.await;
        }
    }
}

fn run(disk: &Disk, writes: &mpsc::Receiver<Write>, flushed: &dyn Fn(u64)) {
    let mut batch = Vec::new();
    while let Ok(first) = writes.recv() {
        collect(first, writes, &mut batch);
        // Nobody waits for these: they ride in the next transaction instead of costing one.
        if batch.iter().all(|write| matches!(write, Write::PutLazily { .. })) {
            batch.drain(..batch.len() - 1);
            continue;
        }
        let result = write_patiently(disk, &batch);
        if let Some(stopped) = finish(batch.drain(..), &result, flushed) {
            disk.close();
            // Nobody may wait any more.
            let _ = stopped.send(());
            break;
        }
    }
}

fn collect(first: Write, writes: &mpsc::Receiver<Write>, batch: &mut Vec<Write>) {
    let mut next = Some(first);
    while let Some(write) = next {
        let stop = matches!(write, Write::Stop(_));
        batch.push(write);
        next = if stop || batch.len() >= BATCH { None } else { writes.try_recv().ok() };
    }
}

/// A full disk is waited out, since failing the write would end Raft for good; other errors are returned.
fn write_patiently(disk: &Disk, batch: &[Write]) -> Result<(), Error> {
    loop {
        let error = match disk.write(batch) {
            Ok(()) => {
                disk.full.send_if_modified(|full| std::mem::replace(full, false));
                return Ok(());
            }
            Err(error) => error,
        };
        let stopping = batch.iter().any(|write| matches!(write, Write::Stop(_)));
        if !error.is_full_disk() || stopping {
            return Err(error);
        }
        if !disk.full.send_replace(true) {
            tracing::error!(%error, "the raft log waits for room on its disk");
        }
        std::thread::sleep(FULL_DISK_RETRY);
        match disk.reopen() {
            Err(error) if !error.is_full_disk() => return Err(error),
            _ => {}
        }
    }
}

/// Tells who waits; whom to tell once the writer has stopped, if it is to.
fn finish(
    batch: impl Iterator<Item = Write>,
    result: &Result<(), Error>,
    flushed: &dyn Fn(u64),
) -> Option<oneshot::Sender<()>> {
    let outcome = || match result {
        Ok(()) => Ok(()),
        Err(error) => Err(std::io::Error::other(error.to_string())),
    };
    let mut stop = None;
    for write in batch {
        match write {
            Write::Append { ticket, done, .. } => {
                if result.is_ok() {
                    flushed(ticket);
                }
                done.io_completed(outcome());
            }
            // Nobody may wait any more.
            Write::Put { done, .. } => drop(done.send(outcome())),
            Write::PutLazily { .. } | Write::TruncateFrom(_) | Write::PurgeTo { .. } => {}
            Write::Stop(done) => stop = Some(done),
        }
    }
    stop
}
