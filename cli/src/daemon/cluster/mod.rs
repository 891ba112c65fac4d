//! This node's part in a cluster: whether it runs a manager, whom its agent talks to, as whom, and how that changes while containers
//! go on.
//!
//! - `file`: what is kept of it · `address`: where it listens · `door`: the way to the manager while there is one
//! - `join`: the first certificate, and the next ones · `change`: lone node, worker, manager, and back
//! - `recover`: a cluster that goes on from a backup, or from what one manager has
//! - `service`: what commands ask · `follow`: what the managers say

mod address;
mod change;
mod door;
mod file;
mod follow;
mod join;
mod recover;
mod service;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::neighbours::ForNeighbours;
use agent::session::{Managers, SessionStatus};
use api::identity::NodeKey;
use api::listener::Client;
use api::remote::ClientConfig;
use api::tls::{Clients, ServerConfig};
use manager::gate::Gate;
use manager::raft::Peers;
use manager::{Manager, ManagerConfig};
use model::{KeptKey, NodeId, NodeRole};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tonic::service::Routes;
use tonic::transport::server::Connected;

use super::serve::{failed, server};
use crate::error::Result;
use door::Door;
use file::{Document, Files};

pub use service::SwarmApi;

/// What the agent needs of it, before there is anything else.
pub struct AgentEnds {
    /// Where managers are.
    pub managers: watch::Receiver<Managers>,
    /// How it stands with them.
    pub status: watch::Sender<SessionStatus>,
}

/// This node's part in a cluster.
pub struct Cluster {
    node: NodeId,
    data_dir: PathBuf,
    socket: PathBuf,
    files: Files,
    /// The node's place, if it has one.
    place: watch::Sender<Option<Arc<Document>>>,
    managers: watch::Sender<Managers>,
    status: watch::Sender<SessionStatus>,
    /// How other managers are spoken to.
    tls: watch::Sender<Option<Arc<ClientConfig>>>,
    gate: watch::Sender<Option<Gate>>,
    /// Its manager waits for the unlock key.
    locked: watch::Sender<bool>,
    /// What other nodes are given.
    images: Arc<ForNeighbours>,
    running: Mutex<Running>,
}

/// What runs; held while it changes.
#[derive(Default)]
struct Running {
    manager: Option<Arc<Manager>>,
    /// What its state is locked with.
    unlock: Option<KeptKey>,
    listener: Option<Listener>,
}

/// The port for other nodes.
struct Listener {
    config: watch::Sender<Arc<ServerConfig>>,
    task: JoinHandle<()>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the agent and the cluster share, made before either.
pub fn ends(socket: &Path) -> (watch::Sender<Managers>, watch::Sender<SessionStatus>, AgentEnds) {
    let (managers, targets) = watch::channel(Managers::local(socket.into()));
    let (status, _) = watch::channel(SessionStatus::default());
    (managers, status.clone(), AgentEnds { managers: targets, status })
}

impl Cluster {
    /// Takes the node's place, and starts its manager if it is one.
    pub async fn start(
        node: NodeId,
        data_dir: &Path,
        socket: PathBuf,
        (managers, status): (watch::Sender<Managers>, watch::Sender<SessionStatus>),
        images: ForNeighbours,
    ) -> Result<Arc<Self>> {
        let files = Files::new(data_dir);
        let document = files.document()?;
        // A restored state that was not taken over to the end.
        let restored = document.as_ref().map(|document| document.cluster);
        manager::recovery::settle(data_dir, restored).map_err(failed("take a restored state over"))?;
        let cluster = Arc::new(Self {
            node,
            data_dir: data_dir.into(),
            socket,
            files,
            place: watch::channel(document.clone().map(Arc::new)).0,
            managers,
            status,
            tls: watch::channel(None).0,
            gate: watch::channel(None).0,
            locked: watch::channel(false).0,
            images: Arc::new(images),
            running: Mutex::default(),
        });
        let mut running = cluster.running.lock().await;
        match document {
            None => cluster.run_manager(&mut running, None).await?,
            Some(document) => cluster.resume(&mut running, document).await?,
        }
        drop(running);
        tokio::spawn(follow::run(cluster.clone()));
        Ok(cluster)
    }

    async fn resume(&self, running: &mut Running, document: Document) -> Result<()> {
        let key = self.files.key()?;
        // A join that was cut off may have left the state of the cluster before.
        if document.role == NodeRole::Worker
            || Manager::cluster_in(&self.data_dir).map_err(failed("start its manager"))? != Some(document.cluster)
        {
            Manager::wipe(&self.data_dir).map_err(failed("forget its cluster"))?;
        }
        self.speak(&document, &key)?;
        if document.role == NodeRole::Worker {
            return Ok(());
        }
        if Manager::is_locked(&self.data_dir).map_err(failed("start its manager"))? {
            tracing::warn!("this manager is locked: it waits for `orca swarm unlock`; containers go on");
            self.locked.send_replace(true);
            return Ok(());
        }
        self.run_manager(running, Some(&document)).await?;
        if self.was_cut_off(running) {
            tracing::warn!("an `orca swarm init` was cut off before anything came of it: run it again");
            self.files.forget()?;
            self.forget_place();
            return Ok(());
        }
        // The port is opened by `follow`: containers and commands must not wait for somebody else to let go of it.
        Ok(())
    }

    /// Whether the file says that the cluster is open, and the state that it is not.
    fn was_cut_off(&self, running: &Running) -> bool {
        let Some(manager) = &running.manager else { return false };
        let cluster = manager.store().snapshot().cluster;
        manager.store().leads() && cluster.is_some_and(|cluster| cluster.identity.is_none())
    }

