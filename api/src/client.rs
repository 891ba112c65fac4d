//! Connections to a daemon.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint as Target, Uri};
use tonic::{GrpcMethod, Request, Status};

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
    /// Another machine, by its ssh client: what follows `ssh`.
    Ssh(Vec<String>),
    /// Another machine, with certificates.
    Tcp {
        /// Its name or address.
        host: String,
        /// Its port.
        port: u16,
    },
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
            Some(("tcp", place)) => match tcp(place) {
                Some((host, port)) => Ok(Self::Tcp { host, port }),
                None => error("expected tcp://HOST[:PORT]"),
            },
            Some(("ssh", place)) => match ssh(place) {
                Some(args) => Ok(Self::Ssh(args)),
                None => error("expected ssh://[USER@]HOST[:PORT][/PATH/OF/SOCKET]"),
            },
            _ => error(
                "expected unix:///PATH, as in unix:///run/orca/orca.sock, ssh://[USER@]HOST[:PORT] or tcp://HOST[:PORT]",
            ),
        }
    }
}

/// Docker's port for TLS.
pub const TLS_PORT: u16 = 2376;

fn tcp(place: &str) -> Option<(String, u16)> {
    let place = place.trim_end_matches('/');
    let (host, port) = match place.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (place, TLS_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let fine = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b));
    fine.then(|| (host.to_owned(), port))
}

/// The arguments of `ssh` for a place; none for what could be taken for an option.
fn ssh(place: &str) -> Option<Vec<String>> {
    let (authority, path) = place.find('/').map_or((place, ""), |at| place.split_at(at));
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let (host, port) = match host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (host, None),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:%/".contains(&b))
    };
    if !is_word(host)
        || host.contains('/')
        || user.is_some_and(|user| !is_word(user))
        || (path.len() > 1 && !is_word(path))
    {
        return None;
    }
    let mut args = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
    args.extend(user.into_iter().flat_map(|user| ["-l".to_owned(), user.to_owned()]));
    args.extend(port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
    args.extend(["--".to_owned(), host.to_owned(), "orca".to_owned()]);
    if path.len() > 1 {
        args.push(format!("--host=unix://{path}"));
    }
    args.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    Some(args)
}

/// Connects to a daemon.
///
/// # Errors
/// [`Error::NoSocket`], [`Error::Refused`], [`Error::Permission`], [`Error::Connect`] or [`Error::Transport`].
pub async fn connect(endpoint: &Endpoint) -> Result<Channel, Error> {
    match endpoint {
        Endpoint::Unix(path) => connect_unix(path).await,
        Endpoint::Ssh(args) => connect_ssh(args).await,
        Endpoint::Tcp { host, .. } => {
            Err(Error::Remote { address: host.clone(), reason: "tcp:// is used with certificates only".into() })
        }
    }
}

/// Connects through `ssh`, whose questions and complaints are for the terminal.
async fn connect_ssh(args: &[String]) -> Result<Channel, Error> {
    let own = args.to_vec();
    let connector = tower::service_fn(move |_: Uri| {
        let mut command = tokio::process::Command::new("ssh");
        command.args(&own).stdin(Stdio::piped()).stdout(Stdio::piped());
        async move {
            let mut child = command.spawn()?;
            let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
            let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
                return Err(std::io::Error::other("ssh has no pipes"));
            };
            // The child is reaped when its connection ends, by the runtime.
            Ok::<_, std::io::Error>(TokioIo::new(tokio::io::join(stdout, stdin)))
        }
    });
    let target = Target::from_static("http://orca.remote");
    let connected = target.connect_with_connector(connector).await;
    connected.map_err(|source| Error::Ssh { host: args.join(" "), source })
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

/// Speaks over a connection that is there already, and is not made again.
///
/// # Errors
/// [`Error::Remote`] when the other end does not answer.
pub async fn connect_over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    window: u32,
) -> Result<Channel, Error> {
    let mut only = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_: Uri| {
        let only = only.take().ok_or_else(|| std::io::Error::other("the connection has ended"));
        std::future::ready(only)
    });
    let target = Target::from_static("http://orca.node")
        .initial_stream_window_size(window)
        .initial_connection_window_size(window);
    let connected = target.connect_with_connector(connector).await;
    connected.map_err(|source| Error::Remote { address: "the node".into(), reason: crate::error::root_cause(&source) })
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

/// Calls that change nothing, by service and method. `Attach` may give a container input, and start it.
const READING: &[&str] = &[
    "orca.control.v1.Control/GetCluster",
    "orca.control.v1.Control/Locate",
    "orca.control.v1.Control/Plan",
    "orca.control.v1.Control/ListServices",
    "orca.control.v1.Control/ListTasks",
    "orca.control.v1.Control/ListNetworks",
    "orca.control.v1.Control/WatchStack",
    "orca.files.v1.Files/StatPath",
    "orca.files.v1.Files/CopyFrom",
    "orca.files.v1.Files/ListChanges",
    "orca.files.v1.Files/Export",
    "orca.image.v1.Images/History",
    "orca.image.v1.Images/Save",
    "orca.image.v1.Images/Resolve",
    "orca.image.v1.Images/GetRegistries",
    "orca.network.v1.Networks/ListNetworks",
    "orca.network.v1.Networks/InspectNetwork",
    "orca.node.v1.Node/GetNode",
    "orca.node.v1.Node/Preflight",
    "orca.node.v1.Node/TopContainer",
    "orca.node.v1.Node/Stats",
    "orca.node.v1.Node/Events",
    "orca.node.v1.Node/ListContainers",
    "orca.node.v1.Node/InspectContainer",
    "orca.node.v1.Node/WaitContainer",
    "orca.node.v1.Node/Logs",
    "orca.node.v1.Node/ReadLogs",
    "orca.node.v1.Node/ListImages",
    "orca.node.v1.Node/InspectImage",
    "orca.node.v1.Node/ListVolumes",
    "orca.node.v1.Node/InspectVolume",
];

