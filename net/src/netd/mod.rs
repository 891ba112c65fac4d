//! `orca netd`: the process that outlives daemons and keeps names and published ports served.
//!
//! It takes whole tables from the agent over `RUN_DIR/netd.sock`, holds each container's name-server sockets and the
//! sockets that reserve published ports, and keeps serving the last tables while no daemon runs. A new program takes
//! everything over from the old one with `--takeover`, without a question lost.
//!
//! - [`protocol`]: the messages; [`Client`]: the agent's side;
//! - [`main`]: the process.

mod client;
mod ports;
pub mod protocol;
mod relay;
mod state;
mod takeover;

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;

use crate::Error;
pub use client::Client;
pub use ports::can_bind;
pub use protocol::{MeshReport, Relayed, Report, Reservation, Tables};
use protocol::{Reply, Request, VERSION};
use relay::Room;
use state::State;

/// Name of the socket within the run directory.
pub const SOCKET: &str = "netd.sock";

/// How long connections that a predecessor relays may go on after it has handed everything over.
const DRAIN: Duration = Duration::from_secs(3600);

/// Clients at once: one daemon, a successor, some that just left.
const MAX_CLIENTS: usize = 16;

/// Runs netd until it is told to end. Arguments: `--run-dir DIR [--takeover]`.
///
/// Must be called in a process of its own, in the host's network namespace.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (run_dir, takeover) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err(message) => {
            eprintln!("orca netd: {message}");
            return ExitCode::from(125);
        }
    };
    // A session of its own: what ends the daemon's terminal or group does not end this. It fails for a leader, who has one.
    let _ = nix::unistd::setsid();
    ports::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, run(&run_dir, takeover))
        }
        Err(source) => Err(Error::Socket { step: "start a runtime for", source }),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orca netd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(PathBuf, bool), String> {
    let (mut run_dir, mut takeover) = (None, false);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--run-dir") => run_dir = arguments.next().map(PathBuf::from),
            Some("--takeover") => takeover = true,
            _ => return Err(format!("unknown argument {argument:?}; usage: netd --run-dir DIR [--takeover]")),
        }
    }
    Ok((run_dir.ok_or("--run-dir DIR is missing")?, takeover))
}

async fn run(run_dir: &Path, takeover: bool) -> Result<(), Error> {
    let path = run_dir.join(SOCKET);
    let mut predecessor = None;
    let mut state = State::default();
    match connect(&path).await {
        Ok(stream) if takeover => {
            let (adopted, stream) = take_over(stream).await?;
            state = adopted;
            predecessor = Some(stream);
        }
        Ok(_) => {
            let source =
                io::Error::new(io::ErrorKind::AddrInUse, "another one runs there; use --takeover to replace it");
            return Err(Error::NetdUnreachable { step: "start", path, source });
        }
        Err(_) => {}
    }
    let listener = listen(&path)?;
    if let Some(mut stream) = predecessor.take() {
        // Everything is held and the socket's name is ours: the old one may go.
        protocol::write(&mut stream, &Request::TakeOver).await?;
        protocol::read::<Reply>(&mut stream).await?;
        // Its threads have ended: what comes for the mesh is ours.
        state.take_mesh();
        predecessor = Some(stream);
    }
    serve(listener, state, predecessor).await
}

async fn connect(path: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(path).await
}

async fn take_over(mut stream: UnixStream) -> Result<(State, UnixStream), Error> {
    client::greet(&mut stream).await?;
    protocol::write(&mut stream, &Request::TakeOver).await?;
    let Some(Reply::Handover(handover)) = protocol::read(&mut stream).await? else {
        return Err(Error::NetdMessage { reason: "the predecessor hands nothing over".into() });
    };
    let descriptors = takeover::receive(&stream, &handover).await?;
    Ok((State::adopt(*handover, descriptors)?, stream))
}

/// Binds under another name and renames, so that clients find the old socket or the new, always one that answers.
fn listen(path: &Path) -> Result<UnixListener, Error> {
    let failed = |source| Error::NetdUnreachable { step: "bind the socket of", path: path.into(), source };
    let fresh = path.with_extension(format!("sock.{}", std::process::id()));
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}

