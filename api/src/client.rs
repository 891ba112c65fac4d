//! Connections to a daemon.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint as Target, Uri};

use crate::Error;
use crate::control::control_client::ControlClient;
use crate::dispatcher::dispatcher_client::DispatcherClient;
use crate::error::shorten;
use crate::files::files_client::FilesClient;
use crate::image::images_client::ImagesClient;
use crate::network::networks_client::NetworksClient;
use crate::node::node_client::NodeClient;

/// Largest message that is read, in bytes, by clients and servers; whole stacks and assignments fit. tonic's default is 4 MiB.
pub const MESSAGE_MAX: usize = 64 << 20;

/// Bytes of one stream, and of one connection, that may be under way: what a container writes crosses in large pieces.
pub const STREAM_WINDOW: u32 = 4 << 20;
/// See [`STREAM_WINDOW`].
pub const CONNECTION_WINDOW: u32 = 16 << 20;
/// Largest HTTP/2 frame: the least number of system calls for much data.
pub const FRAME_MAX: u32 = 1 << 20;

/// Where a daemon answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket on this machine.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads `unix:///run/orca/orca.sock`.
    ///
    /// # Errors
    /// [`Error::Address`] for everything else, by name.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let error = |reason| Err(Error::Address { address: shorten(address), reason });
        match address.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => error("the path must be absolute, as in unix:///run/orca/orca.sock"),
            Some(("tcp", _)) => {
                error("tcp:// needs the mTLS identity of a cluster, and this node has none: use unix:///PATH")
            }
            Some(("ssh", _)) => error("ssh:// is not supported: run orca on that machine, with unix:///PATH"),
            _ => error("expected unix:///PATH, as in unix:///run/orca/orca.sock"),
        }
    }
}

/// Connects to a daemon.
///
/// # Errors
/// [`Error::NoSocket`], [`Error::Refused`], [`Error::Permission`], [`Error::Connect`] or [`Error::Transport`].
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    match endpoint {
        Endpoint::Unix(path) => connect_unix(path).await,
    }
}

/// Connects to a daemon's socket. When the connection breaks, the next call of the channel makes a new one.
///
/// # Errors
/// As [`connect`].
pub async fn connect_unix(path: &Path) -> Result<Channel, Error> {
    // The first connection is made here, so that its error can say what is the matter; it is then handed to the channel.
    let first = UnixStream::connect(path).await.map_err(|source| connect_error(path, source))?;
    let mut first = Some(first);
    let socket = path.to_path_buf();
    let connector = tower::service_fn(move |_: Uri| {
        let (ready, socket) = (first.take(), socket.clone());
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => UnixStream::connect(socket).await?,
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The name is never resolved; HTTP/2 wants an authority.
    let target = Target::from_static("http://orca.local")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX);
    let connected = target.connect_with_connector(connector).await;
    connected.map_err(|source| Error::Transport { path: path.into(), source })
}

fn connect_error(path: &Path, source: std::io::Error) -> Error {
    let path = path.to_path_buf();
    match source.kind() {
        ErrorKind::PermissionDenied => Error::Permission { path },
        ErrorKind::NotFound => Error::NoSocket { path },
        ErrorKind::ConnectionRefused => Error::Refused { path },
        _ => Error::Connect { path, source },
    }
}

/// Asks the managers: desired state.
pub fn control_client(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// An agent's session with the managers: assignments down, statuses up.
pub fn dispatcher_client(channel: Channel) -> DispatcherClient<Channel> {
    DispatcherClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node: containers, images, volumes.
pub fn node_client(channel: Channel) -> NodeClient<Channel> {
    NodeClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node: containers' files.
pub fn files_client(channel: Channel) -> FilesClient<Channel> {
    FilesClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node about its networks.
pub fn networks_client(channel: Channel) -> NetworksClient<Channel> {
    NetworksClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node about registries, names of images and archives.
pub fn images_client(channel: Channel) -> ImagesClient<Channel> {
    ImagesClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_or_refused_by_name() {
        assert_eq!(Endpoint::parse("unix:///a/b").unwrap(), Endpoint::Unix("/a/b".into()));
        let cases = [
            ("", "expected unix:///PATH"),
            ("/a", "expected unix:///PATH"),
            ("unix://a", "must be absolute"),
            ("tcp://192.0.2.4:2377", "tcp:// needs"),
            ("ssh://host", "ssh:// is not supported"),
            ("x://y", "expected unix:///PATH"),
        ];
        for (address, words) in cases {
            let error = Endpoint::parse(address).unwrap_err().to_string();
            assert!(error.contains(words), "{address}: {error}");
        }
        assert!(Endpoint::parse(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn a_socket_of_another_group_asks_for_rights_not_for_a_daemon() {
        // Root may open every socket, so the system's answer to others is made here.
        let error = connect_error(Path::new("/run/orca/orca.sock"), ErrorKind::PermissionDenied.into());
        assert!(matches!(error, Error::Permission { .. }), "{error:?}");
        assert!(!error.to_string().contains("orca daemon"), "{error}");
    }
}
