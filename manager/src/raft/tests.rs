//! The member with a small state machine of its own.

use std::sync::{Arc, Mutex};

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};

use super::log::Log;
use super::machine::Machine;
use super::seal::tests::sealer;
use super::snapshot::SnapshotStore;
use super::types::Types;
use super::*;
use crate::error::Error;

/// Remembers every entry.
#[derive(Clone, Default)]
struct Entries(Arc<Mutex<Vec<String>>>);

impl Entries {
    fn get(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Replica for Entries {
    fn apply(&mut self, _: u64, entry: &[u8]) -> Result<Reply, String> {
        let entry = String::from_utf8(entry.to_vec()).map_err(|error| error.to_string())?;
        self.0.lock().unwrap().push(entry);
        Ok(Reply::Nothing)
    }

    fn freeze(&self) -> Arc<dyn Fn() -> Vec<u8> + Send + Sync> {
        let entries = self.get();
        Arc::new(move || entries.join("\n").into_bytes())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(state).map_err(|error| error.to_string())?;
        *self.0.lock().unwrap() = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

struct Build;

impl StoreBuilder<Types, Log, Machine, tempfile::TempDir> for Build {
    async fn build(&self) -> Result<(tempfile::TempDir, Log, Machine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        let sealer = Arc::new(sealer(1, 1));
        let snapshots = Arc::new(SnapshotStore::new(dir.path(), sealer.clone()).unwrap());
        let log = Log::open(dir.path(), sealer).unwrap();
        Ok((dir, log, Machine::new(Box::new(Entries::default()), snapshots)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn openraft_s_own_suite_passes() {
    Suite::test_all(Build).await.unwrap();
}

async fn start(dir: &std::path::Path) -> (Raft, Entries) {
    let entries = Entries::default();
    let config = RaftConfig {
        dir: dir.to_owned(),
        node: model::NodeId::from_random(1),
        peers: Peers::none(),
        joins: None,
        unlock: None,
    };
    (Raft::start(config, Box::new(entries.clone())).await.unwrap(), entries)
}

async fn start_error(dir: &std::path::Path, node: u128) -> Error {
    let config = RaftConfig {
        dir: dir.to_owned(),
        node: model::NodeId::from_random(node),
        peers: Peers::none(),
        joins: None,
        unlock: None,
    };
    Raft::start(config, Box::new(Entries::default())).await.err().unwrap()
}

#[tokio::test]
async fn entries_are_there_after_a_restart_with_and_without_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        let (raft, entries) = start(dir.path()).await;
        assert_eq!(entries.get(), expected);
        assert!(raft.leadership().wait_for(|now| matches!(now, Leadership::Leads { .. })).await.is_ok());
        for number in 0..20 {
            let entry = format!("{round} {number}");
            raft.propose(entry.clone().into_bytes()).await.unwrap();
            expected.push(entry);
        }
        if round == 1 {
            assert!(raft.snapshot_now().await.is_some());
        }
        raft.shutdown().await;
    }
    let (raft, entries) = start(dir.path()).await;
    assert_eq!(entries.get(), expected);
    raft.shutdown().await;
}

#[tokio::test]
async fn proposals_at_once_share_their_fsyncs_and_all_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, entries) = start(dir.path()).await;
    let proposals = (0..500).map(|number| raft.propose(format!("{number}").into_bytes()));
    for result in futures::future::join_all(proposals).await {
        result.unwrap();
    }
    let mut numbers: Vec<usize> = entries.get().iter().map(|text| text.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..500).collect::<Vec<_>>());
    raft.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(dir.path()).await;
    let error = raft.propose(vec![0; 17 << 20]).await.err().unwrap();
    assert!(matches!(error, Error::TooLarge { .. }));
    // A second daemon on the same directory.
    assert!(matches!(start_error(dir.path(), 1).await, Error::InUse { .. }));
    raft.shutdown().await;
    assert!(matches!(start_error(dir.path(), 2).await, Error::OtherNode { .. }));
}

#[tokio::test]
async fn damage_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(dir.path()).await;
    raft.propose(b"x".to_vec()).await.unwrap();
    raft.shutdown().await;
    drop(raft);
    // Another key: as if the file had been restored from the wrong backup.
    let path = dir.path().join(key::FILE);
    let text = std::fs::read_to_string(&path).unwrap();
    let other = text
        .lines()
        .map(|line| if line.starts_with("key ") { format!("key {}\n", "0".repeat(64)) } else { format!("{line}\n") });
    std::fs::write(&path, other.collect::<String>()).unwrap();
    let error = start_error(dir.path(), 1).await.to_string();
    assert!(error.contains("log.redb") && error.contains("key file"), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = start_error(dir.path(), 1).await.to_string();
    assert!(error.contains("missing"), "{error}");
}

#[tokio::test]
async fn an_entry_that_is_not_understood_stops_the_manager() {
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(dir.path()).await;
    assert!(raft.propose(vec![0xff]).await.is_err());
    let mut leadership = raft.leadership();
    let stopped = leadership.wait_for(|now| matches!(now, Leadership::Stopped { .. })).await.unwrap().clone();
    assert!(format!("{stopped:?}").contains("cannot apply entry"), "{stopped:?}");
    raft.shutdown().await;
    drop(raft);
    assert!(start_error(dir.path(), 1).await.to_string().contains("cannot apply entry"));
}

#[tokio::test]
async fn a_new_log_begins_with_the_state_that_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("raft");
    let cluster = model::ClusterId::from_random(3);
    let state = |_| Ok(b"one\ntwo".to_vec());
    rebuild::found(&path, cluster, model::NodeId::from_random(1), state).await.unwrap();
    let (raft, entries) = start(&path).await;
    assert_eq!((entries.get(), raft.cluster()), (vec!["one".to_owned(), "two".to_owned()], cluster));
    raft.propose(b"three".to_vec()).await.unwrap();
    raft.shutdown().await;
    drop(raft);
    let (raft, entries) = start(&path).await;
    assert_eq!(entries.get(), ["one", "two", "three"]);
    assert!(raft.snapshot_now().await.is_some());
    raft.shutdown().await;
}

#[tokio::test]
async fn a_member_that_has_lost_the_others_goes_on_with_all_that_is_in_its_log() {
    use openraft::storage::{IOFlushed, RaftLogStorage};
    let dir = tempfile::tempdir().unwrap();
    let (raft, _) = start(dir.path()).await;
    raft.propose(b"one".to_vec()).await.unwrap();
    let id = raft.id();
    raft.shutdown().await;
    drop(raft);
    // As a follower of three has it: the last entry may have been acknowledged, and nobody has told this one.
    let key = RaftKey::load_or_create(dir.path(), true, None, None).unwrap();
    let mut log = Log::open(dir.path(), Arc::new(key.sealer().unwrap())).unwrap();
    let last = log.get_log_state().await.unwrap().last_log_id.unwrap();
    let at = |index| types::LogId { index, ..last };
    let members = [id, 2, 3].map(|id| (id, types::Address("127.0.0.1:1".into())));
    let three = types::Membership::new(vec![[id, 2, 3].into()], std::collections::BTreeMap::from(members)).unwrap();
    let entries = [
        types::Entry { log_id: at(last.index + 1), payload: types::Payload::Membership(three) },
        types::Entry { log_id: at(last.index + 2), payload: types::Payload::Normal(types::Proposal((*b"two").into())) },
    ];
    log.append(entries, IOFlushed::noop()).await.unwrap();
    log.close().await;
    drop(log);
    let node = model::NodeId::from_random(1);
    let refound = || rebuild::refound(dir.path(), node, "10.0.0.1:2377", None, |_| Ok(b"alone".to_vec()));
    refound().await.unwrap();
    let (raft, entries) = start(dir.path()).await;
    assert_eq!(entries.get(), ["one", "two", "alone"]);
    assert_eq!(raft.members(), [Member { raft: id, address: "10.0.0.1:2377".into(), votes: true }]);
    raft.propose(b"three".to_vec()).await.unwrap();
    raft.shutdown().await;
    drop(raft);
    // Twice is no harm.
    refound().await.unwrap();
    let (raft, entries) = start(dir.path()).await;
    assert_eq!(entries.get(), ["one", "two", "alone", "three", "alone"]);
    raft.shutdown().await;
}

/// A small file system of its own; unmounted however the test ends.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flags = rustix::mount::MountFlags::NODEV | rustix::mount::MountFlags::NOSUID;
        rustix::mount::mount("orca-test", dir.path(), "tmpfs", flags, Some(c"size=24m")).unwrap();
        Self(dir)
    }

