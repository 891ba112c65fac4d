//! Connections to a daemon.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint as Target, Uri};

use crate::Error;
use crate::control::control_client::ControlClient;
use crate::dispatcher::dispatcher_client::DispatcherClient;
use crate::node::node_client::NodeClient;

/// Largest message that is read, in bytes; assignments and whole stacks fit.
pub const MESSAGE_MAX: usize = 64 << 20;

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
        let error = |reason| Err(Error::Address { address: address.chars().take(200).collect(), reason });
        match address.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => error("the path must be absolute, as in unix:///run/orca/orca.sock"),
            Some(("tcp" | "ssh", _)) => error("tcp:// and ssh:// are not supported yet: use unix:///PATH"),
            _ => error("expected unix:///PATH"),
        }
    }
}

/// Connects to a daemon.
///
/// # Errors
/// [`Error::NoDaemon`], [`Error::Permission`] or [`Error::Transport`].
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    match endpoint {
        Endpoint::Unix(path) => connect_unix(path).await,
    }
}

/// Connects to a daemon's socket.
///
/// # Errors
/// As [`connect`].
pub async fn connect_unix(path: &Path) -> Result<Channel, Error> {
    // The first connection is made here, so that its error can say what is the matter; it is then handed to the channel.
    let first = UnixStream::connect(path).await.map_err(|error| connect_error(path, &error))?;
    let mut first = Some(first);
    let path = path.to_path_buf();
    let connector = tower::service_fn(move |_: Uri| {
        let (ready, path) = (first.take(), path.clone());
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => UnixStream::connect(path).await?,
            };
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The name is never resolved; HTTP/2 wants an authority.
    Ok(Target::from_static("http://orca.local").connect_with_connector(connector).await?)
}

fn connect_error(path: &Path, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => Error::Permission { path: path.into() },
        ErrorKind::NotFound => Error::NoDaemon { path: path.into(), reason: "there is no such socket".into() },
        _ => Error::NoDaemon { path: path.into(), reason: error.to_string() },
    }
}

/// Desired state.
pub fn control_client(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Assignments and statuses.
pub fn dispatcher_client(channel: Channel) -> DispatcherClient<Channel> {
    DispatcherClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Containers, images, volumes.
pub fn node_client(channel: Channel) -> NodeClient<Channel> {
    NodeClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        assert_eq!(Endpoint::parse("unix:///a/b").unwrap(), Endpoint::Unix("/a/b".into()));
        for bad in ["", "/a", "unix://a", "tcp://1.2.3.4:2377", "ssh://host", "x://y"] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_missing_socket_is_told() {
        let error = connect_unix(Path::new("/nonexistent/orca.sock")).await.unwrap_err();
        assert!(error.to_string().contains("no such socket"), "{error}");
    }
}
