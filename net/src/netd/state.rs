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
use super::protocol::{ContainerFailure, Handover, Held, PortFailure, Relayed, Report, Reservation, Tables};
use super::relay::{self, Relay, Room};
use crate::Error;
use crate::dns::{self, Shared, Sockets};

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
        self.tables = Arc::new(tables);
        report
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
            held.push(Held::Container { container, namespace: server.namespace });
            descriptors.extend(server.sockets.iter().map(AsFd::as_fd));
        }
        for (&reservation, sockets) in &self.ports {
            held.push(Held::Port { reservation, descriptors: sockets.len() });
            descriptors.extend(sockets.iter().map(AsFd::as_fd));
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
                Held::Container { container, namespace } => {
                    let sockets = Sockets { udp: next()?.into(), tcp: next()?.into() };
                    state.start_server(container, namespace, sockets)?;
                }
                Held::Port { reservation, descriptors } => {
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