struct Netd {
    state: Mutex<State>,
    ended: Notify,
    /// One that may still relay connections.
    predecessor: Mutex<Option<UnixStream>>,
    /// Who has taken over, and what is still under way then.
    successor: Mutex<Option<(UnixStream, Room)>>,
}

async fn serve(listener: UnixListener, state: State, predecessor: Option<UnixStream>) -> Result<(), Error> {
    let failed = |source| Error::Socket { step: "watch signals beside", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // Ctrl-C and a closed terminal are for the daemon; only SIGTERM is for this process.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let netd = Rc::new(Netd {
        state: Mutex::new(state),
        ended: Notify::new(),
        predecessor: Mutex::new(predecessor),
        successor: Mutex::default(),
    });
    let mut conversations = JoinSet::new();
    let clients = Rc::new(tokio::sync::Semaphore::new(MAX_CLIENTS));
    loop {
        tokio::select! {
            () = netd.ended.notified() => break,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (netd, clients) = (Rc::clone(&netd), Rc::clone(&clients));
                while conversations.try_join_next().is_some() {}
                conversations.spawn_local(async move {
                    let Ok(_permit) = clients.try_acquire() else { return };
                    if let Err(error) = netd.converse(stream).await {
                        tracing::warn!(%error, "a client of netd was dropped");
                    }
                });
            }
        }
    }
    // The daemon is to find the successor.
    drop((listener, conversations));
    tokio::select! {
        () = netd.drain() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

impl Netd {
    async fn converse(&self, mut stream: UnixStream) -> Result<(), Error> {
        let Some(Request::Hello { version }) = protocol::read(&mut stream).await? else {
            return Err(Error::NetdMessage { reason: "the first message is not a hello".into() });
        };
        protocol::write(&mut stream, &Reply::Hello { version: VERSION, pid: std::process::id() }).await?;
        if version != VERSION {
            return Err(Error::NetdVersion { theirs: version, ours: VERSION });
        }
        while let Some(request) = protocol::read(&mut stream).await? {
            match request {
                Request::Hello { .. } => return Err(Error::NetdMessage { reason: "a second hello".into() }),
                Request::SetTables(tables) => {
                    let report = self.state.lock().await.set_tables(*tables);
                    protocol::write(&mut stream, &Reply::Report(report)).await?;
                }
                Request::TakeOver => return self.hand_over(stream).await,
                Request::Shutdown => {
                    self.end_predecessor().await;
                    protocol::write(&mut stream, &Reply::Done).await?;
                    self.ended.notify_one();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The lock is held until the successor confirms, so that no tables change under the handover.
    async fn hand_over(&self, mut stream: UnixStream) -> Result<(), Error> {
        let mut state = self.state.lock().await;
        let (handover, descriptors) = state.handover();
        protocol::write(&mut stream, &Reply::Handover(Box::new(handover))).await?;
        takeover::send(&stream, &descriptors).await?;
        let confirmed = protocol::read::<Request>(&mut stream);
        let confirmed = tokio::time::timeout(Duration::from_secs(10), confirmed).await;
        if matches!(confirmed, Ok(Ok(Some(Request::TakeOver)))) {
            let room = state.hand_over();
            let told = protocol::write(&mut stream, &Reply::Done).await;
            *self.successor.lock().await = Some((stream, room));
            self.ended.notify_one();
            return told;
        }
        Ok(())
    }

    /// Lets connections end that are relayed still, unless the successor is told to end, and with it everything of the node.
    async fn drain(&self) {
        let Some((mut successor, room)) = self.successor.lock().await.take() else { return };
        let told = async {
            while let Ok(Some(request)) = protocol::read::<Request>(&mut successor).await {
                if request == Request::Shutdown {
                    return self.end_predecessor().await;
                }
            }
            // It was killed; another one takes its place.
            std::future::pending().await
        };
        tokio::select! {
            () = room.emptied() => {}
            () = told => {}
            () = tokio::time::sleep(DRAIN) => {}
        }
    }

    /// Ends a predecessor that still relays connections; most have ended long since.
    async fn end_predecessor(&self) {
        if let Some(stream) = self.predecessor.lock().await.as_mut() {
            let _ = protocol::write(stream, &Request::Shutdown).await;
        }
    }
}
