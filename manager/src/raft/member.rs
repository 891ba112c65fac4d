//! One manager's member of the Raft group.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::{ClusterId, KeptKey, NodeId};
use openraft::async_runtime::{Instant, WatchReceiver};
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{ChangeMembers, Config, ServerState, SnapshotPolicy};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::key::RaftKey;
use super::log::{self, Log};
use super::machine::Machine;
use super::network::{Network, Peers};
use super::record::MemberRecord;
use super::snapshot::SnapshotStore;
use super::types::{Address, Proposal, Types};
use super::{PeerApi, Replica, Reply};
use crate::error::{Error, RecordFlaw};
use crate::metrics::RaftView;

pub type OpenRaft = openraft::Raft<Types, Machine>;

/// Most bytes of one entry.
pub const LARGEST_ENTRY: usize = 16 << 20;
/// Room that changes leave on the disk, so that what Raft itself writes (votes, positions, a new leader's first entry) still fits
/// when others fill it.
const RESERVE: u64 = 8 << 20;
/// How long a start may take.
const START: Duration = Duration::from_secs(60);
/// How long a lone manager waits before it asks to lead again.
const LONE_ELECTION_RETRY: Duration = Duration::from_secs(1);

/// A member that has not answered for so long is called unreachable.
const SILENT: Duration = Duration::from_secs(3);
/// How long another member may take to lead when this one ends.
const HAND_OVER: Duration = Duration::from_secs(1);
/// A member that lacks at most so many entries is let vote.
const UP_TO_DATE: u64 = 100;

/// Where and who.
#[derive(Debug, Clone)]
pub struct RaftConfig {
    /// The directory for the log, the raft snapshots and the key; made if missing.
    pub dir: PathBuf,
    /// This node.
    pub node: NodeId,
    /// How other managers are spoken to.
    pub peers: Peers,
    /// The cluster whose other managers make this one a member; `None`: it makes its own.
    pub joins: Option<ClusterId>,
    /// What opens a key that is wrapped.
    pub unlock: Option<KeptKey>,
}

/// A manager as the Raft group knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its number.
    pub raft: u64,
    /// Where it listens.
    pub address: String,
    /// It votes; one that is brought up to date does not yet.
    pub votes: bool,
}

/// This manager's part in the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leadership {
    /// Another manager leads, or none.
    Follows {
        /// Where the other one listens.
        leader: Option<String>,
    },
    /// It leads in this term, and has applied everything of the terms before.
    Leads {
        /// The term.
        term: u64,
    },
    /// Raft has ended.
    Stopped {
        /// Why.
        reason: String,
    },
}

/// One manager's member of the Raft group.
pub struct Raft {
    raft: OpenRaft,
    log: Log,
    snapshots: Arc<SnapshotStore>,
    dir: PathBuf,
    key: RaftKey,
    leadership: watch::Receiver<Leadership>,
    runtime: Option<Runtime>,
}

impl Drop for Raft {
    fn drop(&mut self) {
        // A runtime must not be waited for on another one's threads.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Raft {
    /// Starts the member, as the only one of a new group at the first start, and waits until `replica` has every entry that was
    /// ever acknowledged.
    pub async fn start(config: RaftConfig, replica: Box<dyn Replica>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(2)
            .thread_name("raft")
            .enable_all()
            .build()
            .map_err(|source| Error::Thread { name: "raft", source })?;
        let started = runtime.spawn(run(config.clone(), replica)).await;
        let result =
            started.unwrap_or_else(|error| Err(Error::Stopped { reason: format!("its start failed: {error}") }));
        match result {
            Ok((raft, log, snapshots, key, leadership)) => {
                Ok(Self { raft, log, snapshots, dir: config.dir, key, leadership, runtime: Some(runtime) })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The cluster that the log belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.key.cluster
    }

    /// Keeps the key of everything on disk wrapped by this one from now on, or plain.
    pub fn lock(&self, with: Option<&KeptKey>) -> Result<(), Error> {
        self.key.keep(&self.dir, with)
    }

    /// Whether this manager leads, and changes of that.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.clone()
    }

    /// This manager's number.
    pub fn id(&self) -> u64 {
        *self.raft.node_id()
    }

    /// What other managers ask.
    pub fn service(&self) -> PeerApi {
        PeerApi::new(self.raft.clone(), self.snapshots.clone())
    }

    /// Who is in the group.
    pub fn members(&self) -> Vec<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: std::collections::BTreeSet<u64> = membership.voter_ids().collect();
        let member = |(raft, address): (&u64, &Address)| Member {
            raft: *raft,
            address: address.0.clone(),
            votes: voters.contains(raft),
        };
        membership.nodes().map(member).collect()
    }

    /// Members that have not answered lately; only the leader knows.
    pub fn unreachable(&self) -> Vec<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let Some(heard) = metrics.heartbeat.as_ref() else { return Vec::new() };
        let is_silent = |at: &Option<_>| {
            at.as_ref().is_none_or(|at: &openraft::type_config::alias::SerdeInstantOf<Types>| at.elapsed() > SILENT)
        };
        let own = metrics.id;
        heard.iter().filter(|(id, at)| **id != own && is_silent(at)).map(|(id, _)| *id).collect()
    }

