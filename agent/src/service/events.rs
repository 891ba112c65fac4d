//! `events`.

use std::sync::Arc;
use std::time::Duration;

use api::node as wire;
use model::Timestamp;
use tokio::sync::{broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{NodeService, Outgoing};
use crate::clock;
use crate::events::Happening;
use crate::events::filter::Filters;

/// Messages that wait for a slow client; beyond the events' own backlog it is told that it missed some.
const AHEAD: usize = 64;

pub async fn events(service: &NodeService, request: wire::EventsRequest) -> Result<Outgoing<wire::Event>, Status> {
    let wire::EventsRequest { since, until, filters } = request;
    let filters = Filters::new(filters.into_iter().map(|(key, values)| (key, values.values)).collect())?;
    let (past, present) = service.containers().events().follow(since.map(Timestamp));
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(async move {
        let until = until.map(Timestamp);
        let served = serve(past, present, until, &filters, &sender);
        let ended = match until {
            Some(until) => tokio::time::timeout(time_until(until), served).await.unwrap_or(Ok(())),
            None => served.await,
        };
        if let Err(status) = ended {
            // The client may have gone.
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// The past takes no time; what has passed already leaves a moment for it.
fn time_until(until: Timestamp) -> Duration {
    until.since(clock::wall()).max(Duration::from_millis(200))
}

async fn serve(
    past: Vec<Arc<Happening>>,
    mut present: broadcast::Receiver<Arc<Happening>>,
    until: Option<Timestamp>,
    filters: &Filters,
    sender: &mpsc::Sender<Result<wire::Event, Status>>,
) -> Result<(), Status> {
    let wanted = |event: &Happening| until.is_none_or(|until| event.at <= until) && filters.fit(event);
    for event in past.iter().filter(|event| wanted(event)) {
        if sender.send(Ok(message(event))).await.is_err() {
            return Ok(());
        }
    }
    if until.is_some_and(|until| until <= clock::wall()) {
        return Ok(());
    }
    loop {
        let event = tokio::select! {
            event = present.recv() => event,
            () = sender.closed() => return Ok(()),
        };
        match event {
            Ok(event) if wanted(&event) => {
                if sender.send(Ok(message(&event))).await.is_err() {
                    return Ok(());
                }
            }
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                let text =
                    format!("this client reads too slowly and has missed {missed} events; ask for them with --since");
                return Err(Status::data_loss(text));
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        }
    }
}

fn message(event: &Happening) -> wire::Event {
    let Happening { at, kind, action, id, attributes } = event;
    wire::Event {
        at: at.0,
        r#type: kind.word().into(),
        action: action.clone(),
        id: id.clone(),
        attributes: attributes.clone().into_iter().collect(),
    }
}
