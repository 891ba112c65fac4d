//! A cluster that has lost its managers goes on with this node: from a backup, or from what this manager has.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use agent::session::SessionStatus;
use api::control::BackupRequest;
use api::control::control_client::ControlClient;
use api::swarm::{InitReply, InitRequest, RestoreHeader, RestoreReply, RestoreRequest, restore_request};
use manager::backup::{self, Backup};
use manager::control::{self, to_status};
use manager::raft::Leadership;
use manager::recovery::{self, Founder};
use manager::state::State;
use model::{KeptKey, NodeRole};
use tonic::{Status, Streaming};

use super::change::internal;
use super::file::Document;
use super::{Cluster, Running, address, bind};

/// Most bytes of a backup.
const LONGEST: usize = 4 << 30;
/// How long a manager of the cluster that is restored may take to show that it lives.
const CONNECT: Duration = Duration::from_secs(2);
/// How long one that leads may take to show that it makes changes.
const PROOF: Duration = Duration::from_secs(5);

/// A backup as a client sends it, read to its end before anything is done with it.
pub async fn receive(mut parts: Streaming<RestoreRequest>) -> Result<(RestoreHeader, Backup), Status> {
    use restore_request::Part;
    let Some(Part::Header(header)) = parts.message().await?.and_then(|message| message.part) else {
        return Err(Status::invalid_argument("the first message of a restore must be its header"));
    };
    let mut bytes = Vec::new();
    while let Some(RestoreRequest { part }) = parts.message().await? {
        let Some(Part::Chunk(chunk)) = part else {
            return Err(Status::invalid_argument("a restore has one header, and chunks of the backup behind it"));
        };
        if bytes.len() + chunk.len() > LONGEST {
            return Err(Status::resource_exhausted("a backup of more than 4 GiB is not read"));
        }
        bytes.extend(chunk);
    }
    let key: [u8; model::KEPT_KEY_LEN] =
        header.key.clone().try_into().map_err(|_| Status::invalid_argument("the key of a backup has 32 bytes"))?;
    let opened = tokio::task::spawn_blocking(move || backup::open(bytes.as_slice(), &KeptKey::new(key))).await;
    let opened = opened.map_err(internal)?;
    let backup = opened.map_err(|error| Status::invalid_argument(format!("the backup cannot be used: {error}")))?;
    Ok((header, backup))
}

/// Managers of a state, by address.
fn managers(state: &State) -> BTreeSet<String> {
    manager::membership::addresses(state).into_iter().collect()
}

/// The managers among them that answer, and are of the cluster.
async fn alive(state: &State) -> Result<Vec<String>, Status> {
    let ca = state.cluster.as_ref().and_then(|cluster| cluster.identity.as_ref()).map(|identity| &identity.ca);
    let Some(ca) = ca else { return Ok(Vec::new()) };
    let digest = api::identity::digest_of_pem(ca).map_err(internal)?;
    let tls = Arc::new(api::tls::stranger(digest).map_err(internal)?);
    let mut tries = tokio::task::JoinSet::new();
    for text in managers(state) {
        let Ok(address) = text.parse::<SocketAddr>() else { continue };
        let tls = tls.clone();
        tries.spawn(async move { api::remote::connect_manager(address, tls, CONNECT).await.ok().map(|_| text) });
    }
    Ok(tries.join_all().await.into_iter().flatten().collect())
}

/// Whether this machine has an address.
fn is_own(ip: IpAddr) -> bool {
    !ip.is_unspecified() && TcpListener::bind(SocketAddr::new(ip, 0)).is_ok()
}

impl Cluster {
    /// `swarm restore`.
    pub(super) async fn restore(&self, header: RestoreHeader, backup: Backup) -> Result<RestoreReply, Status> {
        let mut running = self.running.lock().await;
        self.must_be_alone()?;
        let listen = address::parse("--listen-addr", &header.listen_address)?;
        let advertised = address::advertised(listen, &header.advertise_address)?;
        self.may_discard(&running, header.discard)?;
        let alive = if header.force { Vec::new() } else { alive(&backup.state).await? };
        if !alive.is_empty() {
            return Err(Status::failed_precondition(format!(
                "managers of this cluster are alive ({}): two clusters with one identity would fight over the nodes. Make this \
                 node join with `orca swarm join`; or stop those managers for good, or give --force",
                alive.join(", ")
            )));
        }
        let listener = bind(listen).await?;
        let key = self.files.key().map_err(internal)?;
        let founder = Founder { node: self.node, public_key: key.public.clone(), address: advertised.to_string() };
        let (cluster, ca, issued) =
            recovery::certificate(&backup.state, &founder).map_err(|error| to_status(&error))?;
        recovery::prepare(&self.data_dir, &backup, &founder).await.map_err(|error| to_status(&error))?;
        let mut document = Document::new(cluster, listen, advertised);
        (document.role, document.ca, document.certificate) = (NodeRole::Manager, ca, issued.chain);
        (document.issued_at, document.expires_at) = (crate::clock::now(), issued.expires_at);
        document.managers = vec![advertised.to_string()];
        // From here on the restored state counts, even if this daemon is killed.
        self.files.save(&document).map_err(internal)?;
        self.stop_manager(&mut running).await;
        running.unlock = None;
        recovery::settle(&self.data_dir, Some(cluster)).map_err(|error| to_status(&error))?;
        self.status.send_replace(SessionStatus::default());
        self.speak(&document, &key).map_err(internal)?;
        drop(listener);
        self.be_in_office(&mut running, &document).await?;
        drop(running);
        self.settled(NodeRole::Manager).await?;
        let own = advertised.to_string();
        let removed = managers(&backup.state).into_iter().filter(|address| *address != own).collect();
        Ok(RestoreReply { node: self.node.to_string(), cluster: cluster.to_string(), address: own, removed })
    }

