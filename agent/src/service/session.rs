//! Between a client's stream and a shim's: bytes both ways, bounded both ways.

use api::node as wire;
use api::node::stream_output::Output;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::terminal_size;
use crate::shim_client::{Event, SessionInput, SessionOutput};
use crate::{Error, signal};

/// Where messages for the client go.
pub type Sender = mpsc::Sender<Result<wire::StreamOutput, Status>>;

/// What a client sends after its first message.
#[derive(Debug)]
pub enum Input {
    /// Bytes for standard input.
    Stdin(bytes::Bytes),
    /// Standard input has ended.
    CloseStdin,
    /// The terminal has a new size.
    Resize(wire::TerminalSize),
    /// A signal by name.
    Signal(String),
}

/// How the output of a session ended.
#[derive(Debug)]
pub enum End {
    /// The process ended with this code and all its output was handed over.
    Exited(u8),
    /// The shim closed the connection.
    Closed,
    /// The client has gone.
    ClientGone,
    /// The client was cut off, with the reason.
    Failed(Status),
}

/// One message.
pub fn output(output: Output) -> wire::StreamOutput {
    wire::StreamOutput { output: Some(output) }
}

/// Hands output over until it ends. A client that doesn't read is waited for, which the process feels.
pub async fn pump_output(mut session: SessionOutput, sender: &Sender) -> End {
    loop {
        let event = tokio::select! {
            event = session.next() => event,
            () = sender.closed() => return End::ClientGone,
        };
        let message = match event {
            Ok(Some(Event::Stdout(bytes))) => output(Output::Stdout(bytes)),
            Ok(Some(Event::Stderr(bytes))) => output(Output::Stderr(bytes)),
            Ok(Some(Event::Exit { code, .. })) => return End::Exited(code),
            Ok(Some(Event::Dropped { reason })) => {
                let message =
                    format!("the client read too slowly and was cut off: {reason}; `orca logs` has all of it");
                return End::Failed(Status::data_loss(message));
            }
            // A size or a signal that came too late, or for no terminal: as in Docker no reason to end.
            Ok(Some(Event::Refused(failure))) => {
                tracing::debug!(reason = failure.message, "the shim refused an input of a stream");
                continue;
            }
            Ok(None) => return End::Closed,
            Err(error) => return End::Failed(Error::from(error).into()),
        };
        if sender.send(Ok(message)).await.is_err() {
            return End::ClientGone;
        }
    }
}

/// Hands a client's input to the process until the client or the process has had enough.
///
/// # Errors
/// What is wrong with a message.
pub async fn pump_input<T>(
    mut client: Streaming<T>,
    mut session: SessionInput,
    read: impl Fn(T) -> Option<Input>,
) -> Result<(), Status> {
    while let Some(message) = client.message().await? {
        let input =
            read(message).ok_or_else(|| Status::invalid_argument("only the first message of a stream is a start"))?;
        let sent = match input {
            Input::Stdin(bytes) => session.stdin(&bytes).await,
            Input::CloseStdin => session.close_stdin().await,
            Input::Resize(size) => session.resize(terminal_size(size)?).await,
            Input::Signal(name) => session.kill(signal::parse(&name)?).await,
        };
        if sent.is_err() {
            // The process has ended; its exit comes with the output.
            break;
        }
    }
    Ok(())
}

/// Feeds a process while it runs; what is wrong with the input ends the stream with that reason.
pub fn spawn_input<T: Send + 'static>(
    client: Streaming<T>,
    session: SessionInput,
    read: impl Fn(T) -> Option<Input> + Send + 'static,
    sender: Sender,
) -> tokio::task::AbortHandle {
    let feeder = async move {
        match pump_input(client, session, read).await {
            // Cancelled: the client has gone, which the output notices.
            Ok(()) => {}
            Err(status) if status.code() == tonic::Code::Cancelled => {}
            Err(status) => drop(sender.send(Err(status)).await),
        }
    };
    tokio::spawn(feeder).abort_handle()
}

#[cfg(test)]
mod tests {
    use model::shim::frame::{self, Kind};
    use model::shim::{Reply, SOCKET_FILE};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;
    use crate::shim_client::{self, Session};

    /// A session with a shim played by `play`, which gets the stream when the client has attached.
    async fn session<F: Future<Output = ()> + Send + 'static>(
        play: impl FnOnce(UnixStream) -> F + Send + 'static,
    ) -> (tempfile::TempDir, Session) {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET_FILE)).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let hello = Reply::Hello { version: 1, container_id: "c".into(), run_generation: 1 };
            for reply in [hello, Reply::Attached] {
                let mut request = vec![0; stream.read_u32().await.unwrap() as usize];
                stream.read_exact(&mut request).await.unwrap();
                say(&mut stream, &reply).await;
            }
            play(stream).await;
        });
        let session = shim_client::attach(dir.path(), true).await.unwrap();
        (dir, session)
    }

    async fn say(stream: &mut UnixStream, reply: &Reply) {
        send(stream, Kind::Control, &serde_json::to_vec(reply).unwrap()).await;
    }

    async fn send(stream: &mut UnixStream, kind: Kind, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::encode(kind, payload, &mut bytes).unwrap();
        // A client that has gone is what some of the tests are about.
        let _ = stream.write_all(&bytes).await;
    }

    #[tokio::test]
    async fn output_comes_in_order_to_a_slow_client_and_then_the_code() {
        let (_dir, session) = session(|mut stream| async move {
            for number in 0..100u8 {
                send(&mut stream, Kind::Stdout, &[number]).await;
            }
            say(&mut stream, &Reply::ExecExit { exit_code: 9 }).await;
        })
        .await;
        let (sender, mut receiver) = mpsc::channel(1);
        let pump = tokio::spawn(async move { pump_output(session.output, &sender).await });
        for number in 0..100u8 {
            tokio::task::yield_now().await;
            assert_eq!(receiver.recv().await.unwrap().unwrap(), output(Output::Stdout(vec![number].into())));
        }
        assert!(matches!(pump.await.unwrap(), End::Exited(9)));
    }

    #[tokio::test]
    async fn a_client_that_goes_ends_the_session_even_without_output() {
        let (_dir, session) = session(|mut stream| async move {
            let _ = stream.read_u8().await;
        })
        .await;
        let (sender, receiver) = mpsc::channel(1);
        drop(receiver);
        assert!(matches!(pump_output(session.output, &sender).await, End::ClientGone));
    }

    #[tokio::test]
    async fn a_client_that_is_cut_off_is_told() {
        let (_dir, session) = session(|mut stream| async move {
            say(&mut stream, &Reply::Dropped { reason: "too far behind".into() }).await;
        })
        .await;
        let (sender, _receiver) = mpsc::channel(1);
        let End::Failed(status) = pump_output(session.output, &sender).await else { panic!("not told") };
        assert_eq!(status.code(), tonic::Code::DataLoss);
        assert!(status.message().contains("too far behind"));
    }
}
