//! `logs`.

use api::node as wire;
use model::{ContainerId, LogDriver, Timestamp};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::containers::is_up;
use super::{NodeService, Outgoing, view};
use crate::containers::Containers;
use crate::logs::{self, Query, Record};
use crate::{Error, Result};

/// Messages that wait for a slow client.
const AHEAD: usize = 256;

pub async fn logs(service: &NodeService, request: wire::LogsRequest) -> Result<Outgoing<wire::LogRecord>, Status> {
    let containers = service.containers();
    let id = service.resolve(&request.container)?;
    let container = containers.get(id)?;
    if container.spec.log.driver == LogDriver::None {
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
    let batches =
        if request.follow { logs::follow(path, query, ended(containers, id)) } else { logs::read(path, query) };
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(forward(batches, sender));
    Ok(ReceiverStream::new(receiver))
}

async fn forward(
    mut batches: mpsc::Receiver<Result<Vec<Record>>>,
    sender: mpsc::Sender<Result<wire::LogRecord, Status>>,
) {
    while let Some(batch) = batches.recv().await {
        let messages: Vec<Result<wire::LogRecord, Status>> = match batch {
            Ok(records) => records.into_iter().map(|record| Ok(view::log_record(record))).collect(),
            Err(error) => vec![Err(error.into())],
        };
        for message in messages {
            if sender.send(message).await.is_err() {
                return;
            }
        }
    }
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
