//! Raft snapshots: one encrypted file, replaced as a whole.
//!
//! `"orcasnap" | length: u32 LE, sealed header | (length: u32 LE, sealed chunk)…`. A chunk holds at most 1 MiB of the state, and is
//! bound to its snapshot, its index and whether it is the last, so that no chunk can be dropped, moved or mixed.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prost::Message;

use super::record::{self, SnapshotRecord};
use super::seal::{Place, Sealer};
use super::types::{LogId, SnapshotMeta, StoredMembership};
use crate::error::{Error, RecordFlaw};

/// Name of the file in the raft directory.
pub const FILE: &str = "snapshot";
const MAGIC: &[u8; 8] = b"orcasnap";
/// Most bytes of the state in one piece, on disk and on the way to another manager.
pub const CHUNK: usize = 1 << 20;
/// A sealed record is a little longer than its content; anything beyond is no chunk of ours.
const LONGEST_RECORD: usize = CHUNK + 4096;

/// The directory's raft snapshot.
pub struct SnapshotStore {
    path: PathBuf,
    sealer: Arc<Sealer>,
}

/// An open raft snapshot; it stays readable when a newer one takes its name.
#[derive(Clone)]
pub struct SnapshotFile {
    file: Arc<File>,
    path: PathBuf,
    sealer: Arc<Sealer>,
}

impl SnapshotStore {
    /// The snapshot in `dir`, if any; drops what an interrupted write has left.
    pub fn new(dir: &Path, sealer: Arc<Sealer>) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let partial = path.with_extension("partial");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file("remove", &partial, error)),
            _ => Ok(Self { path, sealer }),
        }
    }

    /// Writes `state` durably in place of the snapshot before.
    pub fn write(
        &self,
        last: Option<LogId>,
        membership: &StoredMembership,
        state: &[u8],
    ) -> Result<SnapshotFile, Error> {
        let partial = self.path.with_extension("partial");
        let result = self.write_to(&partial, last, membership, state).and_then(|()| self.publish(&partial));
        if result.is_err() {
            // The error to tell is the first one; a file that stays is removed at the next start.
            let _ = fs::remove_file(&partial);
        }
        result?;
        self.current()?.map(|(_, file)| file).ok_or_else(|| self.flaw(RecordFlaw::Truncated))
    }

    /// Writes what another manager has sent; the file has no name, and goes with its last reader.
    pub fn receive(&self, meta: &SnapshotMeta, state: &[u8]) -> Result<SnapshotFile, Error> {
        let path = self.path.with_extension("received");
        let opened = self
            .write_to(&path, meta.last_log_id, &meta.last_membership, state)
            .and_then(|()| File::open(&path).map_err(|source| Error::file("open", &path, source)));
        // The error to tell is the first one; a file that stays is overwritten by the next.
        let _ = fs::remove_file(&path);
        Ok(SnapshotFile { file: Arc::new(opened?), path: self.path.clone(), sealer: self.sealer.clone() })
    }

    fn publish(&self, partial: &Path) -> Result<(), Error> {
        let renamed = fs::rename(partial, &self.path);
        let synced = renamed.and_then(|()| self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all()));
        synced.map_err(|source| Error::file("rename", partial, source))
    }

    fn write_to(
        &self,
        path: &Path,
        last: Option<LogId>,
        membership: &StoredMembership,
        state: &[u8],
    ) -> Result<(), Error> {
        let failed = |source| Error::file("write", path, source);
        let nonce = self.sealer.snapshot_nonce().map_err(|flaw| self.flaw(flaw))?;
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(failed)?;
        let mut out = BufWriter::new(file);
        out.write_all(MAGIC).map_err(failed)?;
        let header = SnapshotRecord::new(nonce, last, membership).encode_to_vec();
        let mut put = |place, plain: &[u8]| {
            let sealed = self.sealer.seal(place, plain).map_err(|flaw| self.flaw(flaw))?;
            let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
            out.write_all(&length.to_le_bytes()).and_then(|()| out.write_all(&sealed)).map_err(failed)
        };
        put(Place::SnapshotHeader, &header)?;
        // An empty state still has one chunk, the last.
        let count = state.len().div_ceil(CHUNK).max(1);
        for index in 0..count {
            let chunk = &state[index * CHUNK..state.len().min((index + 1) * CHUNK)];
            put(Place::SnapshotChunk { snapshot: nonce, index: index as u64, last: index + 1 == count }, chunk)?;
        }
        out.into_inner().map_err(|error| failed(error.into_error()))?.sync_all().map_err(failed)
    }

    /// The newest raft snapshot and what it is of.
    pub fn current(&self) -> Result<Option<(SnapshotMeta, SnapshotFile)>, Error> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("open", &self.path, error)),
        };
        let snapshot = SnapshotFile { file: Arc::new(file), path: self.path.clone(), sealer: self.sealer.clone() };
        Ok(Some((snapshot.meta()?, snapshot)))
    }

    fn flaw(&self, flaw: RecordFlaw) -> Error {
        Error::Snapshot { path: self.path.clone(), flaw }
    }
}

