//! Lone node, worker, manager, and back. Each change is on disk before anything acts on it, so that a daemon that is killed between
//! two steps goes on from there.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use agent::session::SessionStatus;
use api::swarm::{InitReply, InitRequest, JoinReply, JoinRequest, LeaveRequest};
use manager::control;
use manager::state::OpenCluster;
use model::{AddressPool, Availability, ClusterSpec, JoinToken, KeptKey, ManagerMember, NodeRole};
use tonic::{Code, Status};

use super::file::Document;
use super::{Cluster, Running, address, bind, join};

/// How long a node that has joined may take to have its first session, and a manager to be one of the group.
const SETTLE: Duration = Duration::from_secs(30);

pub(super) fn internal(error: impl std::fmt::Display) -> Status {
    Status::internal(error.to_string())
}

fn availability(number: i32) -> Result<Availability, Status> {
    let availability = api::types::Availability::try_from(number);
    availability.map(Into::into).map_err(|_| Status::invalid_argument(format!("there is no availability {number}")))
}

/// Docker's range; 0 is the usual one.
fn data_path_port(number: u32) -> Result<u16, Status> {
    if number == 0 {
        return Ok(model::MESH_PORT);
    }
    let port = u16::try_from(number).ok().filter(|port| (1024..=49_151).contains(port));
    port.ok_or_else(|| {
        Status::invalid_argument(format!("invalid value {number} for --data-path-port: expected 1024 to 49151"))
    })
}

impl Cluster {
    pub(super) fn must_be_alone(&self) -> Result<(), Status> {
        match self.place() {
            None => Ok(()),
            Some(_) => Err(Status::failed_precondition(
                "this node is already part of a cluster: use `orca swarm leave` to leave it first",
            )),
        }
    }

    /// `swarm init`.
    pub(super) async fn init(&self, request: InitRequest) -> Result<InitReply, Status> {
        if request.force_new_cluster {
            return self.force_new(request).await;
        }
        let mut running = self.running.lock().await;
        self.must_be_alone()?;
        let manager = running.manager.clone().ok_or_else(|| internal("this node has no manager"))?;
        let listen = address::parse("--listen-addr", &request.listen_address)?;
        let advertised = address::advertised(listen, &request.advertise_address)?;
        let spec = request.spec.map(ClusterSpec::try_from).transpose()?.unwrap_or_default();
        control::check(&spec)?;
        let pools: Result<Vec<AddressPool>, api::Error> =
            request.address_pools.into_iter().map(AddressPool::try_from).collect();
        let data_path = address::data_path(&request.data_path_address)?;
        let data_path_port = data_path_port(request.data_path_port)?;
        let listener = bind(listen).await?;
        let key = self.files.key().map_err(internal)?;
        let (identity, issued) = manager.prepare(spec, &key.public).map_err(|error| control::to_status(&error))?;
        let mut document = Document::new(manager.store().cluster(), listen, advertised);
        (document.role, document.ca, document.certificate) = (NodeRole::Manager, identity.ca.clone(), issued.chain);
        (document.issued_at, document.expires_at) = (crate::clock::now(), issued.expires_at);
        (document.managers, document.data_path) = (vec![advertised.to_string()], data_path);
        self.files.save(&document).map_err(internal)?;
        self.speak(&document, &key).map_err(internal)?;
        let token = control::token(&identity, NodeRole::Worker).map_err(|error| control::to_status(&error))?;
        let open = OpenCluster {
            identity,
            spec,
            address_pools: pools?,
            node: self.node,
            key: issued.key,
            manager: ManagerMember { raft: manager.store().raft().id(), address: advertised.to_string() },
            address: advertised.ip().to_string(),
            availability: availability(request.availability)?,
            data_path_port,
        };
        if let Err(error) = manager.open(open).await {
            self.files.forget().map_err(internal)?;
            self.forget_place();
            return Err(control::to_status(&error));
        }
        self.listen(&mut running, listener, &document, &key).map_err(internal)?;
        let (node, address) = (self.node.to_string(), advertised.to_string());
        Ok(InitReply { node, worker_token: token.to_string(), address })
    }

