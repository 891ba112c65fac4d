//! What happens on all nodes of a cluster, in one stream.

use std::collections::BTreeSet;
use std::time::Duration;

use api::control::GetClusterRequest;
use api::node::{Event, EventsRequest};
use api::swarm::GetSwarmRequest;
use tokio::sync::mpsc;

use crate::client::Client;
use crate::clock;
use crate::error::{Error, Result};

/// Events that wait to be printed.
const AHEAD: usize = 64;
/// How often it is looked for nodes that are new, or there again.
const LOOK: Duration = Duration::from_secs(1);
/// The attribute with the name of an event's node.
const NODE: &str = "node";

/// What comes of the nodes.
pub enum Item {
    /// Something has happened.
    Event(Event),
    /// Events of a node are missing, and why.
    Missing(String, Error),
}

/// A node, as events name it.
#[derive(Clone)]
struct Source {
    name: String,
    client: Client,
}

/// The events of all nodes, or of those in the filter `node`; `None`: this node is not a manager of a cluster.
pub async fn follow(client: &Client, mut request: EventsRequest) -> Result<Option<mpsc::Receiver<Item>>> {
    let wanted = request.filters.get(NODE).map(|nodes| nodes.values.clone());
    let mut known = BTreeSet::new();
    let Some(first) = sources(client, wanted.as_deref(), &mut known).await else { return Ok(None) };
    if let (true, Some(wanted)) = (first.is_empty(), &wanted) {
        return Err(Error::NotFound { kind: "node", name: wanted.join(", ") });
    }
    request.filters.remove(NODE);
    let (sender, items) = mpsc::channel(AHEAD);
    let client = client.clone();
    tokio::spawn(async move {
        let mut new = first;
        loop {
            for source in new {
                tokio::spawn(source.follow(request.clone(), sender.clone()));
            }
            let is_over = || request.until.is_some_and(|until| until <= clock::now().0);
            if is_over() {
                return;
            }
            tokio::time::sleep(LOOK).await;
            if is_over() || sender.is_closed() {
                return;
            }
            new = sources(&client, wanted.as_deref(), &mut known).await.unwrap_or_default();
        }
    });
    Ok(Some(items))
}

/// The nodes that are not known yet; `None` if no cluster can be asked.
async fn sources(client: &Client, wanted: Option<&[String]>, known: &mut BTreeSet<String>) -> Option<Vec<Source>> {
    let mut asked = client.clone();
    let reply = asked.control.get_cluster(GetClusterRequest {}).await.ok()?.into_inner();
    reply.cluster.and_then(|cluster| cluster.identity)?;
    let own = asked.swarm.get_swarm(GetSwarmRequest {}).await.ok()?.into_inner().node;
    let mut sources = Vec::new();
    for node in reply.nodes {
        let name = node.description.map(|description| description.hostname).unwrap_or_default();
        let is_wanted = wanted.is_none_or(|wanted| wanted.iter().any(|wanted| *wanted == name || node.id == *wanted));
        if is_wanted && known.insert(node.id.clone()) {
            let client = if node.id == own { client.clone() } else { client.at(&node.id).ok()? };
            sources.push(Source { name, client });
        }
    }
    Some(sources)
}

impl Source {
    /// Until nobody reads any more; a node that is gone is asked again until it is back, for what has happened meanwhile too.
    async fn follow(mut self, mut request: EventsRequest, sender: mpsc::Sender<Item>) {
        let begin = clock::now().0;
        let mut is_told = false;
        loop {
            let ended = self.read(&mut request, &sender, &mut is_told).await;
            let is_over = request.until.is_some_and(|until| until <= clock::now().0);
            let Err(error) = ended else { return };
            if !std::mem::replace(&mut is_told, true) {
                let told = sender.send(Item::Missing(self.name.clone(), error)).await;
                if told.is_err() {
                    return;
                }
            }
            if is_over || sender.is_closed() {
                return;
            }
            request.since.get_or_insert(begin);
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn read(
        &mut self,
        request: &mut EventsRequest,
        sender: &mpsc::Sender<Item>,
        is_told: &mut bool,
    ) -> Result<()> {
        let mut events = self.client.node.events(request.clone()).await?.into_inner();
        *is_told = false;
        while let Some(mut event) = events.message().await? {
            request.since = Some(event.at.saturating_add(1));
            event.attributes.insert(NODE.to_owned(), self.name.clone());
            if sender.send(Item::Event(event)).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}
