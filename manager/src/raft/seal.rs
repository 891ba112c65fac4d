//! Encryption at rest. A sealed record is
//! `version: 1 byte | nonce: 12 bytes | AES-256-GCM ciphertext and 16-byte tag`, and its associated data name the cluster
//! and the place that it stands in, so that a record moved to another place, or into another cluster, does not open.
//!
//! Nonces are random: NIST SP 800-38D §8.3 allows 2^32 records a key, about four years at thirty records a second; a cluster
//! that writes more has to rotate its key.

use model::ClusterId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use crate::error::RecordFlaw;

/// Version of the sealed format that this manager writes.
pub const VERSION: u8 = 1;
/// Length of the key in bytes.
pub const KEY_LEN: usize = 32;
/// Identifies one raft snapshot, so that chunks of two can't be mixed.
pub type SnapshotNonce = [u8; 16];

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The log entry of this index.
    Log(u64),
    /// The single value of this name.
    Meta(&'static str),
    /// The first record of a raft snapshot.
    SnapshotHeader,
    /// A part of a raft snapshot.
    SnapshotChunk {
        /// Which snapshot.
        snapshot: SnapshotNonce,
        /// Which part, from 0.
        index: u64,
        /// No part follows.
        last: bool,
    },
    /// The key of all other records, in its file.
    WrappedKey,
    /// The first record of a backup.
    BackupHeader,
    /// A part of a backup.
    BackupChunk {
        /// Which backup.
        snapshot: SnapshotNonce,
        /// Which part, from 0.
        index: u64,
        /// No part follows.
        last: bool,
    },
}

impl Place {
    fn associated_data(self, cluster: ClusterId) -> Vec<u8> {
        let mut data = format!("orca raft {VERSION} {cluster} ").into_bytes();
        match self {
            Self::Log(index) => {
                data.extend(b"log ");
                data.extend(index.to_be_bytes());
            }
            Self::Meta(name) => {
                data.extend(b"meta ");
                data.extend(name.as_bytes());
            }
            Self::SnapshotHeader => data.extend(b"snapshot header"),
            Self::SnapshotChunk { snapshot, index, last } => part(&mut data, b"snapshot chunk ", snapshot, index, last),
            Self::WrappedKey => data.extend(b"wrapped key"),
            Self::BackupHeader => data.extend(b"backup header"),
            Self::BackupChunk { snapshot, index, last } => part(&mut data, b"backup chunk ", snapshot, index, last),
        }
        data
    }
}

fn part(data: &mut Vec<u8>, kind: &[u8], of: SnapshotNonce, index: u64, last: bool) {
    data.extend(kind);
    data.extend(of);
    data.extend(index.to_be_bytes());
    data.push(u8::from(last));
}

/// Seals and opens the records of one cluster.
pub struct Sealer {
    key: LessSafeKey,
    cluster: ClusterId,
    random: SystemRandom,
}

impl Sealer {
    /// A sealer with this key.
    pub fn new(secret: &[u8; KEY_LEN], cluster: ClusterId) -> Result<Self, RecordFlaw> {
        let key = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| RecordFlaw::Key)?;
        Ok(Self { key: LessSafeKey::new(key), cluster, random: SystemRandom::new() })
    }

    /// Encrypts `plain` for `place`.
    pub fn seal(&self, place: Place, plain: &[u8]) -> Result<Vec<u8>, RecordFlaw> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| RecordFlaw::Random)?;
        self.seal_with(nonce, place, plain)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], place: Place, plain: &[u8]) -> Result<Vec<u8>, RecordFlaw> {
        let start = 1 + NONCE_LEN;
        let mut record = Vec::with_capacity(start + plain.len() + AES_256_GCM.tag_len());
        record.push(VERSION);
        record.extend(nonce);
        record.extend(plain);
        let aad = Aad::from(place.associated_data(self.cluster));
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut record[start..]).map_err(|_| RecordFlaw::Key)?;
        record.extend(tag.as_ref());
        Ok(record)
    }

    /// Decrypts a record that stands in `place`.
    pub fn open(&self, place: Place, record: &[u8]) -> Result<Vec<u8>, RecordFlaw> {
        let (&version, rest) = record.split_first().ok_or(RecordFlaw::Truncated)?;
        if version != VERSION {
            return Err(RecordFlaw::Version(version));
        }
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>().ok_or(RecordFlaw::Truncated)?;
        let aad = Aad::from(place.associated_data(self.cluster));
        let mut plain = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = self.key.open_in_place(nonce, aad, &mut plain).map_err(|_| RecordFlaw::Sealed)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    /// Sixteen random bytes that tell one raft snapshot from another.
    pub fn snapshot_nonce(&self) -> Result<SnapshotNonce, RecordFlaw> {
        let mut nonce = SnapshotNonce::default();
        self.random.fill(&mut nonce).map_err(|_| RecordFlaw::Random)?;
        Ok(nonce)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn sealer(key: u8, cluster: u128) -> Sealer {
        Sealer::new(&[key; KEY_LEN], ClusterId::from_random(cluster)).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_only_in_its_place_and_cluster() {
        let record = sealer(1, 1).seal(Place::Log(7), b"hello").unwrap();
        assert_eq!(sealer(1, 1).open(Place::Log(7), &record).unwrap(), b"hello");
        assert!(!record.windows(5).any(|window| window == b"hello"));
        for flaw in [
            sealer(1, 1).open(Place::Log(8), &record),
            sealer(1, 1).open(Place::Meta("vote"), &record),
            sealer(1, 2).open(Place::Log(7), &record),
            sealer(2, 1).open(Place::Log(7), &record),
        ] {
            assert_eq!(flaw, Err(RecordFlaw::Sealed));
        }
    }

    #[test]
    fn every_changed_bit_and_every_cut_is_noticed() {
        let sealer = sealer(1, 1);
        let record = sealer.seal(Place::Meta("vote"), b"x").unwrap();
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(sealer.open(Place::Meta("vote"), &changed).is_err(), "bit {bit}");
        }
        for length in 0..record.len() {
            assert!(sealer.open(Place::Meta("vote"), &record[..length]).is_err(), "length {length}");
        }
        assert_eq!(sealer.open(Place::Meta("vote"), &[9, 0]), Err(RecordFlaw::Version(9)));
    }

    #[test]
    fn a_record_of_format_1_still_opens() {
        // Written by the first release: key 32 x 0x01, cluster 1, log index 7, nonce 12 x 0x02.
        let golden = include_bytes!("golden/log-entry-1.bin");
        let plain = sealer(1, 1).open(Place::Log(7), golden).unwrap();
        assert_eq!(plain, crate::raft::record::tests::golden_entry());
        assert_eq!(sealer(1, 1).seal_with([2; NONCE_LEN], Place::Log(7), &plain).unwrap(), golden);
    }
}
