//! Backups: the whole state of a cluster in one file, sealed with a key that its owner keeps.
//!
//! `"orcabkup" | length: u32 LE, sealed header | (length: u32 LE, sealed chunk)…`, as a raft snapshot is; the header says what the backup is
//! of, and the digest of the state.

use std::io::{self, Read};

use model::{ClusterId, KEPT_KEY_LEN, KeptKey, Timestamp};
use prost::Message;
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::{Error, RecordFlaw};
use crate::raft::seal::{Place, Sealer, SnapshotNonce};
use crate::state::{State, codec};

const MAGIC: &[u8; 8] = b"orcabkup";
/// Most bytes of the state in one piece.
const CHUNK: usize = 1 << 20;
/// A sealed record is a little longer than its content; anything beyond is no piece of ours.
const LONGEST_RECORD: usize = CHUNK + 4096;
/// Backups are of any cluster: which one is told inside.
const ANY: ClusterId = ClusterId::from_random(0);

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The cluster.
    pub cluster: ClusterId,
    /// When it was made.
    pub made_at: Timestamp,
    /// The release that made it.
    pub release: String,
    /// The state's version.
    pub version: u64,
    /// SHA-256 of the state.
    pub digest: [u8; 32],
}

/// A backup that was read whole.
#[derive(Debug, Clone)]
pub struct Backup {
    /// What it is of.
    pub about: About,
    /// What it holds.
    pub state: State,
}

/// Why a backup cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Something else.
    #[error("it is no backup of a cluster: `orca swarm backup` writes one")]
    Form,
    /// It ends too early.
    #[error("it is cut short: it was not copied whole")]
    Truncated,
    /// The first record does not open.
    #[error("this is not the key that it was sealed with, or its beginning is damaged")]
    Key,
    /// A later record does not open.
    #[error("it is damaged: piece {0} does not open with the key that the ones before open with")]
    Damaged(u64),
    /// The state is not the one that was written.
    #[error("the state in it is not the one that its header has the digest of")]
    Digest,
    /// Of another release.
    #[error("it was made by release {release}, and this one does not understand it ({reason}): use that release")]
    Content {
        /// The release.
        release: String,
        /// Why.
        reason: String,
    },
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// The key itself.
    #[error(transparent)]
    Sealer(RecordFlaw),
}

#[derive(Clone, PartialEq, Message)]
struct HeaderRecord {
    #[prost(bytes = "vec", tag = "1")]
    nonce: Vec<u8>,
    #[prost(string, tag = "2")]
    cluster: String,
    #[prost(int64, tag = "3")]
    made_at: i64,
    #[prost(string, tag = "4")]
    release: String,
    #[prost(uint64, tag = "5")]
    version: u64,
    #[prost(bytes = "vec", tag = "6")]
    digest: Vec<u8>,
}

/// A key for backups or locks that nobody has seen before.
///
/// # Errors
/// [`Error::Random`].
pub fn new_key() -> Result<KeptKey, Error> {
    let mut bytes = [0; KEPT_KEY_LEN];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(KeptKey::new(bytes))
}

/// The pieces of a backup, to be written one behind the other.
pub struct Pieces {
    sealer: Sealer,
    nonce: SnapshotNonce,
    header: Option<Vec<u8>>,
    state: Vec<u8>,
    next: u64,
}

/// Begins a backup of a state.
///
/// # Errors
/// [`Error::Backup`], for a state of no cluster too.
pub fn seal(state: &State, key: &KeptKey, made_at: Timestamp) -> Result<Pieces, Error> {
    let failed = |flaw| Error::Backup(BackupError::Sealer(flaw));
    let cluster = state.cluster.as_ref().ok_or(crate::state::Refusal::NotOpen)?.id;
    let sealer = Sealer::new(key.reveal(), ANY).map_err(failed)?;
    let nonce = sealer.snapshot_nonce().map_err(failed)?;
    let encoded = codec::encode_state(state);
    let header = HeaderRecord {
        nonce: nonce.to_vec(),
        cluster: cluster.to_string(),
        made_at: made_at.0,
        release: env!("CARGO_PKG_VERSION").into(),
        version: state.version,
        digest: codec::digest_of(&encoded).to_vec(),
    };
    Ok(Pieces { sealer, nonce, header: Some(header.encode_to_vec()), state: encoded, next: 0 })
}

fn framed(record: &[u8]) -> Vec<u8> {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), record].concat()
}

impl Iterator for Pieces {
    type Item = Result<Vec<u8>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let failed = |flaw| Error::Backup(BackupError::Sealer(flaw));
        if let Some(header) = self.header.take() {
            let sealed = self.sealer.seal(Place::BackupHeader, &header).map_err(failed);
            return Some(sealed.map(|sealed| [MAGIC.as_slice(), &framed(&sealed)].concat()));
        }
        // An empty state still has one piece, the last.
        let count = self.state.len().div_ceil(CHUNK).max(1) as u64;
        let index = self.next;
        if index == count {
            return None;
        }
        self.next += 1;
        let begin = usize::try_from(index).unwrap_or(usize::MAX).saturating_mul(CHUNK);
        let chunk = &self.state[begin..self.state.len().min(begin + CHUNK)];
        let place = Place::BackupChunk { snapshot: self.nonce, index, last: self.next == count };
        Some(self.sealer.seal(place, chunk).map(|sealed| framed(&sealed)).map_err(failed))
    }
}

