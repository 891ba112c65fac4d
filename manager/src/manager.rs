//! One running manager: store, leader loops and services put together.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::client::MESSAGE_MAX;
use api::control::control_server::ControlServer;
use api::dispatcher::dispatcher_server::DispatcherServer;
use api::swarm::membership_server::MembershipServer;
use api::swarm::raft_server::RaftServer;
use model::{ClusterId, ClusterIdentity, ClusterSpec, KeptKey, NodeId, NodeRole};
use tokio::task::JoinHandle;
use tonic::service::Routes;

use crate::ca;

use crate::control::ControlApi;
use crate::dispatcher::DispatcherApi;
use crate::error::Error;
use crate::gate::Gate;
use crate::leader::{self, NodeWatch};
use crate::lock::Lock;
use crate::membership::MembershipApi;
use crate::raft::{Peers, RaftKey};
use crate::reach::Reach;
use crate::state::{Command, OpenCluster, Refusal};
use crate::store::{Store, now};

/// Where the state is, in the data directory.
pub(crate) const RAFT: &str = "raft";

/// How long a first start may take to make its cluster.
const BOOTSTRAP: Duration = Duration::from_secs(30);

/// Where and who.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// The manager keeps everything under `data_dir/raft`.
    pub data_dir: PathBuf,
    /// This node, as its agent's identity says.
    pub node: NodeId,
    /// How other managers are spoken to.
    pub peers: Peers,
    /// The cluster that the node has joined, or opened to others; `None`: it is alone.
    pub joins: Option<ClusterId>,
    /// What opens the state of a manager that is locked.
    pub unlock: Option<KeptKey>,
}

/// One running manager.
pub struct Manager {
    store: Arc<Store>,
    nodes: Arc<NodeWatch>,
    peers: Peers,
    reach: Arc<Reach>,
    leader: Mutex<Option<JoinHandle<()>>>,
    lock: Lock,
}

impl Manager {
    /// Starts the manager, as the only one of a new cluster at the first start, and waits until it can answer.
    ///
    /// # Errors
    /// Files that can't be read or written, each by name; [`Error::NotReady`].
    pub async fn start(config: ManagerConfig) -> Result<Self, Error> {
        let ManagerConfig { data_dir, node, peers, joins, unlock } = config;
        let store = Arc::new(Store::open(&data_dir, node, peers.clone(), joins, unlock.clone()).await?);
        let nodes = Arc::new(NodeWatch::default());
        let leader = tokio::spawn(leader::run(store.clone(), nodes.clone()));
        let lock = Lock::follow(store.clone(), unlock);
        let reach = Arc::new(Reach::new(store.clone()));
        let manager = Self { store, nodes, peers, reach, leader: Mutex::new(Some(leader)), lock };
        // With others there may be nobody to lead yet, and the node has to answer all the same.
        if joins.is_some() {
            return Ok(manager);
        }
        if let Err(error) = manager.wait_for_cluster().await {
            manager.shutdown().await;
            return Err(error);
        }
        Ok(manager)
    }

    /// The cluster whose state is in a data directory, if any.
    ///
    /// # Errors
    /// A key file that can't be used.
    pub fn cluster_in(data_dir: &Path) -> Result<Option<ClusterId>, Error> {
        RaftKey::cluster_in(&data_dir.join(RAFT))
    }

    /// Whether the state in a data directory needs the unlock key.
    ///
    /// # Errors
    /// A key file that can't be used.
    pub fn is_locked(data_dir: &Path) -> Result<bool, Error> {
        RaftKey::is_wrapped_in(&data_dir.join(RAFT))
    }

    /// The key that this manager's state is locked with now.
    pub fn unlock_key(&self) -> Option<KeptKey> {
        self.lock.key()
    }

    /// Removes the state from a data directory that no manager runs on.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn wipe(data_dir: &Path) -> Result<(), Error> {
        let dir = data_dir.join(RAFT);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &dir, error)),
            _ => Ok(()),
        }
    }

    async fn wait_for_cluster(&self) -> Result<(), Error> {
        let mut changes = self.store.watch();
        let ready = async { while self.store.snapshot().cluster.is_none() && changes.changed().await.is_ok() {} };
        let waited = tokio::time::timeout(BOOTSTRAP, ready).await;
        waited.map_err(|_| Error::NotReady { seconds: BOOTSTRAP.as_secs() })
    }

    /// The replicated state.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// What this manager counts.
    pub fn metrics(&self) -> Vec<model::Metric> {
        crate::metrics::metrics(&self.store)
    }

    /// What clients talk to.
    pub fn control_service(&self) -> ControlServer<ControlApi> {
        ControlServer::new(ControlApi::new(self.store.clone())).max_decoding_message_size(MESSAGE_MAX)
    }

    /// What agents talk to. Needs a tokio runtime.
    pub fn dispatcher_service(&self) -> DispatcherServer<DispatcherApi> {
        let api = DispatcherApi::new(self.store.clone(), self.nodes.clone(), self.reach.clone());
        DispatcherServer::new(api).max_decoding_message_size(MESSAGE_MAX)
    }

    /// What nodes and other managers talk to, and commands of this machine: guarded by who asks.
    pub fn gate(&self) -> Gate {
        let membership = MembershipServer::new(MembershipApi::new(self.store.clone()));
        let raft = RaftServer::new(self.store.raft().service()).max_decoding_message_size(MESSAGE_MAX);
        let services = Routes::new(self.control_service()).add_service(self.dispatcher_service());
        let services = services.add_service(membership).add_service(raft);
        Gate::new(services, self.store.clone(), self.reach.clone(), self.peers.tls())
    }

    /// Prepares the opening of a lone node's cluster to others: a CA, and the first certificate that it issues. Nothing is changed
    /// before [`open`](Self::open).
    ///
    /// # Errors
    /// [`Error::PublicKey`], [`Error::Authority`]; [`Refusal::Exists`] if the cluster is open.
    pub fn prepare(&self, spec: ClusterSpec, public_key: &[u8]) -> Result<(ClusterIdentity, ca::Issued), Error> {
        let (cluster, now) = (self.store.cluster(), now());
        let is_open = self.store.snapshot().cluster.is_some_and(|cluster| cluster.identity.is_some());
        if is_open {
            return Err(Refusal::Exists { kind: "cluster", name: cluster.to_string() }.into());
        }
        let identity = ca::new_identity(cluster, now)?;
        let (node, role, validity) = (self.store.node(), NodeRole::Manager, spec.certificate_expiry);
        let issued = ca::issue(&identity, ca::Request { node, role, cluster, public_key, validity }, now)?;
        Ok((identity, issued))
    }

    /// Opens it.
    ///
    /// # Errors
    /// What the state refuses, and what keeps changes from being made.
    pub async fn open(&self, open: OpenCluster) -> Result<(), Error> {
        self.store.propose(vec![Command::OpenCluster(Box::new(open))]).await.map(|_| ())
    }

    /// Ends everything in order; open streams of both services end too.
    pub async fn shutdown(&self) {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(leader) = leader {
            leader.abort();
            // The only outcome after an abort is that it was aborted, or had ended.
            let _ = leader.await;
        }
        self.lock.end().await;
        self.store.shutdown().await;
    }
}