    /// How it stands, for who watches.
    pub fn view(&self) -> RaftView {
        let unreachable = self.unreachable().len();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let index = |id: Option<openraft::type_config::alias::LogIdOf<Types>>| id.map_or(0, |id| id.index);
        let membership = metrics.membership_config.membership();
        RaftView {
            leads: metrics.state == ServerState::Leader,
            has_leader: metrics.current_leader.is_some(),
            term: metrics.current_term,
            last: metrics.last_log_index.unwrap_or(0),
            applied: index(metrics.last_applied),
            snapshot: index(metrics.snapshot),
            voters: membership.voter_ids().count(),
            learners: membership.learner_ids().count(),
            unreachable,
        }
    }

    async fn change(&self, change: ChangeMembers<u64, Address>) -> Result<(), Error> {
        let changed = self.raft.change_membership(change, false).await;
        changed.map(|_| ()).map_err(write_error)
    }

    /// Makes another manager a member that does not vote yet.
    pub async fn add_learner(&self, id: u64, address: String) -> Result<(), Error> {
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, Address(address))]))).await
    }

    /// Lets a member vote once it is up to date; an error until then.
    pub async fn promote(&self, id: u64) -> Result<(), Error> {
        let behind = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let matched = metrics.replication.as_ref().and_then(|replication| replication.get(&id).copied().flatten());
            let last = metrics.last_log_index.unwrap_or(0);
            last.saturating_sub(matched.map_or(0, |matched| matched.index))
        };
        if behind > UP_TO_DATE {
            return Err(Error::Behind { manager: id, entries: behind });
        }
        self.change(ChangeMembers::AddVoterIds([id].into())).await
    }

    /// Says where a member listens now.
    pub async fn set_address(&self, id: u64, address: String) -> Result<(), Error> {
        self.change(ChangeMembers::SetNodes(BTreeMap::from([(id, Address(address))]))).await
    }

    /// Ends a membership.
    pub async fn remove(&self, id: u64) -> Result<(), Error> {
        if self.raft.voter_ids().any(|voter| voter == id) {
            return self.change(ChangeMembers::RemoveVoters([id].into())).await;
        }
        self.change(ChangeMembers::RemoveNodes([id].into())).await
    }

    /// Asks another member to lead.
    pub async fn hand_over(&self, to: u64) {
        if let Err(error) = self.raft.trigger().transfer_leader(to).await {
            tracing::warn!(%error, "the lead could not be handed over");
        }
    }

    /// Has `entry` applied by every manager; the reply is this one's, once the entry is on a majority's disks.
    pub async fn propose(&self, entry: Vec<u8>) -> Result<Reply, Error> {
        if entry.len() > LARGEST_ENTRY {
            return Err(Error::TooLarge { size: entry.len(), limit: LARGEST_ENTRY });
        }
        let needed = RESERVE + 2 * entry.len() as u64;
        let free = free_bytes(&self.dir)?;
        if free < needed {
            return Err(self.no_room(needed).await);
        }
        let mut full = self.log.disk_full();
        let raft = self.raft.clone();
        // On Raft's own threads, and to its end even if the caller goes away.
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Stopped { reason: "it was shut down".into() })?;
        let write = runtime.spawn(async move { raft.client_write(Proposal(entry.into())).await });
        let written = tokio::select! {
            written = write => Some(written),
            // The entry waits in memory for room, and may yet be made: an error now is better than silence.
            Ok(_) = full.wait_for(|full| *full) => None,
        };
        match written {
            Some(Ok(Ok(response))) => Ok(response.data),
            Some(Ok(Err(error))) => Err(write_error(error)),
            Some(Err(error)) => Err(Error::Stopped { reason: error.to_string() }),
            None => Err(self.no_room(needed).await),
        }
    }

    /// Why nothing can be proposed: the disk is full, unless another member leads then, which may have room.
    async fn no_room(&self, needed: u64) -> Error {
        if self.step_down().await {
            tracing::warn!(path = %self.dir.display(), "the disk is full: another manager leads");
            return Error::NotLeader;
        }
        Error::DiskFull { path: self.dir.clone(), free: free_bytes(&self.dir).unwrap_or(0), needed }
    }

    /// Has another member lead, if there is one that can: nobody then has to wait for an election. Whether one does.
    async fn step_down(&self) -> bool {
        let next = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: std::collections::BTreeSet<u64> = metrics.membership_config.membership().voter_ids().collect();
            let others = metrics.replication.iter().flatten();
            let others = others.filter(|(id, at)| **id != metrics.id && voters.contains(id) && at.is_some());
            others.max_by_key(|(_, at)| at.map(|at| at.index)).map(|(id, _)| *id)
        };
        let Some(next) = next.filter(|_| self.raft.is_leader()) else { return false };
        self.hand_over(next).await;
        let mut leadership = self.leadership.clone();
        let follows = leadership.wait_for(|now| !matches!(now, Leadership::Leads { .. }));
        let is_other = tokio::time::timeout(HAND_OVER, follows).await.is_ok();
        if !is_other {
            tracing::warn!("no other manager has taken the lead over");
        }
        is_other
    }

    /// Ends Raft and closes the log.
    pub async fn shutdown(&self) {
        self.step_down().await;
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "raft did not end cleanly");
        }
        self.log.close().await;
    }

    /// Proposes even when the disk has no room to spare.
    #[cfg(test)]
    pub async fn propose_regardless(&self, entry: Vec<u8>) -> Result<Reply, Error> {
        let written = self.raft.client_write(Proposal(entry.into())).await;
        written.map(|response| response.data).map_err(write_error)
    }

    /// Whether writes wait for room on the disk.
    #[cfg(test)]
    pub fn disk_full(&self) -> watch::Receiver<bool> {
        self.log.disk_full()
    }

    /// Has a raft snapshot written now.
    #[cfg(test)]
    pub async fn snapshot_now(&self) -> Option<u64> {
        self.raft.trigger().snapshot().await.unwrap();
        let last = self.raft.metrics().borrow_watched().last_applied;
        let wait = self.raft.wait(Some(Duration::from_secs(10)));
        let metrics = wait.metrics(|metrics| metrics.snapshot >= last, "raft snapshot").await.unwrap();
        metrics.snapshot.map(|id| id.index)
    }
}

