//! What netd holds, and how it follows new tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use model::ContainerId;
use tokio::task::JoinHandle;

use super::ports;
use super::protocol::{
    self, ContainerFailure, Handover, MeshReport, PortFailure, Relayed, Report, Reservation, Tables,
};
use super::relay::{self, Relay, Room};
use crate::Error;
use crate::dns::{self, Shared, Sockets};
use crate::mesh::{Held, Tunnel};
use crate::peers::Mesh;

/// The sockets and tables of a node.
#[derive(Debug, Default)]
pub(super) struct State {
    tables: Arc<Tables>,
    shared: Arc<Shared>,
    servers: BTreeMap<ContainerId, Server>,
    // Before the sockets that they serve on: they stop first.
    relays: BTreeMap<Reservation, Relay>,
    ports: BTreeMap<Reservation, Vec<OwnedFd>>,
    room: Room,
    mesh: Option<Tunnel>,
    /// A predecessor's end of the mesh, until it has let go of it.
    adopted: Option<(Held, Vec<OwnedFd>)>,
}

#[derive(Debug)]
struct Server {
    namespace: (u64, u64),
    /// Duplicates of the sockets, for a successor.
    sockets: [OwnedFd; 2],
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Which namespace is bound at a path: a container that starts again has another one at the same place.
fn namespace(path: &Path) -> Result<(u64, u64), Error> {
    let metadata = fs::metadata(path);
    let metadata = metadata.map_err(|source| Error::Netns { step: "open", path: path.into(), source })?;
    Ok((metadata.dev(), metadata.ino()))
}

impl State {
    /// Follows new tables: what is gone is closed, what is new is opened, and what fails is reported by itself.
    pub(super) fn set_tables(&mut self, tables: Tables) -> Report {
        let mut report = Report::default();
        self.shared.set_servers(host_servers());
        self.shared.set_tables(Arc::new(tables.dns.clone()));
        self.servers.retain(|container, _| tables.dns.askers.contains_key(container));
        for (&container, asker) in &tables.dns.askers {
            // Where nothing has changed nothing is looked at: with every container all others would be.
            let is_same = self.tables.dns.askers.get(&container).is_some_and(|known| known.netns == asker.netns);
            if is_same && self.servers.get(&container).is_some_and(|server| !server.task.is_finished()) {
                continue;
            }
            if let Err(error) = self.ensure_server(container, &asker.netns) {
                report.containers.push(ContainerFailure { container, message: error.to_string() });
            }
        }
        let wanted: BTreeSet<Reservation> = tables.ports.iter().copied().collect();
        let relayed: BTreeSet<Reservation> = tables.relayed.iter().map(|relayed| relayed.reservation).collect();
        self.relays.retain(|reservation, _| relayed.contains(reservation));
        self.ports.retain(|reservation, _| wanted.contains(reservation));
        for reservation in wanted {
            if self.ports.contains_key(&reservation) {
                continue;
            }
            match ports::reserve(reservation) {
                Ok(held) => {
                    self.ports.insert(reservation, held);
                }
                Err(error) => report.ports.push(PortFailure { reservation, message: error.to_string() }),
            }
        }
        for Relayed { reservation, backends } in &tables.relayed {
            if let Err(error) = self.ensure_relay(*reservation, backends) {
                report.ports.push(PortFailure { reservation: *reservation, message: error.to_string() });
            }
        }
        report.mesh = self.follow_mesh(tables.mesh.as_ref());
        self.tables = Arc::new(tables);
        report
    }

    /// Has the mesh carried as it should be; where there is to be one, tells how it stands.
    fn follow_mesh(&mut self, wanted: Option<&Mesh>) -> Option<MeshReport> {
        if self.adopted.is_some() {
            return None;
        }
        let Some(wanted) = wanted else {
            self.mesh = None;
            return None;
        };
        if let Some(tunnel) = self.mesh.as_ref().filter(|tunnel| tunnel.carries(wanted)) {
            tunnel.set_peers(wanted);
            return Some(MeshReport::Up(tunnel.key()));
        }
        // Another device or port is no reason for another key. Gone first: it may have the port.
        let secret = self.mesh.take().map(|tunnel| tunnel.secret());
        match Tunnel::open(wanted, secret) {
            Ok(tunnel) => {
                let key = tunnel.key();
                self.mesh = Some(tunnel);
                Some(MeshReport::Up(key))
            }
            Err(error) => Some(MeshReport::Down(error.to_string())),
        }
    }

    /// Goes on with the predecessor's end of the mesh, which has let go of it.
    pub(super) fn take_mesh(&mut self) {
        let Some((held, descriptors)) = self.adopted.take() else { return };
        let tables = Arc::clone(&self.tables);
        let Some(wanted) = &tables.mesh else { return };
        match Tunnel::adopt(wanted, &held, descriptors) {
            Ok(tunnel) => self.mesh = Some(tunnel),
            Err(error) => {
                tracing::warn!(%error, "the predecessor's end of the mesh could not be kept");
                if let Some(MeshReport::Down(reason)) = self.follow_mesh(Some(wanted)) {
                    tracing::error!(reason, "there is no mesh");
                }
            }
        }
    }