    async fn must_be_forsaken(&self, running: &Running) -> Result<Arc<Document>, Status> {
        let place = self.place().filter(|place| place.role == NodeRole::Manager);
        let place = place.ok_or_else(|| {
            Status::failed_precondition(
                "this node is no manager of a cluster, so it has no state to go on with: run --force-new-cluster on one that was, \
                 or `orca swarm restore` here",
            )
        })?;
        if *self.locked.borrow() {
            return Err(to_status(&manager::Error::Locked));
        }
        let Some(manager) = &running.manager else { return Ok(place) };
        if manager.store().snapshot().cluster.is_none() {
            return Err(Status::failed_precondition(
                "this manager has nothing of the cluster's state yet: use another one",
            ));
        }
        let is_alone = manager.store().raft().members().len() == 1;
        match if is_alone { None } else { self.working_leader(manager).await } {
            None => Ok(place),
            Some(leader) => Err(Status::failed_precondition(format!(
                "the cluster has a leader ({leader}), and more than half of its managers reach each other: use `orca node demote` and \
                 `orca node rm` for those that are lost"
            ))),
        }
    }

    /// Who leads, if changes can be made. The one that this manager has heard of last may be gone, or have lost the others.
    async fn working_leader(&self, manager: &manager::Manager) -> Option<String> {
        let store = manager.store();
        let leader = store.leadership().borrow().clone();
        let (leader, works) = match leader {
            Leadership::Leads { .. } => {
                let proposed = tokio::time::timeout(PROOF, store.propose(Vec::new())).await;
                ("this one".to_owned(), matches!(proposed, Ok(Ok(_))))
            }
            Leadership::Follows { leader: Some(leader) } => {
                let proved = tokio::time::timeout(PROOF, self.proves_to_lead(&leader)).await;
                (leader, proved.unwrap_or(false))
            }
            Leadership::Follows { leader: None } | Leadership::Stopped { .. } => return None,
        };
        works.then_some(leader)
    }

    /// Whether a manager makes changes: a backup begins with one, of nothing.
    async fn proves_to_lead(&self, leader: &str) -> bool {
        let (Ok(address), Some(tls)) = (leader.parse(), self.tls.borrow().clone()) else { return false };
        let Ok(channel) = api::remote::connect_manager(address, tls, CONNECT).await else { return false };
        let Ok(key) = backup::new_key() else { return false };
        ControlClient::new(channel).backup(BackupRequest { key: key.reveal().to_vec() }).await.is_ok()
    }

    /// `swarm init --force-new-cluster`.
    pub(super) async fn force_new(&self, request: InitRequest) -> Result<InitReply, Status> {
        let mut running = self.running.lock().await;
        let before = self.must_be_forsaken(&running).await?;
        let mut document = (*before).clone();
        if !request.listen_address.is_empty() {
            document.listen = address::parse("--listen-addr", &request.listen_address)?;
        }
        if !request.advertise_address.is_empty() || !is_own(document.address.ip()) {
            document.address = address::advertised(document.listen, &request.advertise_address)?;
        }
        document.managers = vec![document.address.to_string()];
        let key = self.files.key().map_err(internal)?;
        let founder =
            Founder { node: self.node, public_key: key.public.clone(), address: document.address.to_string() };
        self.stop_manager(&mut running).await;
        let refounded = recovery::refound(&self.data_dir, &founder, running.unlock.as_ref()).await;
        // Also after a failure: this node goes on as what it was.
        self.run_manager(&mut running, Some(&before)).await.map_err(internal)?;
        refounded.map_err(|error| to_status(&error))?;
        let manager = running.manager.clone().ok_or_else(|| internal("this node has no manager"))?;
        let state = manager.store().snapshot();
        // The one before may have ended while there was nobody to renew it.
        let (_, ca, issued) = recovery::certificate(&state, &founder).map_err(|error| to_status(&error))?;
        (document.ca, document.certificate) = (ca, issued.chain);
        (document.issued_at, document.expires_at) = (crate::clock::now(), issued.expires_at);
        self.files.save(&document).map_err(internal)?;
        self.speak(&document, &key).map_err(internal)?;
        self.be_in_office(&mut running, &document).await?;
        let identity = state.cluster.and_then(|cluster| cluster.identity.clone());
        let identity = identity.ok_or_else(|| internal("the cluster has no identity"))?;
        let token = control::token(&identity, NodeRole::Worker).map_err(|error| to_status(&error))?;
        let (node, address) = (self.node.to_string(), document.address.to_string());
        Ok(InitReply { node, worker_token: token.to_string(), address })
    }
}
