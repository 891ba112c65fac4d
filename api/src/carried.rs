//! A connection within a stream of messages, to a node that nobody can connect to: the node opens the stream, and answers its own API
//! there.

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::dispatcher::Piece;

/// The header of a call that another node is to answer: that node's id. In the answer it is the node's host name.
pub const NODE: &str = "orca-node";

/// Length of a ticket.
pub const TICKET: usize = 16;

/// Most bytes of a piece, and of those that wait on one side of it.
const PIECE: usize = 64 << 10;

/// Pieces that wait for the network.
pub const PIECES: usize = 4;

/// Bytes of one stream, and of one carried connection, that may be under way: what a node has for who does not read.
pub const WINDOW: u32 = 1 << 20;

/// Calls that a node answers for the cluster's managers: looking, and what goes on within a container. What makes, ends or removes
/// containers is desired state, or the node's own.
const CALLS: &[&str] = &[
    "/orca.node.v1.Node/TopContainer",
    "/orca.node.v1.Node/Stats",
    "/orca.node.v1.Node/Events",
    "/orca.node.v1.Node/ListContainers",
    "/orca.node.v1.Node/InspectContainer",
    "/orca.node.v1.Node/WaitContainer",
    "/orca.node.v1.Node/ResizeContainer",
    "/orca.node.v1.Node/Logs",
    "/orca.node.v1.Node/ReadLogs",
    "/orca.node.v1.Node/Attach",
    "/orca.node.v1.Node/Exec",
    "/orca.node.v1.Node/InspectImage",
    "/orca.files.v1.Files/StatPath",
    "/orca.files.v1.Files/CopyFrom",
    "/orca.files.v1.Files/CopyTo",
    "/orca.files.v1.Files/ListChanges",
    "/orca.files.v1.Files/Export",
];

/// Whether a node answers this call for the cluster's managers.
pub fn is_answered(path: &str) -> bool {
    CALLS.contains(&path)
}

/// A connection over the pieces of both directions, and what moves them; the connection ends with it. Who does not read makes the other
/// side wait.
pub fn carry<M: Send + 'static>(
    mut incoming: Streaming<Piece>,
    outgoing: mpsc::Sender<M>,
    wrap: fn(Piece) -> M,
) -> (DuplexStream, impl Future<Output = ()> + Send + 'static) {
    let (near, far) = tokio::io::duplex(PIECE);
    let (mut read, mut write) = tokio::io::split(far);
    let up = async move {
        let mut buffer = vec![0; PIECE];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            let data = buffer.get(..length).unwrap_or_default().to_vec();
            if outgoing.send(wrap(Piece { data })).await.is_err() {
                return;
            }
        }
    };
    let down = async move {
        while let Ok(Some(piece)) = incoming.message().await {
            if write.write_all(&piece.data).await.is_err() {
                return;
            }
        }
    };
    let moved = async move {
        tokio::select! {
            () = up => {}
            () = down => {}
        }
    };
    (near, moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_and_removes_is_not_for_others() {
        for call in ["Reset", "CreateContainer", "StartContainer", "RemoveContainer", "LoadImage", "RemoveVolume"] {
            assert!(!is_answered(&format!("/orca.node.v1.Node/{call}")), "{call}");
        }
        assert!(!is_answered("/orca.files.v1.Files/Commit") && !is_answered("/orca.swarm.v1.Swarm/Leave"));
        assert!(is_answered("/orca.node.v1.Node/Exec"));
    }
}