    /// The projects that only this node knows of.
    fn own_projects(&self, running: &Running) -> BTreeSet<String> {
        let Some(manager) = &running.manager else { return BTreeSet::new() };
        let state = manager.store().snapshot();
        let project = |service: &model::Service| {
            service.spec.stack.as_ref().map_or_else(|| service.spec.name.clone(), |member| member.stack.clone())
        };
        state.services.values().map(project).collect()
    }

    /// Refuses to throw away what only this node knows of, unless that is wanted.
    pub(super) fn may_discard(&self, running: &Running, discard: bool) -> Result<(), Status> {
        let projects = self.own_projects(running);
        if projects.is_empty() || discard {
            return Ok(());
        }
        let list = projects.into_iter().collect::<Vec<_>>().join(", ");
        Err(Status::failed_precondition(format!(
            "this node has projects of its own, which the cluster does not know: {list}. Take them down first, or give \
             --discard to have their containers and networks removed (volumes stay)"
        )))
    }

    /// `swarm join`.
    pub(super) async fn join(&self, request: JoinRequest) -> Result<JoinReply, Status> {
        let mut running = self.running.lock().await;
        self.must_be_alone()?;
        let token: JoinToken = request.token.parse().map_err(|error: model::TokenError| {
            Status::invalid_argument(format!("the join token cannot be used: {error}"))
        })?;
        let managers: Result<Vec<SocketAddr>, Status> =
            request.managers.iter().map(|manager| address::parse("the manager's address", manager)).collect();
        let managers = managers?;
        let listen = address::parse("--listen-addr", &request.listen_address)?;
        let advertised = match address::advertised(listen, &request.advertise_address) {
            Ok(advertised) => advertised,
            // A worker that knows no way out is reached by none, and needs not be.
            Err(error) if !request.advertise_address.is_empty() => return Err(error),
            Err(_) => source_towards(&managers, listen.port()).ok_or_else(|| {
                Status::failed_precondition("could not choose an address to advertise: give one with --advertise-addr")
            })?,
        };
        self.may_discard(&running, request.discard)?;
        let listener = bind(listen).await?;
        let key = self.files.key().map_err(internal)?;
        let cluster = running.manager.as_ref().map(|manager| manager.store().cluster());
        let document = Document::new(cluster.ok_or_else(|| internal("no manager"))?, listen, advertised);
        let mut document = document;
        document.data_path = address::data_path(&request.data_path_address)?;
        let wanted = (document, availability(request.availability)?);
        let document = join::by_token(self.node, &token, &managers, &key, wanted).await?;
        self.files.save(&document).map_err(internal)?;
        self.dismiss(&mut running).await.map_err(internal)?;
        self.status.send_replace(SessionStatus::default());
        self.speak(&document, &key).map_err(internal)?;
        if document.role == NodeRole::Manager {
            // The port was free before anything was changed.
            drop(listener);
            self.be_in_office(&mut running, &document).await?;
        } else {
            self.listen(&mut running, listener, &document, &key).map_err(internal)?;
        }
        drop(running);
        self.settled(document.role).await?;
        let role = api::types::NodeRole::from(document.role).into();
        Ok(JoinReply { node: self.node.to_string(), role })
    }

    /// Runs what a manager runs, as far as it does not yet.
    pub(super) async fn be_in_office(&self, running: &mut Running, document: &Document) -> Result<(), Status> {
        if *self.locked.borrow() {
            return Ok(());
        }
        if running.manager.is_none() {
            self.run_manager(running, Some(document)).await.map_err(internal)?;
        }
        self.answer_nodes(running, document).await
    }

    /// Opens the port for other nodes, as far as it is not.
    async fn answer_nodes(&self, running: &mut Running, document: &Document) -> Result<(), Status> {
        if running.listener.is_none() {
            let key = self.files.key().map_err(internal)?;
            let listener = bind(document.listen).await?;
            self.listen(running, listener, document, &key).map_err(internal)?;
        }
        Ok(())
    }

    /// Has a worker answer other nodes, which fetch images from it. Nothing else of it depends on that.
    pub(super) async fn be_reachable(&self, document: &Document) {
        let mut running = self.running.lock().await;
        // The place may be another one by now.
        if self.place().is_none_or(|place| *place != *document) {
            return;
        }
        if let Err(error) = self.answer_nodes(&mut running, document).await {
            tracing::warn!(reason = error.message(), "other nodes cannot fetch images from this one; trying again");
        }
    }

