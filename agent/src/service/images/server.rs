//! `orca.image.v1.Images`: registries, names and archives.

use api::image as wire;
use api::image::images_server::{Images, ImagesServer};
use image::registry::Registries;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::super::build;
use super::{names, registry, save};
use crate::containers::Containers;

/// A server stream. Its channel is bounded, so a client that doesn't read is waited for.
pub type Outgoing<T> = ReceiverStream<Result<T, Status>>;

/// The server.
#[derive(Clone)]
pub struct ImagesService {
    containers: Containers,
}

impl ImagesService {
    /// A server of the images of these containers' node.
    pub fn new(containers: Containers) -> Self {
        Self { containers }
    }

    /// As what tonic routes to, with the message bound that clients have too.
    pub fn into_server(self) -> ImagesServer<Self> {
        ImagesServer::new(self).max_decoding_message_size(api::client::MESSAGE_MAX)
    }

    /// The node's containers.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    pub(super) fn registries(&self) -> &Registries {
        self.containers.sources().registries()
    }
}

/// Writes methods that hand the message over to a function of the same name in a module of this room.
macro_rules! delegate {
    ($($module:ident :: $name:ident ($request:ty) -> $reply:ty;)+) => {
        #[tonic::async_trait]
        impl Images for ImagesService {
            type SaveStream = Outgoing<wire::SaveChunk>;
            type PullStream = Outgoing<wire::Progress>;
            type PushStream = Outgoing<wire::Progress>;
            type BuildStream = Outgoing<wire::BuildOutput>;

            $(async fn $name(&self, request: Request<$request>) -> Result<Response<$reply>, Status> {
                $module::$name(self, request.into_inner()).await.map(Response::new)
            })+
        }
    };
}

delegate! {
    names::tag(wire::TagRequest) -> wire::TagReply;
    names::history(wire::HistoryRequest) -> wire::HistoryReply;
    names::prune(wire::PruneRequest) -> wire::PruneReply;
    save::save(wire::SaveRequest) -> Outgoing<wire::SaveChunk>;
    registry::pull(wire::PullRequest) -> Outgoing<wire::Progress>;
    registry::push(wire::PushRequest) -> Outgoing<wire::Progress>;
    registry::login(wire::LoginRequest) -> wire::LoginReply;
    registry::get_registries(wire::GetRegistriesRequest) -> wire::GetRegistriesReply;
    registry::resolve(wire::ResolveRequest) -> wire::ResolveReply;
    build::build(Streaming<wire::BuildInput>) -> Outgoing<wire::BuildOutput>;
    build::list_build_cache(wire::ListBuildCacheRequest) -> wire::ListBuildCacheReply;
    build::prune_build_cache(wire::PruneBuildCacheRequest) -> wire::ListBuildCacheReply;
}