    /// Has the IPv6 socket of a reservation serve; on a host without IPv6 there is none.
    fn ensure_relay(&mut self, reservation: Reservation, backends: &[SocketAddr]) -> Result<(), Error> {
        if let Some(relay) = self.relays.get(&reservation) {
            relay.lead_to(backends.to_vec());
            return Ok(());
        }
        let sockets = self.ports.get(&reservation).map(Vec::as_slice).unwrap_or_default();
        let Some(socket) = sockets.iter().find(|socket| relay::is_ipv6(socket)) else { return Ok(()) };
        let relay = Relay::start(reservation, socket.as_fd(), backends.to_vec(), &self.room)?;
        self.relays.insert(reservation, relay);
        Ok(())
    }

    /// Leaves what is served to a successor, which holds the same sockets. Connections that are relayed already stay.
    pub(super) fn hand_over(&mut self) -> Room {
        self.relays.values_mut().for_each(Relay::hand_over);
        std::mem::take(self).room
    }

    fn ensure_server(&mut self, container: ContainerId, netns: &Path) -> Result<(), Error> {
        let namespace = namespace(netns)?;
        if self.servers.get(&container).is_some_and(|s| s.namespace == namespace && !s.task.is_finished()) {
            return Ok(());
        }
        self.servers.remove(&container);
        let sockets = Sockets::open(netns)?;
        self.start_server(container, namespace, sockets)
    }

    fn start_server(&mut self, container: ContainerId, namespace: (u64, u64), sockets: Sockets) -> Result<(), Error> {
        let duplicate =
            |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|source| Error::Socket { step: "duplicate", source });
        let held = [duplicate(sockets.udp.as_fd())?, duplicate(sockets.tcp.as_fd())?];
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            if let Err(error) = dns::serve(container, sockets, shared).await {
                tracing::warn!(%container, %error, "a container's name server ended");
            }
        });
        self.servers.insert(container, Server { namespace, sockets: held, task });
        Ok(())
    }

    /// Everything, for a successor: the list, and the descriptors in its order.
    pub(super) fn handover(&self) -> (Handover, Vec<BorrowedFd<'_>>) {
        let mut held = Vec::new();
        let mut descriptors = Vec::new();
        for (&container, server) in &self.servers {
            held.push(protocol::Held::Container { container, namespace: server.namespace });
            descriptors.extend(server.sockets.iter().map(AsFd::as_fd));
        }
        for (&reservation, sockets) in &self.ports {
            held.push(protocol::Held::Port { reservation, descriptors: sockets.len() });
            descriptors.extend(sockets.iter().map(AsFd::as_fd));
        }
        if let Some((of_mesh, more)) = self.mesh.as_ref().map(Tunnel::held) {
            let Held { secret, queues, sockets, ingress } = of_mesh;
            held.push(protocol::Held::Mesh { secret: protocol::Secret(secret), queues, sockets, ingress });
            descriptors.extend(more);
        }
        (Handover { tables: Tables::clone(&self.tables), held }, descriptors)
    }

    /// Starts from what a predecessor held.
    pub(super) fn adopt(handover: Handover, descriptors: Vec<OwnedFd>) -> Result<Self, Error> {
        let mut state = Self::default();
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next().ok_or(Error::Malformed { what: "a predecessor's descriptors" });
        for held in handover.held {
            match held {
                protocol::Held::Container { container, namespace } => {
                    let sockets = Sockets { udp: next()?.into(), tcp: next()?.into() };
                    state.start_server(container, namespace, sockets)?;
                }
                protocol::Held::Mesh { secret: protocol::Secret(secret), queues, sockets, ingress } => {
                    let count = queues.saturating_add(sockets).saturating_add(ingress);
                    let descriptors = (0..count).map(|_| next()).collect::<Result<_, _>>()?;
                    state.adopted = Some((Held { secret, queues, sockets, ingress }, descriptors));
                }
                protocol::Held::Port { reservation, descriptors } => {
                    let sockets = (0..descriptors).map(|_| next()).collect::<Result<_, _>>()?;
                    state.ports.insert(reservation, sockets);
                }
            }
        }
        let report = state.set_tables(handover.tables);
        if report != Report::default() {
            tracing::warn!(?report, "not everything of the predecessor's could be kept");
        }
        Ok(state)
    }
}

/// The host's own name servers, read anew with every change so that a laptop may move between networks.
fn host_servers() -> Vec<std::net::SocketAddr> {
    fs::read_to_string("/etc/resolv.conf").map(|text| dns::parse_resolv_conf(&text)).unwrap_or_default()
}
