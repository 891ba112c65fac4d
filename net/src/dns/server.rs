//! Serving one container's sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use model::ContainerId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Reply, Transport, failure, reply};
use super::{Shared, Sockets, forward};

/// Questions of one container being forwarded at once: one container cannot use up the node's share.
const MAX_FORWARDED: usize = 128;
/// Connections of one container at once.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may say nothing.
const IDLE: Duration = Duration::from_secs(10);
/// The longest question taken: a name is 255 bytes at most, options some more.
const MAX_QUESTION: usize = 4096;
/// A pause after a socket's error, so that a lasting one does not use up the processor.
const PAUSE: Duration = Duration::from_millis(50);

struct Container {
    id: ContainerId,
    shared: Arc<Shared>,
    forwarded: Semaphore,
    rotation: AtomicUsize,
}

/// Answers a container's questions until dropped.
///
/// # Errors
/// When the sockets cannot be handed to the runtime.
pub async fn serve(id: ContainerId, sockets: Sockets, shared: Arc<Shared>) -> io::Result<()> {
    let container =
        Arc::new(Container { id, shared, forwarded: Semaphore::new(MAX_FORWARDED), rotation: AtomicUsize::new(0) });
    let udp = Arc::new(UdpSocket::from_std(sockets.udp)?);
    let tcp = TcpListener::from_std(sockets.tcp)?;
    tokio::join!(serve_udp(Arc::clone(&container), udp), serve_tcp(container, tcp));
    Ok(())
}

async fn serve_udp(container: Arc<Container>, socket: Arc<UdpSocket>) {
    let mut buffer = vec![0; MAX_QUESTION];
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let (length, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let question = &buffer[..length];
        match container.decide(question, Transport::Udp) {
            Reply::Ignore => {}
            // A full buffer loses the answer, and the asker asks again: as with every datagram.
            Reply::Send(answer) => drop(socket.try_send_to(&answer, from)),
            Reply::Forward => {
                let (container, socket, question) = (Arc::clone(&container), Arc::clone(&socket), question.to_vec());
                running.spawn(async move {
                    let answer = container.forward(&question, Transport::Udp).await;
                    let _ = socket.send_to(&answer, from).await;
                });
            }
        }
        if running.len() > 4 * MAX_FORWARDED {
            running.join_next().await;
        }
    }
}

async fn serve_tcp(container: Arc<Container>, listener: TcpListener) {
    let mut running = JoinSet::new();
    loop {
        while running.len() >= MAX_CONNECTIONS {
            running.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                running.spawn(serve_connection(Arc::clone(&container), stream));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        while running.try_join_next().is_some() {}
    }
}

/// Questions one after the other (RFC 7766), until the asker ends, falls silent or sends none.
async fn serve_connection(container: Arc<Container>, mut stream: TcpStream) {
    loop {
        let Ok(Ok(question)) = timeout(IDLE, read_question(&mut stream)).await else { return };
        let answer = match container.decide(&question, Transport::Tcp) {
            Reply::Ignore => return,
            Reply::Send(answer) => answer,
            Reply::Forward => container.forward(&question, Transport::Tcp).await,
        };
        let Ok(length) = u16::try_from(answer.len()) else { return };
        let framed = [&length.to_be_bytes()[..], &answer].concat();
        if !matches!(timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
            return;
        }
    }
}

async fn read_question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

impl Container {
    fn decide(&self, question: &[u8], transport: Transport) -> Reply {
        let rotation = self.rotation.fetch_add(1, Ordering::Relaxed);
        reply(&self.shared.tables(), self.id, question, transport, rotation)
    }

    /// The upstream's answer, or "server failure" when there is none or too much is being asked.
    async fn forward(&self, question: &[u8], transport: Transport) -> Vec<u8> {
        let own: Vec<SocketAddr> =
            self.shared.tables().askers.get(&self.id).map(|asker| asker.servers.clone()).unwrap_or_default();
        let host = self.shared.servers();
        let servers = if own.is_empty() { host.as_slice() } else { own.as_slice() };
        let answer = match (self.forwarded.try_acquire(), self.shared.forwarded.try_acquire()) {
            (Ok(_mine), Ok(_nodes)) => forward::ask(servers, question, transport).await,
            _ => None,
        };
        answer.unwrap_or_else(|| failure(question, ResponseCode::ServFail))
    }
}
