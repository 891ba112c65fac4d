//! The store on a real disk: restarts, watches, refusals, and a process that is killed while it writes.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command as Process, Stdio};
use std::time::Duration;

use model::{NetworkId, NodeDescription};

use super::*;
use crate::state::Refusal;

async fn open(dir: &Path) -> Store {
    Store::open(dir, NodeId::from_random(1), Peers::none(), None, None).await.unwrap()
}

fn bootstrap(store: &Store) -> Command {
    Command::Bootstrap { cluster: store.cluster(), bridge: NetworkId::from_random(7) }
}

fn register(number: u128) -> Command {
    let description = NodeDescription { hostname: format!("node-{number}"), ..NodeDescription::default() };
    Command::RegisterNode { node: NodeId::from_random(number), description }
}

#[tokio::test]
async fn a_restart_brings_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.propose(vec![bootstrap(&store), register(1)]).await.unwrap();
    store.propose(vec![register(2)]).await.unwrap();
    let (before, cluster) = (store.snapshot(), store.cluster());
    store.shutdown().await;
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.snapshot(), before);
    assert_eq!(store.cluster(), cluster);
    assert_eq!(before.cluster.unwrap().id, cluster);
    store.shutdown().await;
}

#[tokio::test]
async fn a_raft_snapshot_brings_the_same_state() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.propose(vec![bootstrap(&store), register(1)]).await.unwrap();
    store.raft.snapshot_now().await.unwrap();
    store.propose(vec![register(2)]).await.unwrap();
    let before = store.snapshot();
    store.shutdown().await;
    drop(store);
    let store = open(dir.path()).await;
    assert_eq!(store.snapshot(), before);
    store.shutdown().await;
}

#[tokio::test]
async fn watchers_see_every_change_or_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    let mut versions = store.watch();
    let applied = store.propose(vec![bootstrap(&store)]).await.unwrap();
    let seen = versions.wait_for(|version| *version >= applied.after.version);
    assert!(tokio::time::timeout(Duration::from_secs(5), seen).await.unwrap().is_ok());
    store.shutdown().await;
}

#[tokio::test]
async fn a_refused_entry_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await;
    store.propose(vec![bootstrap(&store)]).await.unwrap();
    let before = store.snapshot();
    let refused = store.propose(vec![register(1), bootstrap(&store)]).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Exists { .. }))), "{refused:?}");
    assert_eq!(store.snapshot(), before);
    store.shutdown().await;
}

/// Set in the child that [`nothing_acknowledged_is_lost_by_a_kill`] starts; the directory to write to.
const CHILD_DIR: &str = "ORCA_TEST_STORE_DIR";

/// Proposes without end, a line for each acknowledgement. A test only so that the parent can start it from its own executable.
#[tokio::test]
async fn child_that_proposes() {
    let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else { return };
    let store = Arc::new(open(&dir).await);
    let first = store.snapshot().nodes.len() as u128;
    for batch in 0.. {
        let numbers = (0..8).map(|lane| first + batch * 8 + lane + 1);
        let proposals = numbers.map(|number| {
            let store = store.clone();
            async move { store.propose(vec![register(number)]).await.map(|_| number) }
        });
        for acknowledged in futures::future::join_all(proposals).await {
            // One write a line, so that a kill leaves no line that was not acknowledged.
            std::io::stdout().write_all(format!("acknowledged {}\n", acknowledged.unwrap()).as_bytes()).unwrap();
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<u128> = Vec::new();
    for round in 0u64..10 {
        let mut child = Process::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_proposes", "--nocapture", "--test-threads=1"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let number = |line: String| line.rsplit_once("acknowledged ")?.1.parse().ok();
            output.lines().map_while(Result::ok).filter_map(number).collect::<Vec<u128>>()
        });
        tokio::time::sleep(Duration::from_millis(300 + round * 37)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());
        let store = open(dir.path()).await;
        let state = store.snapshot();
        for number in &acknowledged {
            assert!(state.nodes.contains_key(&NodeId::from_random(*number)), "round {round}: {number} was lost");
        }
        store.shutdown().await;
    }
    assert!(acknowledged.len() > 100, "the child made only {} changes", acknowledged.len());
}