/// Reads a backup to its end, and holds it against its own digest.
///
/// # Errors
/// What is wrong with it, or the key.
pub fn open(mut input: impl Read, key: &KeptKey) -> Result<Backup, BackupError> {
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(|error| cut(error, BackupError::Form))?;
    if magic != *MAGIC {
        return Err(BackupError::Form);
    }
    let sealer = Sealer::new(key.reveal(), ANY).map_err(BackupError::Sealer)?;
    let sealed = record(&mut input)?.ok_or(BackupError::Truncated)?;
    let header = sealer.open(Place::BackupHeader, &sealed).map_err(|_| BackupError::Key)?;
    let unknown = |release: &str, reason: String| BackupError::Content { release: release.to_owned(), reason };
    let header = HeaderRecord::decode(header.as_slice()).map_err(|error| unknown("(unknown)", error.to_string()))?;
    let bad = |field: &str| unknown(&header.release, format!("its {field} is none"));
    let nonce = header.nonce.as_slice().try_into().map_err(|_| bad("nonce"))?;
    let about = About {
        cluster: header.cluster.parse().map_err(|_| bad("cluster"))?,
        made_at: Timestamp(header.made_at),
        release: header.release.clone(),
        version: header.version,
        digest: header.digest.as_slice().try_into().map_err(|_| bad("digest"))?,
    };
    let encoded = chunks(&mut input, &sealer, nonce)?;
    if codec::digest_of(&encoded) != about.digest {
        return Err(BackupError::Digest);
    }
    let state = codec::decode_state(&encoded).map_err(|error| unknown(&about.release, error.to_string()))?;
    Ok(Backup { about, state })
}

fn chunks(input: &mut impl Read, sealer: &Sealer, snapshot: SnapshotNonce) -> Result<Vec<u8>, BackupError> {
    let mut state = Vec::new();
    let mut next = record(input)?;
    let mut index = 0;
    while let Some(sealed) = next {
        next = record(input)?;
        let place = Place::BackupChunk { snapshot, index, last: next.is_none() };
        let opened = sealer.open(place, &sealed).map_err(|_| match next {
            // Whether the last piece is damaged, or what follows it is missing, nobody can tell.
            None => BackupError::Truncated,
            Some(_) => BackupError::Damaged(index),
        })?;
        state.extend(opened);
        index += 1;
    }
    if index == 0 { Err(BackupError::Truncated) } else { Ok(state) }
}

/// The next record, `None` at the end of the file.
fn record(input: &mut impl Read) -> Result<Option<Vec<u8>>, BackupError> {
    let mut length = [0; 4];
    let mut filled = 0;
    while filled < length.len() {
        match input.read(&mut length[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(BackupError::Truncated),
            count => filled += count,
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST_RECORD {
        return Err(BackupError::Form);
    }
    let mut record = vec![0; length];
    input.read_exact(&mut record).map_err(|error| cut(error, BackupError::Truncated))?;
    Ok(Some(record))
}

fn cut(error: io::Error, meaning: BackupError) -> BackupError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => meaning,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Cluster, Meta};

    fn state() -> State {
        let mut state = State::default();
        state.version = 5;
        state.cluster = Some(Cluster::new(ClusterId::from_random(9), Meta::default(), Vec::new()));
        state
    }

    fn sealed(state: &State, key: u8) -> Vec<u8> {
        let pieces = seal(state, &KeptKey::new([key; 32]), Timestamp(7)).unwrap();
        pieces.map(Result::unwrap).collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_backup_is_read_back_with_its_key_only() {
        let bytes = sealed(&state(), 1);
        let backup = open(bytes.as_slice(), &KeptKey::new([1; 32])).unwrap();
        assert_eq!(backup.state, state());
        assert_eq!((backup.about.cluster, backup.about.version), (ClusterId::from_random(9), 5));
        assert_eq!(backup.about.made_at, Timestamp(7));
        assert!(matches!(open(bytes.as_slice(), &KeptKey::new([2; 32])), Err(BackupError::Key)));
        assert!(seal(&State::default(), &KeptKey::new([1; 32]), Timestamp(7)).is_err(), "of no cluster");
    }

    #[test]
    fn a_large_state_is_cut_into_pieces() {
        let mut large = state();
        let data = model::SecretData::new((0..3 * CHUNK).map(|byte| byte as u8).collect());
        let cluster = large.cluster.as_mut().unwrap();
        let none = || model::SecretData::new(Vec::new());
        cluster.identity = Some(model::ClusterIdentity {
            ca: String::new(),
            ca_key: data,
            worker_secret: none(),
            manager_secret: none(),
            unlock_key: none(),
            next: None,
        });
        let bytes = sealed(&large, 1);
        assert_eq!(open(bytes.as_slice(), &KeptKey::new([1; 32])).unwrap().state, large);
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let (bytes, key) = (sealed(&state(), 1), KeptKey::new([1; 32]));
        for length in 0..bytes.len() {
            assert!(open(&bytes[..length], &key).is_err(), "length {length}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(open(changed.as_slice(), &key).is_err(), "bit {bit}");
        }
        assert!(open([bytes.as_slice(), &[0]].concat().as_slice(), &key).is_err(), "something behind it");
    }
}
