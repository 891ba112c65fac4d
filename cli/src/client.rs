//! Connections from a command to its daemon.

use api::client::Endpoint;
use api::control::control_client::ControlClient;
use api::files::files_client::FilesClient;
use api::image::images_client::ImagesClient;
use api::network::networks_client::NetworksClient;
use api::node::node_client::NodeClient;
use tonic::transport::Channel;

use crate::daemon::background;
use crate::error::{Error, Result};

/// Where a daemon answers when nothing else is said.
pub const DEFAULT_HOST: &str = "unix:///run/orca/orca.sock";

/// The daemon that commands talk to.
#[derive(Debug, Clone)]
pub struct Host {
    /// `unix://PATH` or `ssh://[USER@]HOST[:PORT]`.
    pub address: String,
    /// Whether the user named it, so that Orca starts none by itself.
    pub explicit: bool,
    /// The context that names it.
    pub context: String,
}

/// A connection to a daemon: its node and, where it is a manager, the cluster's control.
#[derive(Debug, Clone)]
pub struct Client {
    /// Containers, images, volumes.
    pub node: NodeClient<Channel>,
    /// Containers' files.
    pub files: FilesClient<Channel>,
    /// The node's networks.
    pub networks: NetworksClient<Channel>,
    /// Desired state.
    pub control: ControlClient<Channel>,
    /// Registries, names of images, archives.
    pub images: ImagesClient<Channel>,
}

impl Client {
    /// Connects to a daemon that runs.
    pub async fn connect(host: &Host) -> Result<Self> {
        let channel = api::client::connect(&Endpoint::parse(&host.address)?).await?;
        Ok(Self {
            node: api::client::node_client(channel.clone()),
            files: api::client::files_client(channel.clone()),
            networks: api::client::networks_client(channel.clone()),
            control: api::client::control_client(channel.clone()),
            images: api::client::images_client(channel),
        })
    }

    /// Connects; when no daemon answers at the default place, starts one in the background first.
    pub async fn connect_or_start(host: &Host) -> Result<Self> {
        match Self::connect(host).await {
            Err(Error::Connect(api::Error::NoSocket { .. } | api::Error::Refused { .. })) if !host.explicit => {
                background::start().await?;
                Self::connect(host).await
            }
            result => result,
        }
    }
}

/// Passes bytes on between standard input and output and the daemon's socket, until both ends have closed.
pub async fn dial_stdio(host: &Host) -> Result<()> {
    let Endpoint::Unix(path) = Endpoint::parse(&host.address)? else {
        let instead = "it is run by ssh on the daemon's machine, over its unix:// address".into();
        return Err(Error::Unsupported { what: format!("dial-stdio to {}", host.address), instead });
    };
    let socket = tokio::net::UnixStream::connect(&path).await;
    let mut socket = socket.map_err(|source| api::Error::Connect { path, source })?;
    let mut own = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    let copied = tokio::io::copy_bidirectional(&mut own, &mut socket).await;
    copied.map(drop).map_err(|source| Error::Terminal { action: "pass bytes on", source })
}