    /// `swarm unlock`.
    pub(super) async fn unlock(&self, key: &str) -> Result<(), Status> {
        let key: KeptKey = key.parse().map_err(|error: model::KeptKeyError| {
            Status::invalid_argument(format!("the unlock key cannot be used: {error}"))
        })?;
        let mut running = self.running.lock().await;
        let document = self.place().filter(|_| *self.locked.borrow());
        let document = document.ok_or_else(|| Status::failed_precondition("swarm is not locked"))?;
        let manager = self.start_manager(Some(key), Some(&document)).await;
        self.office(&mut running, manager.map_err(|error| control::to_status(&error))?);
        self.be_in_office(&mut running, &document).await
    }

    /// Waits until the node is what it has become.
    pub(super) async fn settled(&self, role: NodeRole) -> Result<(), Status> {
        let mut status = self.status.subscribe();
        let has_view = status.wait_for(|status| status.view.is_some());
        let waited = tokio::time::timeout(SETTLE, has_view).await.is_ok();
        if waited {
            return Ok(());
        }
        let reason = self.status.borrow().error.clone().unwrap_or_else(|| "no manager has answered".into());
        Err(Status::new(
            Code::DeadlineExceeded,
            format!(
                "this node has joined as a {role}, but has no session with a manager yet ({reason}); it goes on trying"
            ),
        ))
    }

    /// `swarm leave`.
    pub(super) async fn leave(&self, request: LeaveRequest) -> Result<(), Status> {
        let mut running = self.running.lock().await;
        let document = self.place().ok_or_else(|| Status::failed_precondition("this node is not part of a cluster"))?;
        if document.role == NodeRole::Manager && !request.force {
            return Err(Status::failed_precondition(
                "this node is a manager: leaving takes its vote away, and the last manager takes the cluster's state with it. \
                 Demote it first with `orca node demote`, or give --force",
            ));
        }
        if let Err(error) = self.depart(&document).await {
            if !request.force && error.code() == Code::Unavailable {
                return Err(Status::unavailable(format!(
                    "no manager could be told ({}); give --force to leave all the same",
                    error.message()
                )));
            }
            tracing::warn!(reason = error.message(), "the managers do not know that this node leaves");
        }
        self.files.forget().map_err(internal)?;
        self.become_alone(&mut running).await
    }

    async fn become_alone(&self, running: &mut Running) -> Result<(), Status> {
        self.dismiss(running).await.map_err(internal)?;
        self.status.send_replace(SessionStatus::default());
        self.run_manager(running, None).await.map_err(internal)?;
        self.forget_place();
        Ok(())
    }

    /// Uses another certificate, and becomes what it says.
    pub(super) async fn replace(&self, document: Document) -> Result<(), Status> {
        let mut running = self.running.lock().await;
        let Some(before) = self.place() else { return Ok(()) };
        let key = self.files.key().map_err(internal)?;
        self.files.save(&document).map_err(internal)?;
        if before.role == NodeRole::Manager && document.role == NodeRole::Worker {
            self.dismiss(&mut running).await.map_err(internal)?;
        }
        self.speak(&document, &key).map_err(internal)?;
        if before.role == NodeRole::Worker && document.role == NodeRole::Manager {
            self.be_in_office(&mut running, &document).await?;
        }
        if let Some(listener) = &running.listener {
            let identity = document.identity(&key);
            let config = identity.server(api::tls::Clients::All).map_err(internal)?;
            listener.config.send_replace(std::sync::Arc::new(config));
        }
        Ok(())
    }
}

/// The address that this machine has on the way to a manager.
fn source_towards(managers: &[SocketAddr], port: u16) -> Option<SocketAddr> {
    managers.iter().find_map(|manager| {
        let own: SocketAddr = if manager.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().ok()?;
        let socket = std::net::UdpSocket::bind(own).ok()?;
        socket.connect(manager).ok()?;
        socket.local_addr().ok().map(|address| SocketAddr::new(address.ip(), port))
    })
}
