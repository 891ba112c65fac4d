//! Connections from a command to its daemon.

use std::net::SocketAddr;
use std::path::Path;

use api::client::{Endpoint, Guard, Guarded};
use api::control::control_client::ControlClient;
use api::files::files_client::FilesClient;
use api::image::images_client::ImagesClient;
use api::network::networks_client::NetworksClient;
use api::node::node_client::NodeClient;
use api::swarm::swarm_client::SwarmClient;
use api::tls::Identity;
use tonic::transport::Channel;

use crate::daemon::background;
use crate::error::{Error, Result};

/// Where a daemon answers when nothing else is said.
pub const DEFAULT_HOST: &str = "unix:///run/orca/orca.sock";

/// The daemon that commands talk to.
#[derive(Debug, Clone)]
pub struct Host {
    /// `unix://PATH`, `ssh://[USER@]HOST[:PORT]` or `tcp://HOST[:PORT]`.
    pub address: String,
    /// Whether the user named it, so that Orca starts none by itself.
    pub explicit: bool,
    /// The context that names it.
    pub context: String,
    /// The certificates for `tcp://`.
    pub identity: Option<Identity>,
    /// Only look, and tell what would be done.
    pub dry_run: bool,
}

/// Largest file of certificates or of a key.
const PEM_MAX: u64 = 1 << 20;

/// A file of certificates or with a key.
pub fn read_pem(path: &Path) -> Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(PEM_MAX).read_to_string(&mut text));
    read.map_err(|source| Error::File { action: "read", path: path.into(), source })?;
    Ok(text)
}

/// Opens the connection that an address means.
async fn channel(host: &Host) -> Result<Channel> {
    let endpoint = Endpoint::parse(&host.address)?;
    let Endpoint::Tcp { host: name, port } = &endpoint else {
        return Ok(api::client::connect(&endpoint).await?);
    };
    let remote = |reason: String| api::Error::Remote { address: host.address.clone(), reason };
    let identity = host.identity.as_ref().ok_or_else(|| {
        remote(
            "without certificates anybody could answer, or listen: set ORCA_TLS_VERIFY=1 and ORCA_CERT_PATH (ca.pem, cert.pem, \
                key.pem), give --tlsverify, or make a context with ca=, cert= and key="
                .into(),
        )
    })?;
    let found = ::image::registry::lookup(name).await.map_err(|error| remote(error.to_string()))?;
    let addresses = found.into_iter().map(|address| SocketAddr::new(address, *port)).collect();
    Ok(api::remote::connect(name, addresses, identity).await?)
}

/// A connection to a daemon: its node and, where it is a manager, the cluster's control.
#[derive(Debug, Clone)]
pub struct Client {
    /// Containers, images, volumes.
    pub node: NodeClient<Guarded>,
    /// Containers' files.
    pub files: FilesClient<Guarded>,
    /// The node's networks.
    pub networks: NetworksClient<Guarded>,
    /// Desired state.
    pub control: ControlClient<Guarded>,
    /// Registries, names of images, archives.
    pub images: ImagesClient<Guarded>,
    /// The node's part in a cluster.
    pub swarm: SwarmClient<Channel>,
    channel: Channel,
    read_only: bool,
    node_meant: Option<String>,
}

impl Client {
    /// Connects to a daemon that runs.
    pub async fn connect(host: &Host) -> Result<Self> {
        let channel = channel(host).await?;
        let guard = Guard { read_only: host.dry_run, node: None };
        Ok(Self {
            node: api::client::node_client(channel.clone(), guard.clone()),
            files: api::client::files_client(channel.clone(), guard.clone()),
            networks: api::client::networks_client(channel.clone(), guard.clone()),
            control: api::client::control_client(channel.clone(), guard.clone()),
            images: api::client::images_client(channel.clone(), guard),
            // No dry run has anything to do with it.
            swarm: SwarmClient::new(channel.clone()),
            channel,
            read_only: host.dry_run,
            node_meant: None,
        })
    }

    /// The same connection, through which another node of the cluster answers for its containers and their files.
    pub fn at(&self, node: &str) -> Result<Self> {
        let id = node.parse().map_err(|_| Error::NotFound { kind: "node", name: node.to_owned() })?;
        let guard = Guard { read_only: self.read_only, node: Some(id) };
        Ok(Self {
            node: api::client::node_client(self.channel.clone(), guard.clone()),
            files: api::client::files_client(self.channel.clone(), guard),
            node_meant: Some(node.to_owned()),
            ..self.clone()
        })
    }

    /// The other node that answers, if any.
    pub fn node_meant(&self) -> Option<&str> {
        self.node_meant.as_deref()
    }

    /// Connects; when no daemon answers at the default place, starts one in the background first, but not for a dry run.
    pub async fn connect_or_start(host: &Host) -> Result<Self> {
        match Self::connect(host).await {
            Err(Error::Connect(api::Error::NoSocket { .. } | api::Error::Refused { .. }))
                if !host.explicit && !host.dry_run =>
            {
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