fn free_bytes(dir: &Path) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(dir).map_err(|errno| Error::file("ask for the free space of", dir, errno.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn write_error(error: RaftError<Types, ClientWriteError<Types>>) -> Error {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(_)) => Error::NotLeader,
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => Error::Uncertain,
        other => Error::Stopped { reason: other.to_string() },
    }
}

fn config() -> Config {
    Config {
        cluster_name: "orca".into(),
        heartbeat_interval: 100,
        election_timeout_min: 300,
        election_timeout_max: 600,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(5_000),
        max_in_snapshot_log_to_keep: 1_000,
        install_snapshot_timeout: 10_000,
        // Timers are of use only with other managers: a lone one leads without being woken fifty times a second.
        enable_tick: false,
        ..Config::default()
    }
}

type Started = (OpenRaft, Log, Arc<SnapshotStore>, RaftKey, watch::Receiver<Leadership>);

async fn run(config: RaftConfig, replica: Box<dyn Replica>) -> Result<Started, Error> {
    let RaftConfig { dir, node, peers, joins, unlock } = config;
    make_dir(&dir)?;
    let log_path = dir.join(log::FILE);
    let key = RaftKey::load_or_create(&dir, log_path.exists(), joins, unlock.as_ref())?;
    let flaw = |flaw: RecordFlaw| Error::Key { path: dir.join(super::key::FILE), reason: flaw.to_string() };
    let sealer = Arc::new(key.sealer().map_err(flaw)?);
    let snapshots = Arc::new(SnapshotStore::new(&dir, sealer.clone())?);
    // Damage is told before Raft begins.
    snapshots.current()?;
    let log = Log::open(&dir, sealer)?;
    let id = member_id(&log, &log_path, node).await?;
    let raft =
        match start_openraft(Network { id, peers }, &log, Machine::new(replica, snapshots.clone()), joins.is_some())
            .await
        {
            Ok(raft) => raft,
            Err(error) => {
                log.close().await;
                return Err(error);
            }
        };
    let (sender, mut leadership) = watch::channel(Leadership::Follows { leader: None });
    tokio::spawn(watch_leadership(raft.clone(), sender));
    if is_alone(&raft) {
        let leads = leadership.wait_for(|now| !matches!(now, Leadership::Follows { .. }));
        let waited = tokio::time::timeout(START, leads).await.map(|_| ());
        waited.map_err(|_| Error::NotReady { seconds: START.as_secs() })?;
    }
    Ok((raft, log, snapshots, key, leadership))
}

