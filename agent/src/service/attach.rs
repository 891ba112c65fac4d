//! `attach`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use api::node as wire;
use api::node::attach_input;
use api::node::stream_output::Output;
use futures::future::BoxFuture;
use model::ContainerId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::session::{End, Input, Sender, output, pump_output, spawn_input};
use super::{NodeService, Outgoing, terminal_size};
use crate::bundle::logging::is_kept;
use crate::containers::{ContainerView, Containers, WaitCondition, Waited};
use crate::logs::{self, Query, Text};
use crate::shim_client::{self, Session, ShimClientError};
use crate::{Error, Result, clock};

/// Messages that wait for a slow client; with the shim's pieces of at most 128 KiB these are 4 MiB. Beyond that the container
/// waits, as in Docker: what is written to an attached client is not lost.
const AHEAD: usize = 32;
/// How long the last message waits for the node to have noted the end, so that the client's next command finds it so.
const SETTLING: Duration = Duration::from_secs(10);

/// One client of one container.
struct Attachment {
    containers: Containers,
    container: ContainerView,
    /// The next end, watched from before the start, so that it isn't missed even if the container removes itself.
    exit: BoxFuture<'static, Result<Waited>>,
    start: wire::AttachStart,
    inputs: Streaming<wire::AttachInput>,
    sender: Sender,
}

pub async fn attach(
    service: &NodeService,
    mut inputs: Streaming<wire::AttachInput>,
) -> Result<Outgoing<wire::StreamOutput>, Status> {
    let first = inputs.message().await?.and_then(|message| message.input);
    let Some(attach_input::Input::Start(start)) = first else {
        return Err(Status::invalid_argument("the first message of an attach must be its start"));
    };
    start.size.map(terminal_size).transpose()?;
    let id = service.resolve(&start.container)?;
    let containers = service.containers().clone();
    let (sender, receiver) = mpsc::channel(AHEAD);
    let container = containers.get(id)?;
    let exit = next_exit(&containers, id)?;
    let starts = start.start_container;
    containers.events().of_container(&containers.record(id)?, "attach", &[]);
    let attachment = Attachment { containers, container, exit, start, inputs, sender };
    if starts {
        attachment.serve_from_start().await?;
    } else {
        attachment.serve_running().await?;
    }
    Ok(ReceiverStream::new(receiver))
}

/// The future is polled once, which makes it watch from now on.
fn next_exit(containers: &Containers, id: ContainerId) -> Result<BoxFuture<'static, Result<Waited>>> {
    let containers = containers.clone();
    let mut exit: BoxFuture<'static, _> = Box::pin(async move { containers.wait(id, WaitCondition::NextExit).await });
    let waker = futures::task::noop_waker();
    match exit.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
        Poll::Pending => Ok(exit),
        Poll::Ready(waited) => Ok(Box::pin(std::future::ready(Ok(waited?)))),
    }
}

async fn open(bundle: &Path, start: &wire::AttachStart) -> Result<Session> {
    let mut session = shim_client::attach(bundle, start.stdin).await?;
    // A size that no terminal has was refused before.
    if let Some(size) = start.size.and_then(|size| terminal_size(size).ok()) {
        session.input.resize(size).await?;
    }
    Ok(session)
}

impl Attachment {
    async fn serve_running(self) -> Result<()> {
        let bundle = self.containers.bundle(self.container.id);
        let session = open(&bundle, &self.start).await.map_err(|error| match error {
            Error::ShimClient(ShimClientError::NotRunning { .. }) => {
                Error::NotRunning { name: self.container.name.clone() }
            }
            other => other,
        })?;
        tokio::spawn(self.serve(session));
        Ok(())
    }

    /// Attaches between creation and start; output flows before the start is known to have worked. If it hasn't, the client
    /// is told that instead, and what was attached ends because nobody receives.
    async fn serve_from_start(self) -> Result<()> {
        let (containers, id) = (self.containers.clone(), self.container.id);
        let waiting = Arc::new(Mutex::new(Some(self)));
        let take = |slot: &Mutex<Option<Self>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        let slot = waiting.clone();
        let hook = move |bundle: PathBuf| async move {
            let Some(attachment) = take(&slot) else { return Ok(()) };
            let session = open(&bundle, &attachment.start).await?;
            tokio::spawn(attachment.serve(session));
            Ok(())
        };
        containers.start_attached(id, hook).await?;
        match take(&waiting) {
            // It ran already, and the hook was not called.
            Some(attachment) => attachment.serve_running().await,
            None => Ok(()),
        }
    }

    async fn serve(self, session: Session) {
        let last = self.stream(session).await;
        if let Some((sender, last)) = last {
            // The client may have gone.
            let _ = sender.send(last).await;
        }
    }

    /// What the client is told last; `None` if it has gone.
    async fn stream(self, session: Session) -> Option<(Sender, Result<wire::StreamOutput, Status>)> {
        let Self { containers, container, exit, start, inputs, sender } = self;
        if start.logs && is_kept(&container.spec.log) {
            let sent = send_logs(containers.log_path(container.id), &sender).await;
            if let Err(error) = sent {
                return Some((sender, Err(error.into())));
            }
        }
        let feeder = spawn_input(inputs, session.input, read, sender.clone());
        let end = pump_output(session.output, &sender).await;
        feeder.abort();
        let settled = async {
            let waited = exit.await;
            if container.auto_remove {
                // An error means that it is gone already.
                let _ = containers.wait(container.id, WaitCondition::Removed).await;
            }
            waited
        };
        let last = match (end, timeout(SETTLING, settled)) {
            (End::ClientGone, _) => return None,
            (End::Failed(status), _) => Err(status),
            (End::Exited(code), settled) => {
                // The shim's word is enough when the node takes longer to note it.
                let _ = settled.await;
                Ok(output(Output::ExitCode(code.into())))
            }
            (End::Closed, settled) => match settled.await {
                Ok(Ok(waited)) => Ok(output(Output::ExitCode(waited.exit_code))),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Status::aborted("the connection to the container broke; attach again, or see its log")),
            },
        };
        Some((sender, last))
    }
}

/// Sends what the log has so far. It has whole lines only, so of a line that is being written at this moment the client may
/// see the second part alone.
async fn send_logs(path: PathBuf, sender: &Sender) -> Result<()> {
    let query = Query { until: Some(clock::wall()), ..Query::default() };
    let mut batches = logs::read(path, query, Text::default());
    while let Some(batch) = batches.recv().await {
        for run in batch? {
            let bytes = if run.stderr { Output::Stderr(run.text.into()) } else { Output::Stdout(run.text.into()) };
            if sender.send(Ok(output(bytes))).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn read(message: wire::AttachInput) -> Option<Input> {
    match message.input? {
        attach_input::Input::Start(_) => None,
        attach_input::Input::Stdin(bytes) => Some(Input::Stdin(bytes)),
        attach_input::Input::CloseStdin(_) => Some(Input::CloseStdin),
        attach_input::Input::Resize(size) => Some(Input::Resize(size)),
        attach_input::Input::Signal(name) => Some(Input::Signal(name)),
    }
}
