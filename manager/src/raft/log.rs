//! The Raft log: entries, vote, committed and purged positions, sealed, in redb; the newest entries also in memory, from where
//! they are applied.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{OptionalSend, RaftTypeConfig};
use prost::Message;
use redb::ReadableTable;
use tokio::sync::{oneshot, watch};

use super::record::{self, EntryRecord, LogIdRecord, MemberRecord, VoteRecord};
use super::seal::{Place, Sealer};
use super::types::{Entry, LogId, Payload, Types, Vote};
use super::writer::{Disk, LOG, META, Write, Writer};
use crate::error::{Error, RecordFlaw};

/// Name of the file in the raft directory.
pub const FILE: &str = "log.redb";
/// Bytes of entries that stay in memory although they are on disk.
const TAIL: usize = 256 << 10;

/// The log; clones share it.
#[derive(Clone)]
pub struct Log {
    disk: Arc<Disk>,
    writer: Arc<Writer>,
    sealer: Arc<Sealer>,
    memory: Arc<Mutex<Memory>>,
}

/// What is known without the disk.
#[derive(Default)]
struct Memory {
    /// The log's newest entries, each with the ticket of its append.
    tail: BTreeMap<u64, (Entry, u64)>,
    tail_bytes: usize,
    /// The last ticket given.
    ticket: u64,
    last: Option<LogId>,
    purged: Option<LogId>,
    vote: Option<Vote>,
    committed: Option<LogId>,
}

fn weight(entry: &Entry) -> usize {
    size_of::<Entry>() + if let Payload::Normal(proposal) = &entry.payload { proposal.0.len() } else { 0 }
}

impl Memory {
    fn push(&mut self, entry: Entry, ticket: u64) {
        self.tail_bytes += weight(&entry);
        self.last = Some(entry.log_id);
        self.tail.insert(entry.log_id.index, (entry, ticket));
    }

    /// Forgets the oldest entries that are on disk.
    fn flushed(&mut self, ticket: u64) {
        while self.tail_bytes > TAIL {
            match self.tail.first_entry() {
                Some(first) if first.get().1 <= ticket => {
                    self.tail_bytes -= weight(&first.remove().0);
                }
                _ => break,
            }
        }
    }

    fn truncate_from(&mut self, index: u64) {
        for (_, (entry, _)) in self.tail.split_off(&index) {
            self.tail_bytes -= weight(&entry);
        }
    }

    fn purge_to(&mut self, id: LogId) {
        let kept = self.tail.split_off(&(id.index + 1));
        for (_, (entry, _)) in std::mem::replace(&mut self.tail, kept) {
            self.tail_bytes -= weight(&entry);
        }
        self.purged = Some(id);
        self.last = self.last.max(Some(id));
    }
}

impl Log {
    /// Opens the log in `dir` and reads all of it once, so that damage is told at the start.
    pub fn open(dir: &Path, sealer: Arc<Sealer>) -> Result<Self, Error> {
        let disk = Disk::open(&dir.join(FILE))?;
        let memory = load(&disk, &sealer)?;
        let memory = Arc::new(Mutex::new(memory));
        let shared = memory.clone();
        let flushed = move |ticket| shared.lock().unwrap_or_else(PoisonError::into_inner).flushed(ticket);
        let writer = Arc::new(Writer::start(disk.clone(), flushed)?);
        Ok(Self { disk, writer, sealer, memory })
    }

    /// Writes what is queued and closes the file.
    pub async fn close(&self) {
        self.writer.stop().await;
    }

    /// Whether writes wait for room on the disk.
    pub fn disk_full(&self) -> watch::Receiver<bool> {
        self.disk.full()
    }

    /// Who writes this log, once that is known.
    pub fn member(&self) -> Result<Option<MemberRecord>, Error> {
        read_meta(&self.disk, &self.sealer, "member")
    }

