//! Against a shim played by the test.

use std::path::PathBuf;

use model::shim::frame::{self, Kind};
use model::shim::{ErrorClass, ExecRequest, Failure, Reply, Request, SOCKET_FILE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

struct Shim {
    _dir: tempfile::TempDir,
    bundle: PathBuf,
    listener: UnixListener,
}

/// A bundle whose path is longer than a socket's address.
fn shim() -> Shim {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("x".repeat(120));
    std::fs::create_dir(&bundle).unwrap();
    let short = dir.path().join("s");
    let listener = UnixListener::bind(&short).unwrap();
    std::fs::rename(&short, bundle.join(SOCKET_FILE)).unwrap();
    Shim { _dir: dir, bundle, listener }
}

impl Shim {
    async fn accept(&self) -> UnixStream {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        assert!(matches!(request(&mut stream).await, Request::Hello { version: 1 }));
        let hello = Reply::Hello { version: 1, container_id: "c".into(), run_generation: 1 };
        say(&mut stream, &hello).await;
        stream
    }
}

async fn read_frame(stream: &mut UnixStream) -> (u8, Vec<u8>) {
    let length = stream.read_u32().await.unwrap() as usize;
    let kind = stream.read_u8().await.unwrap();
    let mut payload = vec![0; length - 1];
    stream.read_exact(&mut payload).await.unwrap();
    (kind, payload)
}

async fn request(stream: &mut UnixStream) -> Request {
    serde_json::from_slice(&read_frame(stream).await.1).unwrap()
}

async fn say(stream: &mut UnixStream, reply: &Reply) {
    send(stream, Kind::Control, &serde_json::to_vec(reply).unwrap()).await;
}

async fn send(stream: &mut UnixStream, kind: Kind, payload: &[u8]) {
    let mut bytes = Vec::new();
    frame::encode(kind, payload, &mut bytes).unwrap();
    stream.write_all(&bytes).await.unwrap();
}

fn failure(class: ErrorClass) -> Failure {
    Failure { version: 1, run_generation: 1, class, message: "no such file: /x".into() }
}

#[tokio::test]
async fn requests_are_answered_or_refused() {
    let shim = shim();
    let server = async {
        let mut first = shim.accept().await;
        assert!(matches!(request(&mut first).await, Request::Kill { signal: 15, all: false }));
        say(&mut first, &Reply::Ok).await;
        let mut second = shim.accept().await;
        assert!(matches!(request(&mut second).await, Request::Start));
        say(&mut second, &Reply::Error(failure(ErrorClass::CommandNotFound))).await;
    };
    let client = async {
        kill(&shim.bundle, 15, false).await.unwrap();
        let refused = start(&shim.bundle).await.unwrap_err();
        assert!(matches!(&refused, ShimClientError::Refused(failure) if failure.class.exit_code() == 127));
        assert_eq!(refused.to_string(), "no such file: /x");
    };
    tokio::join!(server, client);
}

#[tokio::test]
async fn no_output_is_lost_when_the_input_is_dropped() {
    let shim = shim();
    let server = async {
        let mut stream = shim.accept().await;
        assert!(matches!(request(&mut stream).await, Request::Exec(_)));
        say(&mut stream, &Reply::ExecStarted { pid: 7 }).await;
        let (kind, bytes) = read_frame(&mut stream).await;
        assert_eq!((kind, bytes.as_slice()), (Kind::Stdin as u8, b"in".as_slice()));
        for _ in 0..40 {
            send(&mut stream, Kind::Stdout, &vec![b'x'; 100_000]).await;
        }
        send(&mut stream, Kind::Stderr, b"e").await;
        say(&mut stream, &Reply::Ok).await;
        say(&mut stream, &Reply::ExecExit { exit_code: 3 }).await;
    };
    let client = async {
        let request = ExecRequest { args: vec!["cat".into()], stdin: true, ..exec_request() };
        let (Session { mut output, mut input }, pid) = exec(&shim.bundle, request).await.unwrap();
        assert_eq!(pid, 7);
        input.stdin(b"in").await.unwrap();
        drop(input);
        let mut read = 0;
        loop {
            match output.next().await.unwrap().unwrap() {
                Event::Stdout(bytes) => read += bytes.len(),
                Event::Stderr(bytes) => assert_eq!(&bytes[..], b"e"),
                Event::Exit { code, record: None } => break assert_eq!(code, 3),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(read, 4_000_000);
        assert_eq!(output.next().await.unwrap(), None);
    };
    tokio::join!(server, client);
}

fn exec_request() -> ExecRequest {
    serde_json::from_str(r#"{"args":[]}"#).unwrap()
}

#[tokio::test]
async fn a_gone_shim_is_told_from_a_broken_one() {
    let shim = shim();
    let server = async {
        let mut stream = shim.accept().await;
        request(&mut stream).await;
        drop(stream);
        let mut stream = shim.accept().await;
        request(&mut stream).await;
        stream.write_all(&[0xff; 8]).await.unwrap();
    };
    let client = async {
        assert!(matches!(wait(&shim.bundle).await, Err(ShimClientError::Lost { .. })));
        assert!(matches!(state(&shim.bundle).await, Err(ShimClientError::Frame { .. })));
    };
    tokio::join!(server, client);
    let bundle = shim.bundle.clone();
    drop(shim.listener);
    assert!(matches!(state(&bundle).await, Err(ShimClientError::NotRunning { .. })));
    std::fs::remove_dir_all(&bundle).unwrap();
    assert!(matches!(state(&bundle).await, Err(ShimClientError::NotRunning { .. })));
}
