//! `logs`.

use api::node as wire;
use model::{ContainerId, Timestamp};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::containers::is_up;
use super::{NodeService, Outgoing, view};
use crate::bundle::logging::is_kept;
use crate::containers::Containers;
use crate::logs::{self, Collect, Query, Record, Records, Text};
use crate::{Error, Result};

/// Messages that wait for a slow client.
const AHEAD: usize = 256;
/// As many of the larger ones.
const BATCHES_AHEAD: usize = 4;

/// One message a line, as clients of before [`read_logs`] ask for it.
pub async fn logs(service: &NodeService, request: wire::LogsRequest) -> Result<Outgoing<wire::LogRecord>, Status> {
    let messages = |records: Vec<Record>| records.into_iter().map(view::log_record).collect();
    Ok(forward(open(service, &request, Records::default())?, AHEAD, messages))
}

/// Many lines a message, ready to be shown.
pub async fn read_logs(service: &NodeService, request: wire::LogsRequest) -> Result<Outgoing<wire::LogBatch>, Status> {
    let collect = Text::new(request.timestamps, request.details);
    Ok(forward(open(service, &request, collect)?, BATCHES_AHEAD, |runs| vec![view::log_batch(runs)]))
}

fn open<C: Collect>(
    service: &NodeService,
    request: &wire::LogsRequest,
    collect: C,
) -> Result<mpsc::Receiver<Result<C::Batch>>, Status> {
    let containers = service.containers();
    let id = service.resolve(&request.container)?;
    let container = containers.get(id)?;
    if !is_kept(&container.spec.log) {
        return Err(Error::NoLog { name: container.name }.into());
    }
    if !request.stdout && !request.stderr {
        return Err(Status::invalid_argument("choose at least one of stdout and stderr"));
    }
    let query = Query {
        tail: request.tail,
        since: request.since.map(Timestamp),
        until: request.until.map(Timestamp),
        stdout: request.stdout,
        stderr: request.stderr,
    };
    let path = containers.log_path(id);
    Ok(match request.follow {
        true => logs::follow(path, query, collect, ended(containers, id)),
        false => logs::read(path, query, collect),
    })
}

/// Turns batches into messages.
fn forward<B: Send + 'static, T: Send + 'static>(
    mut batches: mpsc::Receiver<Result<B>>,
    ahead: usize,
    messages: impl Fn(B) -> Vec<T> + Send + 'static,
) -> Outgoing<T> {
    let (sender, receiver) = mpsc::channel(ahead);
    tokio::spawn(async move {
        while let Some(batch) = batches.recv().await {
            let messages: Vec<Result<T, Status>> = match batch {
                Ok(batch) => messages(batch).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error.into())],
            };
            for message in messages {
                if sender.send(message).await.is_err() {
                    return;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// When the container neither runs nor is about to run again.
pub fn ended(containers: &Containers, id: ContainerId) -> impl Future<Output = ()> + Send + 'static {
    let mut events = containers.subscribe();
    let containers = containers.clone();
    async move {
        while containers.get(id).is_ok_and(|container| is_up(&container)) {
            match events.recv().await {
                // Missed events don't matter: the container itself is looked at.
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}
