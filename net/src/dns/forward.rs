//! Asking upstream servers, from the host's namespace.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::Transport;

/// How long one server has; with three servers an answer or its failure is there before a stub resolver's own ten
/// seconds (two tries of five) end.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes up to where a message's id ends.
const ID_LEN: usize = 2;

/// Asks the servers in turn over the asker's own transport; the first answer counts. `None` when none answers.
pub(super) async fn ask(servers: &[SocketAddr], question: &[u8], transport: Transport) -> Option<Vec<u8>> {
    for &server in servers.iter().take(3) {
        // An id that the asker cannot know, and a new port each time: who would forge an answer must guess both.
        let id = (RandomState::new().hash_one(question) as u16).to_be_bytes();
        let mut altered = question.to_vec();
        altered.get_mut(..ID_LEN)?.copy_from_slice(&id);
        let asked = async {
            match transport {
                Transport::Udp => ask_udp(server, &altered).await,
                Transport::Tcp => ask_tcp(server, &altered).await,
            }
        };
        match timeout(PATIENCE, asked).await {
            Ok(Ok(mut answer)) => {
                answer.get_mut(..ID_LEN)?.copy_from_slice(question.get(..ID_LEN)?);
                return Some(answer);
            }
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server cannot be asked"),
            Err(_) => tracing::debug!(%server, "a name server does not answer"),
        }
    }
    None
}

async fn ask_udp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question).await?;
    let mut buffer = vec![0; 4096];
    // Others' answers are passed over; the caller's timeout bounds this.
    loop {
        let length = socket.recv(&mut buffer).await?;
        if answers(&buffer[..length], question) {
            buffer.truncate(length);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], question].concat()).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; length.into()];
    stream.read_exact(&mut answer).await?;
    if !answers(&answer, question) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is to another question"));
    }
    Ok(answer)
}

/// Whether these bytes are an answer with the question's id that repeats its question (or has none, as some failures).
fn answers(answer: &[u8], question: &[u8]) -> bool {
    let (Some(a), Some(q)) = (answer.get(..12), question.get(..12)) else { return false };
    if a[..ID_LEN] != q[..ID_LEN] || a[2] & 0x80 == 0 {
        return false;
    }
    let same = |(a, q): (&u8, &u8)| a.eq_ignore_ascii_case(q);
    a[4..6] == [0, 0]
        || question_of(answer)
            .zip(question_of(question))
            .is_some_and(|(a, q)| a.len() == q.len() && a.iter().zip(q).all(same))
}

/// The first question's bytes: labels, type and class.
fn question_of(message: &[u8]) -> Option<&[u8]> {
    let mut at = 12;
    loop {
        match *message.get(at)? {
            0 => return message.get(12..at + 5),
            length if length < 64 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}