/// What a connection may be used for, and who is meant.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Calls that change something are refused before they are made.
    pub read_only: bool,
    /// The node that is to answer, if not the one that is connected to.
    pub node: Option<AsciiMetadataValue>,
}

/// A connection with its guard.
pub type Guarded = InterceptedService<Channel, Guard>;

impl Interceptor for Guard {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(node) = &self.node {
            request.metadata_mut().insert(crate::carried::NODE, node.clone());
        }
        if !self.read_only {
            return Ok(request);
        }
        let method = request.extensions().get::<GrpcMethod<'_>>();
        let method = method.map(|method| format!("{}/{}", method.service(), method.method())).unwrap_or_default();
        if READING.contains(&method.as_str()) {
            return Ok(request);
        }
        Err(Status::failed_precondition(format!(
            "this command cannot tell what it would do without doing it ({method})"
        )))
    }
}

/// Asks the managers: desired state.
pub fn control_client(channel: Channel, guard: Guard) -> ControlClient<Guarded> {
    ControlClient::new(InterceptedService::new(channel, guard)).max_decoding_message_size(MESSAGE_MAX)
}

/// An agent's session with the managers: assignments down, statuses up.
pub fn dispatcher_client(channel: Channel) -> DispatcherClient<Channel> {
    DispatcherClient::new(channel).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node: containers, images, volumes.
pub fn node_client(channel: Channel, guard: Guard) -> NodeClient<Guarded> {
    NodeClient::new(InterceptedService::new(channel, guard)).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node: containers' files.
pub fn files_client(channel: Channel, guard: Guard) -> FilesClient<Guarded> {
    FilesClient::new(InterceptedService::new(channel, guard)).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node about its networks.
pub fn networks_client(channel: Channel, guard: Guard) -> NetworksClient<Guarded> {
    NetworksClient::new(InterceptedService::new(channel, guard)).max_decoding_message_size(MESSAGE_MAX)
}

/// Asks one node about registries, names of images and archives.
pub fn images_client(channel: Channel, guard: Guard) -> ImagesClient<Guarded> {
    ImagesClient::new(InterceptedService::new(channel, guard)).max_decoding_message_size(MESSAGE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_connection_lets_no_change_pass() {
        let request = |service, method| {
            let mut request = Request::new(());
            request.extensions_mut().insert(GrpcMethod::new(service, method));
            request
        };
        let mut guard = Guard { read_only: true, node: None };
        assert!(guard.call(request("orca.control.v1.Control", "Plan")).is_ok());
        for (service, method) in [("orca.control.v1.Control", "ApplyStack"), ("orca.node.v1.Node", "Exec"), ("", "")] {
            assert!(guard.call(request(service, method)).is_err(), "{method}");
        }
        assert!(guard.call(Request::new(())).is_err(), "a call that nobody knows");
        assert!(Guard::default().call(request("orca.control.v1.Control", "ApplyStack")).is_ok());
    }

    #[test]
    fn an_address_is_a_socket_or_refused_by_name() {
        assert_eq!(Endpoint::parse("unix:///a/b").unwrap(), Endpoint::Unix("/a/b".into()));
        let cases = [
            ("", "expected unix:///PATH"),
            ("/a", "expected unix:///PATH"),
            ("unix://a", "must be absolute"),
            ("tcp://", "expected tcp://"),
            ("tcp://a:b", "expected tcp://"),
            ("ssh://", "expected ssh://"),
            ("ssh://-oProxyCommand=x", "expected ssh://"),
            ("ssh://host:port", "expected ssh://"),
            ("ssh://a b", "expected ssh://"),
            ("ssh://host/$(x)", "expected ssh://"),
            ("x://y", "expected unix:///PATH"),
        ];
        for (address, words) in cases {
            let error = Endpoint::parse(address).unwrap_err().to_string();
            assert!(error.contains(words), "{address}: {error}");
        }
        assert!(Endpoint::parse(&"x".repeat(1 << 20)).unwrap_err().to_string().len() < 300);
    }

    #[test]
    fn tcp_has_dockers_port() {
        for (address, host, port) in [
            ("tcp://far", "far", 2376),
            ("tcp://10.0.0.1:99/", "10.0.0.1", 99),
            ("tcp://[::1]:99", "::1", 99),
            ("tcp://::1", "::1", 2376),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap(), Endpoint::Tcp { host: host.into(), port });
        }
    }

    #[test]
    fn ssh_gets_its_words() {
        let words = |address: &str| match Endpoint::parse(address).unwrap() {
            Endpoint::Ssh(args) => args[3..].join(" "),
            other => panic!("{address}: {other:?}"),
        };
        assert_eq!(words("ssh://host"), "-- host orca system dial-stdio");
        assert_eq!(words("ssh://ann@host:2222"), "-l ann -p 2222 -- host orca system dial-stdio");
        assert_eq!(words("ssh://[fe80::1]:22"), "-p 22 -- fe80::1 orca system dial-stdio");
        assert_eq!(words("ssh://host/run/x.sock"), "-- host orca --host=unix:///run/x.sock system dial-stdio");
    }

    #[test]
    fn a_socket_of_another_group_asks_for_rights_not_for_a_daemon() {
        // Root may open every socket, so the system's answer to others is made here.
        let error = connect_error(Path::new("/run/orca/orca.sock"), ErrorKind::PermissionDenied.into());
        assert!(matches!(error, Error::Permission { .. }), "{error:?}");
        assert!(!error.to_string().contains("orca daemon"), "{error}");
    }
}
