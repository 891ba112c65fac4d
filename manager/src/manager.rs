//! One running manager: store, leader loops and services put together.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::client::MESSAGE_MAX;
use api::control::control_server::ControlServer;
use api::dispatcher::dispatcher_server::DispatcherServer;
use model::NodeId;
use tokio::task::JoinHandle;

use crate::control::ControlApi;
use crate::dispatcher::DispatcherApi;
use crate::error::Error;
use crate::leader::{self, NodeWatch};
use crate::store::Store;

/// How long a first start may take to make its cluster.
const BOOTSTRAP: Duration = Duration::from_secs(30);

/// Where and who.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// The manager keeps everything under `data_dir/raft`.
    pub data_dir: PathBuf,
    /// This node, as its agent's identity says.
    pub node: NodeId,
}

/// One running manager.
pub struct Manager {
    store: Arc<Store>,
    nodes: Arc<NodeWatch>,
    leader: Mutex<Option<JoinHandle<()>>>,
}

impl Manager {
    /// Starts the manager, as the only one of a new cluster at the first start, and waits until it can answer.
    ///
    /// # Errors
    /// Files that can't be read or written, each by name; [`Error::NotReady`].
    pub async fn start(config: ManagerConfig) -> Result<Self, Error> {
        let store = Arc::new(Store::open(&config.data_dir, config.node).await?);
        let nodes = Arc::new(NodeWatch::default());
        let leader = tokio::spawn(leader::run(store.clone(), nodes.clone()));
        let manager = Self { store, nodes, leader: Mutex::new(Some(leader)) };
        if let Err(error) = manager.wait_for_cluster().await {
            manager.shutdown().await;
            return Err(error);
        }
        Ok(manager)
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

    /// What clients talk to.
    pub fn control_service(&self) -> ControlServer<ControlApi> {
        ControlServer::new(ControlApi::new(self.store.clone())).max_decoding_message_size(MESSAGE_MAX)
    }

    /// What agents talk to. Needs a tokio runtime.
    pub fn dispatcher_service(&self) -> DispatcherServer<DispatcherApi> {
        let api = DispatcherApi::new(self.store.clone(), self.nodes.clone());
        DispatcherServer::new(api).max_decoding_message_size(MESSAGE_MAX)
    }

    /// Ends everything in order; open streams of both services end too.
    pub async fn shutdown(&self) {
        let leader = self.leader.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(leader) = leader {
            leader.abort();
            // The only outcome after an abort is that it was aborted, or had ended.
            let _ = leader.await;
        }
        self.store.shutdown().await;
    }
}
