//! Connections that come in over TCP with TLS, each with who it is.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use crate::tls::PROTOCOL;

/// How long a handshake may take, and how many there are at once.
const PATIENCE: Duration = Duration::from_secs(10);
const HANDSHAKES: usize = 64;

/// Who is at the other end.
#[derive(Debug, Clone)]
pub struct Caller {
    /// From where.
    pub address: SocketAddr,
    /// The certificate that it has shown and proved to be its own; `None` where one was not demanded.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Takes connections until nobody asks for more. Each has the newest of the configurations, so that certificates can be renewed.
pub fn accept(
    listeners: Vec<TcpListener>,
    config: watch::Receiver<Arc<ServerConfig>>,
) -> ReceiverStream<io::Result<Client>> {
    let (sender, receiver) = mpsc::channel(16);
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    for listener in listeners {
        tokio::spawn(accept_on(listener, config.clone(), handshakes.clone(), sender.clone()));
    }
    ReceiverStream::new(receiver)
}

async fn accept_on(
    listener: TcpListener,
    config: watch::Receiver<Arc<ServerConfig>>,
    handshakes: Arc<Semaphore>,
    clients: mpsc::Sender<io::Result<Client>>,
) {
    loop {
        let Ok(turn) = handshakes.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = clients.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Descriptors run out, or the client has gone already.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, clients) = (TlsAcceptor::from(config.borrow().clone()), clients.clone());
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let shaken = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await;
            drop(turn);
            match shaken {
                Ok(Ok(stream)) => drop(clients.send(Ok(Client { stream, address: peer })).await),
                Ok(Err(error)) => tracing::info!(%peer, %error, "a client was refused"),
                Err(_) => tracing::info!(%peer, "a client was refused: no handshake within 10 s"),
            }
        });
    }
}

/// A connection whose handshake is done.
pub struct Client {
    stream: TlsStream<TcpStream>,
    address: SocketAddr,
}

impl Client {
    /// Whether it has said that it speaks HTTP/2, as all do that call services.
    pub fn speaks_grpc(&self) -> bool {
        self.stream.get_ref().1.alpn_protocol() == Some(PROTOCOL)
    }
}

impl Connected for Client {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        let chain = self.stream.get_ref().1.peer_certificates();
        let certificate = chain.and_then(<[_]>::first).map(|certificate| certificate.clone().into_owned());
        Caller { address: self.address, certificate }
    }
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Client {
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