    fn forget_place(&self) {
        self.place.send_replace(None);
        self.tls.send_replace(None);
        self.managers.send_replace(Managers::local(self.socket.clone()));
    }

    /// Uses a place from now on: towards other managers, and for the agent's sessions.
    fn speak(&self, document: &Document, key: &NodeKey) -> Result<()> {
        let tls = Arc::new(document.identity(key).client()?);
        self.tls.send_replace(Some(tls.clone()));
        let socket = (document.role == NodeRole::Manager).then(|| self.socket.clone());
        let reached = Some(document.data_path.unwrap_or(document.address.ip()));
        let (addresses, images) = (document.addresses(), Some(document.address));
        let identity = Some(Arc::new(document.identity(key)));
        let authority = document.authority()?;
        self.managers.send_replace(Managers {
            socket,
            addresses,
            tls: Some(tls),
            reached,
            identity,
            images,
            authority,
        });
        self.place.send_replace(Some(Arc::new(document.clone())));
        Ok(())
    }

    async fn run_manager(&self, running: &mut Running, document: Option<&Document>) -> Result<()> {
        let manager = self.start_manager(running.unlock.clone(), document).await;
        self.office(running, manager.map_err(failed("start its manager"))?);
        Ok(())
    }

    async fn start_manager(
        &self,
        unlock: Option<KeptKey>,
        document: Option<&Document>,
    ) -> Result<Manager, manager::Error> {
        let config = ManagerConfig {
            data_dir: self.data_dir.clone(),
            node: self.node,
            peers: Peers::new(self.tls.subscribe()),
            joins: document.map(|document| document.cluster),
            unlock,
        };
        Manager::start(config).await
    }

    fn office(&self, running: &mut Running, manager: Manager) {
        self.gate.send_replace(Some(manager.gate()));
        running.manager = Some(Arc::new(manager));
        self.locked.send_replace(false);
    }

    async fn stop_manager(&self, running: &mut Running) {
        running.listener = None;
        self.gate.send_replace(None);
        if let Some(manager) = running.manager.take() {
            running.unlock = manager.unlock_key();
            manager.shutdown().await;
        }
    }

    /// Ends the manager, if there is one, and forgets its state.
    async fn dismiss(&self, running: &mut Running) -> Result<(), manager::Error> {
        self.stop_manager(running).await;
        running.unlock = None;
        self.locked.send_replace(false);
        Manager::wipe(&self.data_dir)
    }

    /// Opens the port for other nodes.
    fn listen(&self, running: &mut Running, listener: TcpListener, document: &Document, key: &NodeKey) -> Result<()> {
        let config = Arc::new(document.identity(key).server(Clients::All)?);
        let (config, configs) = watch::channel(config);
        let door = Door::of_managers(self.gate.subscribe(), self.locked.subscribe());
        let clients = api::listener::accept(vec![listener], configs);
        tracing::info!(address = %document.listen, "listening for nodes of the cluster");
        let images = self.images.clone();
        let task = tokio::spawn(async move {
            let layer = tower_layer(door);
            // Images are asked for over HTTP/1.1, by the client that registries are asked by.
            let clients = clients.filter_map(move |client| apart(client, &images));
            if let Err(error) = server().layer(layer).add_routes(Routes::default()).serve_with_incoming(clients).await {
                tracing::error!(%error, "the port for nodes of the cluster is closed");
            }
        });
        running.listener = Some(Listener { config, task });
        Ok(())
    }

    /// The services of commands, with those of the manager.
    pub fn with_manager(&self, services: Routes) -> impl tower::Layer<Routes, Service = Door> + Clone + use<> {
        tower_layer(Door::beside(self.gate.subscribe(), self.locked.subscribe(), services))
    }

    /// What agents on this machine ask the manager.
    pub fn of_manager(&self) -> impl tower::Layer<Routes, Service = Door> + Clone + use<> {
        tower_layer(Door::of_managers(self.gate.subscribe(), self.locked.subscribe()))
    }

    /// This node's manager, if it is one.
    pub async fn manager(&self) -> Option<Arc<Manager>> {
        self.running.lock().await.manager.clone()
    }

    /// Whether the agent has a session with a manager.
    pub fn has_session(&self) -> bool {
        self.status.borrow().error.is_none()
    }

    /// Ends the manager, if there is one, in order.
    pub async fn shutdown(&self) {
        let mut running = self.running.lock().await;
        self.stop_manager(&mut running).await;
    }

    /// Where this node listens and is reached, and its place.
    fn place(&self) -> Option<Arc<Document>> {
        self.place.borrow().clone()
    }
}

/// Leaves a client that speaks gRPC as it is, and has any other one served with images.
fn apart(client: io::Result<Client>, images: &Arc<ForNeighbours>) -> Option<io::Result<Client>> {
    let client = match client {
        Ok(client) if !client.speaks_grpc() => client,
        other => return Some(other),
    };
    let (caller, images) = (client.connect_info(), images.clone());
    tokio::spawn(image::registry::serve::connection(client, move |request| {
        let (caller, images) = (caller.clone(), images.clone());
        async move { images.answer(&caller, request).await }
    }));
    None
}

/// The layer that puts the door before everything; it has what was behind it already.
fn tower_layer(door: Door) -> impl tower::Layer<Routes, Service = Door> + Clone {
    tower::layer::layer_fn(move |_: Routes| door.clone())
}

/// Binds a port; an error for the person who chose it.
async fn bind(address: SocketAddr) -> Result<TcpListener, tonic::Status> {
    TcpListener::bind(address).await.map_err(|error| {
        tonic::Status::failed_precondition(format!(
            "cannot listen at {address} ({error}): choose another address or port with --listen-addr, or stop who has it"
        ))
    })
}