/// Reads a file from its own position, so that several readers of one open file don't disturb each other.
struct Cursor<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Cursor<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl SnapshotFile {
    /// What it is of.
    pub fn meta(&self) -> Result<SnapshotMeta, Error> {
        let (header, _) = self.header()?;
        let last_membership = header.stored_membership().map_err(|flaw| self.flaw(flaw))?;
        Ok(SnapshotMeta { last_log_id: header.last.map(Into::into), last_membership })
    }

    /// The whole state in it.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let (header, mut input) = self.header()?;
        let snapshot = header.nonce.as_slice().try_into().map_err(|_| self.flaw(RecordFlaw::Truncated))?;
        let mut state = Vec::new();
        let mut next = self.record(&mut input)?;
        let mut index = 0;
        while let Some(sealed) = next {
            next = self.record(&mut input)?;
            let place = Place::SnapshotChunk { snapshot, index, last: next.is_none() };
            state.extend(self.sealer.open(place, &sealed).map_err(|flaw| self.flaw(flaw))?);
            index += 1;
        }
        // A file cut off right behind its header.
        if index == 0 {
            return Err(self.flaw(RecordFlaw::Truncated));
        }
        Ok(state)
    }

    fn header(&self) -> Result<(SnapshotRecord, BufReader<Cursor<'_>>), Error> {
        let mut input = BufReader::new(Cursor { file: &self.file, at: 0 });
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic).map_err(|error| self.cut(error))?;
        if magic != *MAGIC {
            return Err(self.flaw(RecordFlaw::Content("it does not begin as a raft snapshot does".into())));
        }
        let sealed = self.record(&mut input)?.ok_or_else(|| self.flaw(RecordFlaw::Truncated))?;
        let plain = self.sealer.open(Place::SnapshotHeader, &sealed).map_err(|flaw| self.flaw(flaw))?;
        let header = record::decode(&plain).map_err(|flaw| self.flaw(flaw))?;
        Ok((header, input))
    }

    /// The next record, `None` at the end of the file.
    fn record(&self, input: &mut impl Read) -> Result<Option<Vec<u8>>, Error> {
        let mut length = [0; 4];
        let first = input.read(&mut length).map_err(|error| self.cut(error))?;
        if first == 0 {
            return Ok(None);
        }
        input.read_exact(&mut length[first..]).map_err(|error| self.cut(error))?;
        let length = u32::from_le_bytes(length) as usize;
        if length > LONGEST_RECORD {
            return Err(self.flaw(RecordFlaw::Content(format!("a chunk of {length} bytes"))));
        }
        let mut record = vec![0; length];
        input.read_exact(&mut record).map_err(|error| self.cut(error))?;
        Ok(Some(record))
    }

    fn cut(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.flaw(RecordFlaw::Truncated),
            _ => Error::file("read", &self.path, error),
        }
    }

    fn flaw(&self, flaw: RecordFlaw) -> Error {
        Error::Snapshot { path: self.path.clone(), flaw }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::seal::tests::sealer;
    use crate::raft::types::LeaderId;
    use openraft::vote::RaftLeaderId;

    fn store(dir: &Path, key: u8) -> SnapshotStore {
        SnapshotStore::new(dir, Arc::new(sealer(key, 1))).unwrap()
    }

    fn read(dir: &Path, key: u8) -> Result<Vec<u8>, Error> {
        store(dir, key).current()?.unwrap().1.read()
    }

    fn at(index: u64) -> Option<LogId> {
        Some(LogId { leader_id: LeaderId::new(3, 9), index })
    }

    #[test]
    fn states_of_every_size_come_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(store(dir.path(), 1).current().unwrap().is_none());
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let state: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
            store(dir.path(), 1).write(at(7), &StoredMembership::default(), &state).unwrap();
            assert_eq!(read(dir.path(), 1).unwrap(), state);
            assert_eq!(store(dir.path(), 1).current().unwrap().unwrap().0.last_log_id, at(7));
        }
    }

    #[test]
    fn an_open_snapshot_outlives_its_replacement() {
        let dir = tempfile::tempdir().unwrap();
        let old = store(dir.path(), 1).write(at(1), &StoredMembership::default(), b"old").unwrap();
        store(dir.path(), 1).write(at(2), &StoredMembership::default(), b"new").unwrap();
        assert_eq!(old.read().unwrap(), b"old");
        assert_eq!(read(dir.path(), 1).unwrap(), b"new");
    }

    #[test]
    fn every_cut_and_change_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        store(dir.path(), 1).write(at(7), &StoredMembership::default(), &vec![5; CHUNK + 10]).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        assert!(read(dir.path(), 2).is_err(), "wrong key");
        // The second chunk's record begins here; a cut right at it leaves only whole records.
        let boundary = whole.len() - (4 + 1 + 12 + 10 + 16);
        for length in [0, 4, 8, 10, 60, boundary - 1, boundary, boundary + 3, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let error = read(dir.path(), 1).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{length}: {error}");
        }
        for at in [0, 9, 40, 200, boundary, boundary + 9, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(read(dir.path(), 1).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_snapshot_of_format_1_still_opens() {
        // Written by the first release: key 32 x 0x01, cluster 1.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), include_bytes!("golden/snapshot-1.bin")).unwrap();
        assert_eq!(read(dir.path(), 1).unwrap(), b"the state");
        assert_eq!(store(dir.path(), 1).current().unwrap().unwrap().0.last_log_id, at(7));
    }
}
