//! A node's daemon from start to end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agent::neighbours::ForNeighbours;
use agent::service::{ImagesService, NodeParts, NodeService};
use agent::{Agent, AgentConfig, BRIDGE_SUBNET, Logging, UsersConfig};
use image::Unpacker;
use image::registry::Settings;
use shim::SealedBinary;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::service::Routes;
use tonic::transport::Server;

use super::cluster::{self, Cluster, SwarmApi};
use super::metrics::Metrics;
use super::programs::OwnPrograms;
use super::remote::Remote;
use super::socket::{Access, listen};
use super::{demo_image, notify};
use crate::error::{Error, Result};

pub(super) fn failed<E: std::fmt::Display>(action: &'static str) -> impl FnOnce(E) -> Error {
    move |error| Error::Start { action, reason: error.to_string() }
}

/// How a node is run.
pub struct Options {
    /// Where output goes.
    pub logging: Logging,
    /// Image registries.
    pub registries: Settings,
    /// Runtimes beside the built-in one.
    pub runtimes: BTreeMap<String, PathBuf>,
    /// Users of containers.
    pub users: Option<UsersConfig>,
    /// Where device specifications are; `None`: in the usual places.
    pub cdi: Option<Vec<PathBuf>>,
    /// What the node says of itself.
    pub labels: BTreeMap<String, String>,
    /// What it has that services may ask for.
    pub generic: BTreeMap<String, u64>,
    /// Where commands of other machines come.
    pub remote: Option<Remote>,
    /// Where Prometheus may ask.
    pub metrics: Option<SocketAddr>,
}

/// Runs a node until a signal or a reset ends it. Containers, published ports and names go on without it.
pub async fn serve(data_dir: PathBuf, run_dir: PathBuf, options: Options) -> Result<()> {
    let Options { logging, registries, runtimes, users, cdi, labels, generic, remote, metrics } = options;
    // Signals from here on end the daemon in order, also while it starts.
    let mut end = End::new()?;
    make_run_dir(&run_dir)?;
    let remote = match remote {
        Some(remote) => Some(remote.bind().await?),
        None => None,
    };
    let program = std::env::current_exe().map_err(failed("find its own program"))?;
    let manager_socket = run_dir.join("manager.sock");
    // Containers are taken over before anything else: they need no manager.
    let (managers, status, ends) = cluster::ends(&manager_socket);
    let agent = start_agent(
        (&data_dir, &run_dir),
        ends,
        &program,
        logging,
        runtimes,
        (users, cdi, registries),
        (labels, generic),
    )
    .await?;
    let neighbours = agent.containers().sources().neighbours().clone();
    let given = ForNeighbours::new(neighbours, Arc::clone(agent.containers().images()));
    let cluster = Cluster::start(agent.node(), &data_dir, manager_socket.clone(), (managers, status), given).await?;
    if let Some(address) = metrics {
        Metrics::new(agent.containers().clone(), data_dir.clone(), cluster.clone()).serve(address).await?;
    }
    let (stop, stopped) = watch::channel(());
    let dispatcher = Server::builder().layer(cluster.of_manager()).add_routes(Routes::default());
    let incoming = UnixListenerStream::new(listen(&manager_socket, Access::Root)?);
    let dispatcher = tokio::spawn(dispatcher.serve_with_incoming_shutdown(incoming, until(stopped.clone())));

    let images = Arc::clone(agent.containers().images());
    let provided = tokio::task::spawn_blocking(move || demo_image::provide(&images, &program)).await;
    // A full disk must not keep a node from running what it has.
    if let Ok(Err(error)) = provided {
        tracing::error!(%error, "the built-in image is missing");
    }

    let reset = Arc::new(Notify::new());
    let incoming = UnixListenerStream::new(listen(&run_dir.join("orca.sock"), Access::Group)?);
    let node = node_service(&agent, data_dir, Arc::clone(&reset));
    agent.answer_managers(Routes::new(node.files_server()).add_service(node.clone().into_server()));
    let images = ImagesService::new(agent.containers().clone());
    let services = Routes::new(SwarmApi::server(cluster.clone()))
        .add_service(node.files_server())
        .add_service(node.networks_server())
        .add_service(node.into_server())
        .add_service(images.into_server());
    let door = cluster.with_manager(services);
    let commands = server().layer(door.clone()).add_routes(Routes::default());
    let mut api = tokio::spawn(commands.serve_with_incoming_shutdown(incoming, until(stopped.clone())));
    let mut remote = tokio::spawn(async move {
        match remote {
            Some(remote) => {
                let serving = server().layer(door).add_routes(Routes::default());
                serving.serve_with_incoming_shutdown(remote.accept(), until(stopped)).await
            }
            None => {
                until(stopped).await;
                Ok(())
            }
        }
    });
    tracing::info!(run_dir = %run_dir.display(), "ready");
    notify::ready();
    tokio::select! {
        () = end.wait() => tracing::info!("ending; containers go on"),
        () = reset.notified() => {
            agent.clean_up();
            tracing::info!("ending after a reset");
        }
        result = &mut api => return Err(broken(result)),
        result = &mut remote => return Err(broken(result)),
    }
    // The agent first: it says goodbye to the manager; open streams would hold the servers up.
    if let Err(error) = agent.shutdown().await {
        tracing::error!(%error, "the agent's records may be behind; containers are found again all the same");
    }
    cluster.shutdown().await;
    drop(stop);
    let _ =
        tokio::time::timeout(std::time::Duration::from_secs(2), async { tokio::join!(dispatcher, api, remote) }).await;
    Ok(())
}

