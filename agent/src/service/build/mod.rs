//! `build`: a Dockerfile carried out.
//!
//! The client sends the Dockerfile and then only answers what it is asked for: the names of its files, digests of those that
//! a COPY takes, contents of those whose step is not in the cache, images that it must pull. Stages are made beside each other,
//! each as soon as what it begins with is there. A RUN is a container like any other, which no list shows.
//!
//! [`builder`] the whole · [`client`] what is asked of the client · [`stage`] one stage · [`state`] what a stage has come to ·
//! [`copy`], [`run`], [`mounts`] its steps · [`export`] where the result goes · [`cache`] what was kept

mod builder;
mod cache;
mod client;
mod copy;
mod export;
mod failure;
mod mounts;
mod run;
mod sources;
mod stage;
mod state;

pub use cache::{list_build_cache, prune_build_cache};

use api::image as wire;
use image::Reference;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::images::{ImagesService, Outgoing};
use crate::Error;
use crate::containers::{BUILD_LABEL, Containers};
use builder::Builder;
use client::Client;

/// Messages that wait for a slow client.
const AHEAD: usize = 64;

pub async fn build(
    service: &ImagesService,
    mut inputs: Streaming<wire::BuildInput>,
) -> Result<Outgoing<wire::BuildOutput>, Status> {
    use wire::build_input::Input;
    let Some(Input::Start(start)) = inputs.message().await?.and_then(|message| message.input) else {
        return Err(Status::invalid_argument("the first message of a build must be its start"));
    };
    let names = start.tags.iter().map(|tag| tag.parse::<Reference>()).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(Error::from)?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    let client = Client::new(inputs, sender.clone());
    let builder = Builder::new(service.containers().clone(), client, start)?;
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = builder.run(names) => outcome,
            // Whatever was being made ends with what is dropped here.
            () = sender.closed() => return,
        };
        if let Err(failure) = outcome {
            let _ = sender.send(Err(failure.into())).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Removes the containers of builds that an earlier daemon has not finished.
pub async fn clean_up(containers: Containers) {
    for container in containers.list().into_iter().filter(|container| container.labels.contains_key(BUILD_LABEL)) {
        if let Err(error) = containers.remove(container.id, true, true).await {
            tracing::warn!(container = %container.id.short(), %error, "the container of a build that was cut off stays");
        }
    }
}