    /// Says durably who writes this log.
    pub async fn set_member(&self, member: &MemberRecord) -> Result<(), Error> {
        let path = &self.disk.path;
        self.put("member", member.encode_to_vec()).await.map_err(|source| Error::file("write", path, source))
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal(&self, place: Place, plain: &[u8]) -> io::Result<Vec<u8>> {
        self.sealer.seal(place, plain).map_err(io::Error::other)
    }

    async fn put(&self, name: &'static str, plain: Vec<u8>) -> io::Result<()> {
        let record = self.seal(Place::Meta(name), &plain)?;
        let (done, written) = oneshot::channel();
        self.writer.send(Write::Put { name, record, done })?;
        written.await.map_err(|_| io::Error::other("the raft log's writer has stopped"))?
    }

    /// Entries `start..end` from disk.
    fn read_disk(&self, start: u64, end: u64) -> Result<Vec<Entry>, Error> {
        let records = self.disk.read(|transaction| {
            let mut records = Vec::new();
            for item in transaction.open_table(LOG)?.range(start..end)? {
                let (index, record) = item?;
                records.push((index.value(), record.value().to_vec()));
            }
            Ok(records)
        })?;
        records.into_iter().map(|(index, record)| open_entry(&self.disk, &self.sealer, index, &record)).collect()
    }
}

fn open_entry(disk: &Disk, sealer: &Sealer, index: u64, sealed: &[u8]) -> Result<Entry, Error> {
    let entry = sealer
        .open(Place::Log(index), sealed)
        .and_then(|plain| record::decode::<EntryRecord>(&plain)?.into_entry(index));
    entry.map_err(|flaw| Error::Record { path: disk.path.clone(), record: format!("entry {index}"), flaw })
}

fn read_meta<M: Message + Default>(disk: &Disk, sealer: &Sealer, name: &'static str) -> Result<Option<M>, Error> {
    let sealed = disk.read(|transaction| {
        let table = transaction.open_table(META)?;
        Ok(table.get(name)?.map(|record| record.value().to_vec()))
    })?;
    let message = sealed.map(|sealed| sealer.open(Place::Meta(name), &sealed).and_then(|plain| record::decode(&plain)));
    message.transpose().map_err(|flaw| Error::Record { path: disk.path.clone(), record: format!("the {name}"), flaw })
}

fn load(disk: &Disk, sealer: &Sealer) -> Result<Memory, Error> {
    let purged = read_meta::<LogIdRecord>(disk, sealer, "purged")?.map(LogId::from);
    let mut last = purged;
    let mut problem = None;
    disk.read(|transaction| {
        for item in transaction.open_table(LOG)?.iter()? {
            let (index, record) = item?;
            let index = index.value();
            match open_entry(disk, sealer, index, record.value()) {
                Ok(entry) if last.is_none_or(|last| last.index + 1 == index) => last = Some(entry.log_id),
                Ok(_) => {
                    let missing = last.map_or(0, |last| last.index + 1);
                    let (path, record) = (disk.path.clone(), format!("entry {missing}"));
                    problem = Some(Error::Record { path, record, flaw: RecordFlaw::Missing });
                    break;
                }
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            }
        }
        Ok(())
    })?;
    problem.map_or(Ok(()), Err)?;
    Ok(Memory {
        last,
        purged,
        vote: read_meta::<VoteRecord>(disk, sealer, "vote")?.map(Vote::from),
        committed: read_meta::<LogIdRecord>(disk, sealer, "committed")?.map(LogId::from),
        ..Memory::default()
    })
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, io::Error> {
        let (start, end, on_disk_before, tail) = {
            let memory = self.memory();
            let start = match range.start_bound() {
                Bound::Included(index) => *index,
                Bound::Excluded(index) => index.saturating_add(1),
                Bound::Unbounded => 0,
            };
            let end = match range.end_bound() {
                Bound::Included(index) => index.saturating_add(1),
                Bound::Excluded(index) => *index,
                Bound::Unbounded => u64::MAX,
            };
            // What is purged or truncated may still be on disk for a moment.
            let start = start.max(memory.purged.map_or(0, |id| id.index + 1));
            let end = end.min(memory.last.map_or(0, |id| id.index + 1));
            if start >= end {
                return Ok(Vec::new());
            }
            let tail: Vec<Entry> = memory.tail.range(start..end).map(|(_, (entry, _))| entry.clone()).collect();
            (start, end, memory.tail.keys().next().copied().unwrap_or(u64::MAX), tail)
        };
        let mut entries = Vec::new();
        if start < on_disk_before {
            entries = self.read_disk(start, end.min(on_disk_before)).map_err(io::Error::other)?;
        }
        entries.extend(tail);
        Ok(entries)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.memory().vote)
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let memory = self.memory();
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.put("vote", VoteRecord::from(vote).encode_to_vec()).await?;
        self.memory().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.memory().committed = committed;
        let Some(committed) = committed else { return Ok(()) };
        let record = self.seal(Place::Meta("committed"), &LogIdRecord::from(committed).encode_to_vec())?;
        self.writer.send(Write::PutLazily { name: "committed", record })
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.memory().committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = <Types as RaftTypeConfig>::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut records = Vec::new();
        let mut memory = self.memory();
        memory.ticket += 1;
        let ticket = memory.ticket;
        for entry in entries {
            let index = entry.log_id.index;
            records.push((index, self.seal(Place::Log(index), &EntryRecord::from(&entry).encode_to_vec())?));
            memory.push(entry, ticket);
        }
        self.writer.send(Write::Append { entries: records, ticket, done })
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        let mut memory = self.memory();
        memory.truncate_from(from);
        if memory.last.is_some_and(|newest| newest.index >= from) {
            memory.last = last;
        }
        self.writer.send(Write::TruncateFrom(from))
    }

    async fn purge(&mut self, id: LogId) -> Result<(), io::Error> {
        let record = self.seal(Place::Meta("purged"), &LogIdRecord::from(id).encode_to_vec())?;
        let mut memory = self.memory();
        memory.purge_to(id);
        self.writer.send(Write::PurgeTo { index: id.index, record })
    }
}
