//! `orca.node.v1.Node` and `orca.network.v1.Networks`: what clients ask of this node.
//!
//! - [`containers`]: life and listing · [`logs`], [`attach`], [`exec`]: streams, over [`session`]
//! - [`files`]: `orca.files.v1.Files`, over [`crate::files`]
//! - [`build`]: Dockerfiles carried out · [`images`] and [`upload`] · [`volumes`], [`networks`] · [`usage`] · [`node`], [`preflight`], [`reset`]: the node as a whole
//! - [`status`]: failures as gRPC statuses · [`view`]: what the agent knows as messages, both pure

mod attach;
mod build;
mod containers;
mod events;
mod exec;
mod files;
mod images;
mod logs;
mod networks;
mod node;
mod preflight;
mod reset;
mod session;
mod stats;
pub mod status;
mod upload;
mod usage;
mod view;
mod volumes;

pub use build::clean_up as clean_up_builds;
pub use containers::is_up;
pub use images::ImagesService;

use std::path::PathBuf;
use std::sync::Arc;

use api::files::files_server::FilesServer;
use api::node as wire;
use api::node::node_server::{Node, NodeServer};
use model::{ContainerId, NodeDescription, NodeId};
use tokio::sync::Notify;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::Error;
use crate::containers::Containers;
use crate::network::Networks;

/// A server stream. Its channel is bounded, so a client that doesn't read is waited for.
type Outgoing<T> = ReceiverStream<Result<T, Status>>;
/// What an rpc returns.
type Reply<T> = Result<Response<T>, Status>;

/// What the service works with.
#[derive(Clone)]
pub struct NodeParts {
    /// The node's containers, and through them its images and volumes.
    pub containers: Containers,
    /// Its networks, which know what services publish, and go at a reset.
    pub networks: Arc<Networks>,
    /// Its id.
    pub id: NodeId,
    /// What it says of itself.
    pub description: NodeDescription,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// Notified when a reset is done: the daemon ends then.
    pub shutdown: Arc<Notify>,
}

/// The server.
#[derive(Clone)]
pub struct NodeService {
    parts: Arc<NodeParts>,
}

impl NodeService {
    /// A server over these parts.
    pub fn new(parts: NodeParts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// As what tonic routes to, with the message bound that clients have too.
    pub fn into_server(self) -> NodeServer<Self> {
        NodeServer::new(self).max_decoding_message_size(api::client::MESSAGE_MAX)
    }

    /// The part of it that is `orca.files.v1.Files`.
    pub fn files_server(&self) -> FilesServer<Self> {
        FilesServer::new(self.clone()).max_decoding_message_size(api::client::MESSAGE_MAX)
    }

    fn containers(&self) -> &Containers {
        &self.parts.containers
    }

    /// The container that a name, an id or the beginning of an id means.
    fn resolve(&self, text: &str) -> Result<ContainerId, Status> {
        Ok(self.containers().resolve(text)?)
    }
}

/// Runs work that waits for disks on a thread that may wait.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> crate::Result<T> + Send + 'static,
) -> crate::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Thread(what))?
}

/// A terminal's size as the shim has it.
fn terminal_size(size: wire::TerminalSize) -> Result<model::shim::TerminalSize, Status> {
    let fit = |value: u32| {
        u16::try_from(value)
            .map_err(|_| Status::invalid_argument(format!("a terminal cannot have {value} rows or columns")))
    };
    Ok(model::shim::TerminalSize { rows: fit(size.rows)?, cols: fit(size.columns)? })
}

/// Writes methods that hand the message over to a function of the same name in a module of this room.
macro_rules! delegate {
    ($($module:ident :: $name:ident ($request:ty) -> $reply:ty;)+) => {
        #[tonic::async_trait]
        impl Node for NodeService {
            type LogsStream = Outgoing<wire::LogRecord>;
            type ReadLogsStream = Outgoing<wire::LogBatch>;
            type AttachStream = Outgoing<wire::StreamOutput>;
            type ExecStream = Outgoing<wire::StreamOutput>;
            type StatsStream = Outgoing<wire::StatsReply>;
            type EventsStream = Outgoing<wire::Event>;

            $(async fn $name(&self, request: Request<$request>) -> Reply<$reply> {
                $module::$name(self, request.into_inner()).await.map(Response::new)
            })+
        }
    };
}

delegate! {
    node::get_node(wire::GetNodeRequest) -> wire::GetNodeReply;
    preflight::preflight(wire::PreflightRequest) -> wire::PreflightReply;
    reset::reset(wire::ResetRequest) -> wire::ResetReply;
    containers::create_container(wire::CreateContainerRequest) -> wire::CreateContainerReply;
    containers::start_container(wire::StartContainerRequest) -> wire::StartContainerReply;
    containers::stop_container(wire::StopContainerRequest) -> wire::StopContainerReply;
    containers::restart_container(wire::RestartContainerRequest) -> wire::RestartContainerReply;
    containers::kill_container(wire::KillContainerRequest) -> wire::KillContainerReply;
    containers::remove_container(wire::RemoveContainerRequest) -> wire::RemoveContainerReply;
    containers::pause_container(wire::PauseContainerRequest) -> wire::PauseContainerReply;
    containers::unpause_container(wire::UnpauseContainerRequest) -> wire::UnpauseContainerReply;
    containers::rename_container(wire::RenameContainerRequest) -> wire::RenameContainerReply;
    containers::update_container(wire::UpdateContainerRequest) -> wire::UpdateContainerReply;
    containers::top_container(wire::TopContainerRequest) -> wire::TopContainerReply;
    stats::stats(wire::StatsRequest) -> Outgoing<wire::StatsReply>;
    events::events(wire::EventsRequest) -> Outgoing<wire::Event>;
    containers::list_containers(wire::ListContainersRequest) -> wire::ListContainersReply;
    containers::inspect_container(wire::InspectContainerRequest) -> wire::Container;
    containers::wait_container(wire::WaitContainerRequest) -> wire::WaitContainerReply;
    containers::resize_container(wire::ResizeContainerRequest) -> wire::ResizeContainerReply;
    logs::logs(wire::LogsRequest) -> Outgoing<wire::LogRecord>;
    logs::read_logs(wire::LogsRequest) -> Outgoing<wire::LogBatch>;
    attach::attach(Streaming<wire::AttachInput>) -> Outgoing<wire::StreamOutput>;
    exec::exec(Streaming<wire::ExecInput>) -> Outgoing<wire::StreamOutput>;
    images::import_image(Streaming<wire::ImportImageRequest>) -> wire::ImportImageReply;
    images::load_image(Streaming<wire::LoadImageRequest>) -> wire::LoadImageReply;
    images::list_images(wire::ListImagesRequest) -> wire::ListImagesReply;
    images::inspect_image(wire::InspectImageRequest) -> wire::Image;
    images::remove_image(wire::RemoveImageRequest) -> wire::RemoveImageReply;
    volumes::list_volumes(wire::ListVolumesRequest) -> wire::ListVolumesReply;
    volumes::create_volume(wire::CreateVolumeRequest) -> wire::Volume;
    volumes::inspect_volume(wire::InspectVolumeRequest) -> wire::Volume;
    volumes::remove_volume(wire::RemoveVolumeRequest) -> wire::RemoveVolumeReply;
    volumes::prune_volumes(wire::PruneVolumesRequest) -> wire::PruneVolumesReply;
}