pub(super) fn server() -> Server {
    Server::builder()
        .initial_stream_window_size(api::client::STREAM_WINDOW)
        .initial_connection_window_size(api::client::CONNECTION_WINDOW)
        .max_frame_size(api::client::FRAME_MAX)
        // A client whose machine is gone is noticed, and what it waited for given up.
        .http2_keepalive_interval(Some(std::time::Duration::from_secs(60)))
}

async fn start_agent(
    (data_dir, run_dir): (&Path, &Path),
    ends: cluster::AgentEnds,
    program: &Path,
    logging: Logging,
    runtimes: BTreeMap<String, PathBuf>,
    (users, cdi, registries): (Option<UsersConfig>, Option<Vec<PathBuf>>, Settings),
    (labels, generic): (BTreeMap<String, String>, BTreeMap<String, u64>),
) -> Result<Agent> {
    let sealed = SealedBinary::of_current().map_err(failed("copy its program into memory"))?;
    let config = AgentConfig {
        data_dir: data_dir.into(),
        run_dir: run_dir.into(),
        managers: ends.managers,
        session: ends.status,
        unpacker: Unpacker::Child(program.into()),
        programs: Arc::new(OwnPrograms::new(sealed, program.into())),
        bridge_subnet: BRIDGE_SUBNET.parse().map_err(failed("read the subnet of its own network"))?,
        logging,
        runtimes,
        users,
        cdi,
        registries,
        labels,
        generic,
    };
    Agent::start(config).await.map_err(failed("start its agent"))
}

fn node_service(agent: &Agent, data_dir: PathBuf, shutdown: Arc<Notify>) -> NodeService {
    NodeService::new(NodeParts {
        containers: agent.containers().clone(),
        networks: Arc::clone(agent.networks()),
        id: agent.node(),
        description: agent.description().clone(),
        data_dir,
        shutdown,
    })
}

fn broken(result: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> Error {
    let reason = match result {
        Ok(Ok(())) => "the server ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Error::Start { action: "serve its clients", reason }
}

/// Others may look for the socket; what else is there has modes of its own.
fn make_run_dir(path: &Path) -> Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(path).map_err(|source| Error::File {
        action: "make",
        path: path.into(),
        source,
    })
}

async fn until(mut stopped: watch::Receiver<()>) {
    // The sender says nothing; it is dropped.
    while stopped.changed().await.is_ok() {}
}

/// The signals that end the daemon.
struct End {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl End {
    fn new() -> Result<Self> {
        let error = |source| Error::Terminal { action: "watch for signals", source };
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(error)?,
            interrupt: signal(SignalKind::interrupt()).map_err(error)?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