    /// Takes all room but `left` bytes; removing the file gives it back.
    fn fill(&self, left: u64) -> std::path::PathBuf {
        let path = self.0.path().join("ballast");
        let stat = rustix::fs::statvfs(self.0.path()).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let size = stat.f_bavail * stat.f_frsize - left;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).unwrap();
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_filling_disk_refuses_changes_and_takes_them_again_when_there_is_room() {
    let disk = SmallDisk::mount();
    let (raft, entries) = start(&disk.0.path().join("raft")).await;
    let ballast = disk.fill(1 << 20);
    let error = raft.propose(b"x".to_vec()).await.err().unwrap();
    assert!(matches!(error, Error::DiskFull { .. }) && error.is_full_disk(), "{error}");
    std::fs::remove_file(ballast).unwrap();
    raft.propose(b"y".to_vec()).await.unwrap();
    assert_eq!(entries.get(), ["y"]);
    raft.shutdown().await;
}

#[tokio::test]
async fn a_write_that_meets_a_full_disk_waits_and_then_succeeds() {
    let disk = SmallDisk::mount();
    let dir = disk.0.path().join("raft");
    let (raft, entries) = start(&dir).await;
    let ballast = disk.fill(0);
    let mut full = raft.disk_full();
    let large = "z".repeat(4 << 20);
    let (written, ()) = tokio::join!(raft.propose_regardless(large.clone().into_bytes()), async {
        full.wait_for(|full| *full).await.unwrap();
        std::fs::remove_file(ballast).unwrap();
    });
    written.unwrap();
    assert_eq!(entries.get(), std::slice::from_ref(&large));
    assert!(!*full.borrow());
    raft.shutdown().await;
    drop(raft);
    let (raft, entries) = start(&dir).await;
    assert_eq!(entries.get(), [large]);
    raft.shutdown().await;
}
