//! Connections over a real socket.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use api::dispatcher::dispatcher_server::{Dispatcher, DispatcherServer};
use api::dispatcher::{AgentMessage, Assignments, ManagerMessage, Piece, manager_message};
use api::{Error, client, types};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, Streaming};

/// Sends one message of so many bytes, or fails when there are none.
struct Sender(usize);

#[tonic::async_trait]
impl Dispatcher for Sender {
    type SessionStream = tokio_stream::Iter<std::vec::IntoIter<Result<ManagerMessage, Status>>>;
    type CarryStream = tokio_stream::Empty<Result<Piece, Status>>;

    async fn carry(&self, _: Request<Streaming<Piece>>) -> Result<Response<Self::CarryStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    async fn session(&self, _: Request<Streaming<AgentMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        if self.0 == 0 {
            return Err(Status::failed_precondition("this manager is not the leader"));
        }
        let configs = [("id".to_owned(), vec![7; self.0])].into();
        let diff = types::AssignmentsDiff { configs, ..Default::default() };
        let assignments = Assignments { diff: Some(diff), ..Default::default() };
        let message = ManagerMessage { message: Some(manager_message::Message::Assignments(assignments)) };
        Ok(Response::new(tokio_stream::iter(vec![Ok(message)])))
    }
}

fn serve(path: &Path, bytes: usize) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    let server = tonic::transport::Server::builder().add_service(DispatcherServer::new(Sender(bytes)));
    tokio::spawn(async move { server.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap() })
}

async fn session(channel: &tonic::transport::Channel) -> Result<Option<ManagerMessage>, Error> {
    let mut client = client::dispatcher_client(channel.clone());
    let mut messages = client.session(tokio_stream::empty::<AgentMessage>()).await?.into_inner();
    Ok(messages.message().await?)
}

fn socket() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::Builder::new().prefix(&format!("orca-t{}-", std::process::id())).tempdir().unwrap();
    let path = dir.path().join("orca.sock");
    (dir, path)
}

#[tokio::test]
async fn a_message_beyond_4_mib_arrives() {
    let (_dir, path) = socket();
    let server = serve(&path, 9 << 20);
    let channel = client::connect(&client::Endpoint::Unix(path)).await.unwrap();
    assert!(session(&channel).await.unwrap().is_some());
    server.abort();
}

#[tokio::test]
async fn the_servers_words_are_told() {
    let (_dir, path) = socket();
    let server = serve(&path, 0);
    let channel = client::connect_unix(&path).await.unwrap();
    let error = session(&channel).await.unwrap_err();
    assert_eq!(error.to_string(), "this manager is not the leader");
    assert!(matches!(error, Error::Daemon { code: tonic::Code::FailedPrecondition, .. }), "{error:?}");
    server.abort();
}

#[tokio::test]
async fn a_missing_socket_is_told() {
    let (_dir, path) = socket();
    let error = client::connect_unix(&path).await.unwrap_err();
    assert!(matches!(error, Error::NoSocket { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&path.display().to_string()) && message.contains("orca daemon"), "{message}");
}

#[tokio::test]
async fn a_socket_without_a_daemon_is_told() {
    let (_dir, path) = socket();
    drop(UnixListener::bind(&path).unwrap());
    let error = client::connect_unix(&path).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_is_told() {
    let path = Path::new("/tmp").join("x".repeat(200));
    let error = client::connect_unix(&path).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn a_channel_finds_a_daemon_that_has_come_back() {
    let (_dir, path) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let channel = client::connect_unix(&path).await.unwrap();
    // The daemon ends before it has answered.
    drop(listener.accept().await.unwrap());
    drop(listener);
    let error = session(&channel).await.unwrap_err();
    assert!(matches!(error, Error::Lost { .. }), "{error:?}");
    std::fs::remove_file(&path).unwrap();
    let server = serve(&path, 1);
    assert!(session(&channel).await.unwrap().is_some());
    server.abort();
}