pub(super) fn make_dir(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| Error::file("make", dir, source))
}

/// This manager's number; drawn at the first start. The same number with an empty log would let it vote twice in one term.
pub(super) async fn member_id(log: &Log, path: &Path, node: NodeId) -> Result<u64, Error> {
    if let Some(MemberRecord { id, node: found }) = log.member()? {
        if found != node.to_string() {
            return Err(Error::OtherNode { path: path.to_owned(), found, expected: node });
        }
        return Ok(id);
    }
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    let id = u64::from_le_bytes(bytes).max(1);
    log.set_member(&MemberRecord { id, node: node.to_string() }).await?;
    Ok(id)
}

async fn start_openraft(network: Network, log: &Log, machine: Machine, joins: bool) -> Result<OpenRaft, Error> {
    let id = network.id;
    let stopped = |error: &dyn std::fmt::Display| Error::Stopped { reason: error.to_string() };
    let config = Arc::new(config().validate().map_err(|error| stopped(&error))?);
    let raft = OpenRaft::new(id, config, network, log.clone(), machine).await.map_err(|error| stopped(&error))?;
    let is_member = raft.is_initialized().await.map_err(|error| stopped(&error))?;
    if joins && (!is_member || !is_alone(&raft)) {
        // Others have the leader, and everything that this one lacks: there is nothing to wait for.
        raft.runtime_config().tick(true);
        return Ok(raft);
    }
    if !is_member {
        let members = BTreeMap::from([(id, Address::default())]);
        raft.initialize(members).await.map_err(|error| stopped(&error))?;
    } else if is_alone(&raft) {
        raft.trigger().elect(false).await.map_err(|error| stopped(&error))?;
    } else {
        raft.runtime_config().tick(true);
    }
    let recovered = raft.wait_for_recovery(Some(START)).await;
    // What ended Raft says more than that it ended.
    if let Err(fatal) = &raft.metrics().borrow_watched().running_state {
        return Err(stopped(fatal));
    }
    recovered.map_err(|_| Error::NotReady { seconds: START.as_secs() })?;
    Ok(raft)
}

/// Whether it is the only one that votes. One that nobody has made a member yet is not.
fn is_alone(raft: &OpenRaft) -> bool {
    raft.voter_ids().eq([*raft.node_id()])
}

fn address_of_leader(metrics: &openraft::RaftMetrics<Types>) -> Option<String> {
    let leader = metrics.current_leader.filter(|leader| *leader != metrics.id)?;
    metrics.membership_config.membership().get_node(&leader).map(|address| address.0.clone())
}

/// Tells of changes; turns timers on as soon as there is another manager.
async fn watch_leadership(raft: OpenRaft, leadership: watch::Sender<Leadership>) {
    let mut metrics = raft.metrics();
    loop {
        let now = {
            let metrics = metrics.borrow_and_update();
            let term = metrics.current_term;
            let caught_up = metrics.last_applied.is_some_and(|applied| applied.leader_id.term == term);
            match (&metrics.running_state, metrics.state) {
                (Err(fatal), _) => Leadership::Stopped { reason: fatal.to_string() },
                (Ok(()), ServerState::Leader) if caught_up => Leadership::Leads { term },
                (Ok(()), ServerState::Leader) => Leadership::Follows { leader: None },
                (Ok(()), _) => Leadership::Follows { leader: address_of_leader(&metrics) },
            }
        };
        leadership.send_if_modified(|before| {
            let changed = *before != now;
            *before = now.clone();
            changed
        });
        let alone = is_alone(&raft);
        raft.runtime_config().tick(!alone);
        let changed = match now {
            Leadership::Stopped { .. } => return,
            Leadership::Follows { .. } if alone => {
                match tokio::time::timeout(LONE_ELECTION_RETRY, metrics.changed()).await {
                    Ok(changed) => changed.is_ok(),
                    Err(_) => raft.is_leader() || raft.trigger().elect(false).await.is_ok(),
                }
            }
            _ => metrics.changed().await.is_ok(),
        };
        if !changed {
            let reason = "it was shut down".to_owned();
            leadership.send_replace(Leadership::Stopped { reason });
            return;
        }
    }
}
