//! The connection to a daemon on another machine, over TCP with mutual TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint as Target, Uri};

use crate::Error;
use crate::client::{CONNECTION_WINDOW, FRAME_MAX, STREAM_WINDOW};
use crate::identity::MANAGER_NAME;
use crate::tls::{Identity, PROTOCOL, explain};

pub use rustls::ClientConfig;

/// How long a connection and its handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same between managers.
const MANAGER_PATIENCE: Duration = Duration::from_secs(2);
/// How long the next address waits for the one before.
const STAGGER: Duration = Duration::from_millis(250);
/// A connection that says nothing for so long is asked whether it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// Connects to the daemon that `name` is in the certificate of, at the first of `addresses` that answers.
///
/// # Errors
/// [`Error::Remote`] with what is wrong: nobody listens, or whose certificate is not accepted and why.
pub async fn connect(name: &str, addresses: Vec<SocketAddr>, identity: &Identity) -> Result<Channel, Error> {
    connect_as(name, name, addresses, Arc::new(identity.client()?), PATIENCE).await
}

/// Connects to a manager of the cluster whose CA the configuration trusts, whatever address it has.
///
/// # Errors
/// [`Error::Remote`].
pub async fn connect_manager(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    patience: Duration,
) -> Result<Channel, Error> {
    connect_as(&address.to_string(), MANAGER_NAME, vec![address], config, patience).await
}

/// A connection to the manager at an address that is made when it is first used, and made anew whenever it has broken, each time with
/// the configuration of then.
pub fn lazy_manager(address: SocketAddr, config: watch::Receiver<Option<Arc<ClientConfig>>>) -> Channel {
    let connector = tower::service_fn(move |_: Uri| {
        let config = config.borrow().clone();
        async move {
            let config = config.ok_or_else(|| io::Error::other("this node has no certificate yet"))?;
            let server = ServerName::try_from(MANAGER_NAME).map_err(io::Error::other)?;
            let stream = dial(&[address], &config, &server, MANAGER_PATIENCE).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let target = Target::from_static("http://orca.manager")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .http2_keep_alive_interval(MANAGER_PATIENCE)
        .keep_alive_timeout(MANAGER_PATIENCE);
    target.connect_with_connector_lazy(connector)
}

async fn connect_as(
    shown: &str,
    name: &str,
    addresses: Vec<SocketAddr>,
    config: Arc<ClientConfig>,
    patience: Duration,
) -> Result<Channel, Error> {
    let failed = |reason: String| Error::Remote { address: shown.to_owned(), reason };
    let server = ServerName::try_from(name.to_owned()).map_err(|_| failed("that is no name of a host".into()))?;
    // Made here, so that its error can say what is the matter; it is then handed to the channel.
    let first = dial(&addresses, &config, &server, patience).await.map_err(|error| failed(explain(&error)))?;
    let mut first = Some(first);
    let connector = tower::service_fn(move |_: Uri| {
        let (ready, addresses, config, server) = (first.take(), addresses.clone(), config.clone(), server.clone());
        async move {
            let stream = match ready {
                Some(stream) => stream,
                None => dial(&addresses, &config, &server, patience).await?,
            };
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let target = Target::from_static("http://orca.remote")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME_MAX)
        .http2_keep_alive_interval(if patience < PATIENCE { patience } else { KEEP_ALIVE })
        .keep_alive_timeout(patience)
        .keep_alive_while_idle(true);
    target.connect_with_connector(connector).await.map_err(|source| failed(crate::error::root_cause(&source)))
}

/// Tries the addresses, each a moment after the one before, and takes the first that answers (RFC 8305): one that leads nowhere
/// leaves time to the others.
async fn reach(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut tries = tokio::task::JoinSet::new();
    for (address, turn) in addresses.iter().copied().zip(0..) {
        tries.spawn(async move {
            tokio::time::sleep(STAGGER * turn).await;
            TcpStream::connect(address).await
        });
    }
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    while let Some(tried) = tries.join_next().await {
        match tried.map_err(io::Error::other).and_then(|connected| connected) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial(
    addresses: &[SocketAddr],
    config: &Arc<ClientConfig>,
    server: &ServerName<'static>,
    patience: Duration,
) -> io::Result<Begun> {
    let dialled = async {
        let stream = reach(addresses).await?;
        stream.set_nodelay(true)?;
        let mut stream = TlsConnector::from(config.clone()).connect(server.clone(), stream).await?;
        // Whoever does not know the protocol would wait for us, as we for it.
        if stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
            let reason = "what answers is no daemon of Orca: start one there with `orca daemon -H tcp://… --tlsverify`";
            return Err(io::Error::other(reason));
        }
        // With TLS 1.3 the daemon looks at the client's certificate after the client is done: the first byte of its HTTP/2
        // settings, which it sends unasked, is the sign that it is content.
        let first = stream.read_u8().await?;
        Ok(Begun { first: Some(first), stream })
    };
    let late = |_| {
        let reason = format!("no answer within {} s: is the port right, and open in the firewall?", patience.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    };
    tokio::time::timeout(patience, dialled).await.unwrap_or_else(late)
}

/// A connection whose first byte has been read.
struct Begun {
    first: Option<u8>,
    stream: TlsStream<TcpStream>,
}

impl AsyncRead for Begun {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_leads_nowhere_holds_up_nobody() {
        // Whose queue is full answers nobody: connections beyond it wait.
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let full = full.listen(1).unwrap();
        let stuck = full.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(stuck)).await {
            waiting.push(stream.unwrap());
        }
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let open = listener.local_addr().unwrap();
        let reached = tokio::time::timeout(Duration::from_secs(20), reach(&[stuck, open])).await;
        assert_eq!(reached.unwrap().unwrap().peer_addr().unwrap(), open);
        let closed = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(reach(&[closed]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(reach(&[]).await.is_err());
    }
}
