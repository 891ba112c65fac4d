//! The node's network: what it should be ([`plan`]), and the one loop that makes it so.
//!
//! Every change asks for one more application of the whole; while one runs, all further changes become the next.

mod apply;
pub mod ipam;
mod mesh;
mod own;
pub mod plan;
mod ports;
pub mod served;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::shim::IdMap;
use model::{
    Assignments, Attachment, AttachmentSpec, ContainerId, IpSubnet, Link, LocalNetwork, MacAddress, MeshEnd,
    NetworkAssignment, NetworkId, NetworkMode, NodeId, PortSpec,
};
use net::netlink::{netns, userns};
use net::plan::{Family, NetworkPlan, NodeKey};
use tokio::sync::watch;

use crate::containers::Record;
use crate::locks::Locks;
use crate::paths::Paths;
use crate::{Error, Programs, Result, addresses};

pub use apply::Applied;
pub use own::{CreateNetwork, NetworkView};
use plan::{Active, Inputs, On, interfaces, ports_clash};
use served::Served;

/// Name of the node's own network, as in Docker.
pub const BRIDGE: &str = "bridge";

/// The node's network.
pub struct Networks {
    node: NodeId,
    key: NodeKey,
    bridge: NetworkAssignment,
    paths: Paths,
    programs: Arc<dyn Programs>,
    kernel: Arc<net::Network>,
    state: Mutex<State>,
    /// Held while a container's namespace is made or removed.
    locks: Locks<ContainerId, tokio::sync::Mutex<()>>,
    wanted: watch::Sender<u64>,
    applied: watch::Sender<Applied>,
    netd: tokio::sync::Mutex<Option<net::netd::Client>>,
    /// Every container of an earlier daemon has been taken over: before that, the plan lacks those that have not.
    settled: AtomicBool,
    /// How forwarded packets fare in other programs' packet filters.
    passage: Mutex<net::nft::Passage>,
    /// Held while a network's subnet is chosen.
    creating: Mutex<()>,
    /// Held while the plan is brought into the kernel, or everything taken out of it.
    applying: tokio::sync::Mutex<()>,
    /// Taken down for good: what still changes is not applied any more.
    down: AtomicBool,
    /// Where other nodes reach this one; `None` while it is alone.
    reached: Mutex<Option<IpAddr>>,
    /// This node's end of the mesh, while it works.
    mesh: watch::Sender<Option<MeshEnd>>,
    /// Why there is none, though there should be.
    mesh_failure: Mutex<Option<String>>,
}

#[derive(Default)]
struct State {
    assigned: Arc<Assignments>,
    /// Networks that the node keeps.
    own: Arc<BTreeMap<NetworkId, LocalNetwork>>,
    active: BTreeMap<ContainerId, Active>,
    /// Namespaces of others that containers share, as of their next or present run.
    shared: BTreeMap<ContainerId, Partner>,
}

/// The user namespace that a network namespace belongs to, where it is not the host's.
#[derive(Debug)]
pub enum NetworkOwner {
    /// One of its own, with these ids.
    New(IdMap),
    /// The one of this file.
    Of(PathBuf),
}

/// A container whose network namespace another one shares, and with it its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partner {
    /// Where its namespace is bound.
    pub netns: PathBuf,
    /// The directory with its `hosts`, `hostname` and `resolv.conf`.
    pub files: PathBuf,
}

impl Networks {
    /// The network of a node; `assigned` is what an earlier daemon knew, `own` the networks that it kept.
    pub fn new(
        node: NodeId,
        paths: Paths,
        programs: Arc<dyn Programs>,
        bridge_subnet: IpSubnet,
        assigned: Assignments,
        own: BTreeMap<NetworkId, LocalNetwork>,
    ) -> Arc<Self> {
        let key = NodeKey::of(node);
        let bridge = NetworkAssignment {
            id: predefined_id(BRIDGE, node),
            name: BRIDGE.into(),
            subnets: vec![bridge_subnet],
            blocks: vec![bridge_subnet],
            internal: false,
            attachable: true,
            fixed: Vec::new(),
            driver: String::new(),
            options: BTreeMap::new(),
            gateways: Vec::new(),
            reserved: Vec::new(),
            foreign: BTreeMap::new(),
        };
        Arc::new(Self {
            node,
            kernel: Arc::new(net::Network::new(key.clone())),
            key,
            bridge,
            paths,
            programs,
            state: Mutex::new(State { assigned: Arc::new(assigned), own: Arc::new(own), ..State::default() }),
            locks: Locks::default(),
            wanted: watch::Sender::new(0),
            applied: watch::Sender::new(Applied::default()),
            netd: tokio::sync::Mutex::default(),
            settled: AtomicBool::new(false),
            passage: Mutex::default(),
            creating: Mutex::default(),
            applying: tokio::sync::Mutex::default(),
            down: AtomicBool::new(false),
            reached: Mutex::default(),
            mesh: watch::Sender::new(None),
            mesh_failure: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the managers have sent last.
    pub fn assigned(&self) -> Arc<Assignments> {
        self.state().assigned.clone()
    }

    /// Takes new assignments; names and rules follow.
    pub fn assign(&self, assigned: Arc<Assignments>) {
        self.state().assigned = assigned;
        self.want();
    }

    /// The network of this name or id, as containers of this node may join it. Where the managers and the node have one of
    /// the same name, tasks mean the managers'.
    pub fn named(&self, name: &str, standalone: bool) -> Option<Served> {
        if name == BRIDGE || name == "default" {
            return Some(Served::from(&self.bridge));
        }
        let state = self.state();
        let is = |id: NetworkId, other: &str| other == name || id.to_string() == name;
        let own = || state.own.values().find(|network| is(network.id, &network.name)).map(Served::from);
        let assigned =
            || state.assigned.networks.values().find(|network| is(network.id, &network.name)).map(Served::from);
        if standalone { own().or_else(assigned) } else { assigned().or_else(own) }
    }

    /// A network by its id.
    pub fn served(&self, id: NetworkId) -> Option<Served> {
        if id == self.bridge.id {
            return Some(Served::from(&self.bridge));
        }
        let state = self.state();
        let own = state.own.get(&id).map(Served::from);
        own.or_else(|| state.assigned.networks.get(&id).map(Served::from))
    }

    /// A network's facts.
    pub fn describe(&self, id: NetworkId) -> Option<NetworkPlan> {
        self.served(id).and_then(|network| network.plan())
    }

    /// The networks that a container asks for; nothing asked for means the node's own.
    pub fn resolve(&self, mode: &NetworkMode, standalone: bool) -> Result<Vec<(AttachmentSpec, Served)>> {
        let NetworkMode::Networks(specs) = mode else { return Ok(Vec::new()) };
        let own = [AttachmentSpec { network: BRIDGE.into(), ..AttachmentSpec::default() }];
        let specs = if specs.is_empty() { &own[..] } else { specs };
        let find = |spec: &AttachmentSpec| {
            let network = self
                .named(&spec.network, standalone || spec.local)
                .ok_or_else(|| Error::NoSuchNetwork(spec.network.clone()))?;
            if standalone && !network.attachable {
                return Err(Error::NotAttachable(spec.network.clone()));
            }
            Ok((spec.clone(), network))
        };
        specs.iter().map(find).collect()
    }

    /// The same networks by their names, also where ids or nothing was given, each once.
    pub fn canonical(&self, mode: &NetworkMode) -> Result<NetworkMode> {
        let NetworkMode::Networks(_) = mode else { return Ok(mode.clone()) };
        let mut specs: Vec<AttachmentSpec> = Vec::new();
        for (spec, network) in self.resolve(mode, true)? {
            if specs.iter().any(|other| other.network == network.name) {
                return Err(Error::Network { name: network.name, reason: "it is named twice".into() });
            }
            specs.push(AttachmentSpec { network: network.name, ..spec });
        }
        Ok(NetworkMode::Networks(specs))
    }

    /// Addresses for a container; `held` are the other containers' by network. What it has already it keeps.
    pub fn addresses(&self, record: &Record, held: &BTreeMap<NetworkId, BTreeSet<IpAddr>>) -> Result<Vec<Attachment>> {
        // A one-off container belongs to its project though it is no task.
        let networks = self.resolve(&record.network, record.task.is_none() && !record.is_one_off())?;
        networks.iter().map(|(spec, network)| self.address(record, spec, network, held)).collect()
    }

    fn address(
        &self,
        record: &Record,
        spec: &AttachmentSpec,
        network: &Served,
        held: &BTreeMap<NetworkId, BTreeSet<IpAddr>>,
    ) -> Result<Attachment> {
        let fail = |reason: String| Error::NoAddress { network: network.name.clone(), reason };
        if spec.mac_address.is_some() && matches!(network.link.link, Link::Ipvlan { .. }) {
            return Err(fail(
                "devices of an ipvlan network have the link address of their parent: leave the other out".into(),
            ));
        }
        let mut used = held.get(&network.id).cloned().unwrap_or_default();
        used.extend(network.reserved.iter().copied());
        let assigned = self.assigned();
        let services = assigned.endpoints.values().flat_map(|endpoint| &endpoint.networks);
        used.extend(services.filter(|on| on.network == network.id).flat_map(|on| on.vips.iter().copied()));
        let kept = record.attachments.iter().find(|attachment| attachment.network == network.id);
        let kept = kept.map(|attachment| attachment.addresses.as_slice()).unwrap_or_default();
        let mut addresses = Vec::new();
        for family in Family::ALL {
            let fixed = match family {
                Family::V4 => spec.ipv4_address,
                Family::V6 => spec.ipv6_address,
            };
            match (network.side(family), fixed) {
                (Some((subnet, blocks)), fixed) => {
                    let kept = kept.iter().copied().find(|address| Family::of(*address) == family);
                    let mut used = used.clone();
                    used.extend(network.fixed.iter().filter(|_| fixed.is_none()));
                    let chosen = choose(subnet, &blocks, &used, fixed, kept);
                    addresses.push(chosen.map_err(|error| fail(error.to_string()))?);
                }
                (None, Some(address)) => {
                    return Err(fail(format!("it has no subnet of the family of the fixed address {address}")));
                }
                (None, None) => {}
            }
        }
        if addresses.is_empty() {
            return Err(fail("it has no subnet".into()));
        }
        Ok(Attachment { network: network.id, addresses })
    }

    /// Published ports of a container, each with the port that was chosen.
    pub fn published(&self, record: &Record) -> Vec<PortSpec> {
        match record.task {
            None => record.ports.clone(),
            Some(owner) => {
                let assigned = self.assigned();
                assigned.endpoints.get(&owner.service).map(|endpoint| endpoint.ports.clone()).unwrap_or_default()
            }
        }
    }

    /// Gives ports that name no address the one that the container's first network says. Networks that do not come by the
    /// host publish none.
    pub fn bind_ports(&self, network: &NetworkMode, ports: &mut [PortSpec]) -> Result<()> {
        let networks = self.resolve(network, true)?;
        let is_elsewhere = |(_, network): &(_, Served)| network.link.link.parent().is_some();
        if let Some((_, first)) = networks.first().filter(|_| !ports.is_empty() && networks.iter().all(is_elsewhere)) {
            let reason =
                "its containers have addresses of the network that its parent device is in, and are reached there: \
                          leave --publish out"
                    .into();
            return Err(Error::Network { name: first.name.clone(), reason });
        }
        let Some(address) = networks.first().and_then(|(_, network)| network.link.host_binding) else { return Ok(()) };
        ports.iter_mut().for_each(|port| port.host_ip = port.host_ip.or(Some(address)));
        Ok(())
    }

    /// The first of these networks, if packets of no one of them come by the host. One that is still to come does.
    pub fn all_elsewhere(&self, network: &NetworkMode) -> Option<String> {
        let attachments = network.attachments();
        let is_elsewhere = |on: &AttachmentSpec| {
            let served = self.find(&on.network).ok().and_then(|view| self.served(view.network.id));
            served.is_some_and(|served| served.link.link.parent().is_some())
        };
        let first = attachments.first().filter(|_| attachments.iter().all(is_elsewhere))?;
        Some(first.network.clone())
    }

    /// The lock of a container's namespace: whoever holds it makes or removes it.
    pub fn lock(&self, id: ContainerId) -> Arc<tokio::sync::Mutex<()>> {
        self.locks.of(id)
    }

    /// Forgets a container that is gone.
    pub fn forget(&self, id: ContainerId) {
        self.state().shared.remove(&id);
    }

    /// Says whose namespace a container's next run shares.
    pub fn share(&self, id: ContainerId, partner: Partner) {
        self.state().shared.insert(id, partner);
    }

    /// Whose namespace a container shares.
    pub fn partner(&self, id: ContainerId) -> Option<Partner> {
        self.state().shared.get(&id).cloned()
    }

    /// Makes a run's namespace, and with `owner` the user namespace that it belongs to.
    ///
    /// # Errors
    /// [`Error::PortAllocated`] naming the holder, or what the kernel refused; nothing stays then.
    pub async fn open(&self, record: &Record, generation: u64, owner: Option<NetworkOwner>) -> Result<()> {
        if record.network == NetworkMode::Host || record.network.is_shared() {
            return Ok(());
        }
        let lock = self.lock(record.id);
        let _making = lock.lock().await;
        self.reserve(record, generation)?;
        let netns = self.paths.netns(record.id, generation);
        let userns = self.paths.userns(&netns);
        let made = tokio::task::spawn_blocking(move || match &owner {
            None => netns::create(&netns),
            Some(NetworkOwner::New(map)) => userns::create(&netns, &userns, userns::Owner::New(map)),
            Some(NetworkOwner::Of(other)) => userns::create(&netns, &userns, userns::Owner::Of(other)),
        })
        .await;
        let made = made.map_err(|_| Error::Thread("making a network namespace")).and_then(|made| Ok(made?));
        if made.is_err() {
            self.remove(record.id, generation).await;
        }
        made
    }

    /// Connects a run whose namespace has been made; rules and names are in force when this returns.
    ///
    /// # Errors
    /// What the kernel or netd refused.
    pub async fn connect(&self, record: &Record) -> Result<()> {
        if record.network == NetworkMode::Host || record.network.is_shared() {
            return Ok(());
        }
        let lock = self.lock(record.id);
        let _making = lock.lock().await;
        if let Some(active) = self.state().active.get_mut(&record.id) {
            active.ready = true;
        }
        if record.attachments.is_empty() {
            return Ok(());
        }
        let applied = self.apply_now().await;
        applied.verdict(record.id, &self.published(record))
    }

    /// Takes over a run that an earlier daemon connected; [`settle`](Self::settle) has the rest.
    pub fn adopt(&self, record: &Record, generation: u64) {
        if record.network != NetworkMode::Host && !record.network.is_shared() {
            let mut active = self.active(record, generation);
            active.ready = true;
            self.state().active.insert(record.id, active);
        }
    }

    /// Takes off a container that runs what an earlier daemon was killed over.
    pub async fn shed(&self, record: &Record, generation: u64) {
        let Some(active) = self.state().active.get(&record.id).cloned() else { return };
        let wanted = active.attachments.into_iter().map(|on| on.interface).collect();
        let (key, netns) = (self.key.clone(), self.paths.netns(record.id, generation));
        let done = tokio::task::spawn_blocking(move || net::netlink::shed(&key, &netns, &wanted)).await;
        if let Ok(Err(error)) = done {
            tracing::warn!(container = %record.name, %error, "a device of a network that it has left stays in it");
        }
    }

    /// Knows a container by another name; it is in force when this returns.
    ///
    /// # Errors
    /// If the node's names could not be changed.
    pub async fn rename(&self, id: ContainerId, name: &str) -> Result<()> {
        match self.state().active.get_mut(&id) {
            Some(active) => active.name = name.into(),
            None => return Ok(()),
        }
        self.apply_now().await.verdict(id, &[])
    }

    fn active(&self, record: &Record, generation: u64) -> Active {
        let networks = self.resolve(&record.network, record.task.is_none()).unwrap_or_default();
        let spec = |id: NetworkId| networks.iter().find(|(_, network)| network.id == id).map(|(spec, _)| spec);
        let given: Vec<_> =
            record.attachments.iter().map(|attachment| spec(attachment.network)?.interface_name.clone()).collect();
        let on = |(attachment, interface): (&Attachment, String)| {
            let first = *attachment.addresses.first()?;
            let spec = spec(attachment.network);
            Some(On {
                network: attachment.network,
                addresses: attachment.addresses.clone(),
                aliases: spec.map(|spec| spec.aliases.clone()).unwrap_or_default(),
                links: spec.map(|spec| spec.links.clone()).unwrap_or_default(),
                mac: spec.and_then(|spec| spec.mac_address).unwrap_or_else(|| MacAddress::of(first)),
                link_local: spec.map(|spec| spec.link_local.clone()).unwrap_or_default(),
                sysctls: spec.map(|spec| spec.sysctls.clone()).unwrap_or_default(),
                interface,
            })
        };
        Active {
            name: record.name.clone(),
            task: record.task.map(|owner| owner.task),
            service: record.task.map(|owner| owner.service),
            generation,
            netns: self.paths.netns(record.id, generation),
            ready: false,
            attachments: record.attachments.iter().zip(interfaces(&given)).filter_map(on).collect(),
            ports: if record.task.is_none() { record.ports.clone() } else { Vec::new() },
            dns: record.spec.dns.clone(),
        }
    }

    /// Enters a container, if nobody has its ports.
    fn reserve(&self, record: &Record, generation: u64) -> Result<()> {
        let active = self.active(record, generation);
        let mut state = self.state();
        for port in &active.ports {
            let others = state.active.iter().filter(|(id, _)| **id != record.id);
            let mut of_containers = others.flat_map(|(_, other)| other.ports.iter().map(|port| (&other.name, port)));
            let mut of_services =
                state.assigned.endpoints.values().flat_map(|e| e.ports.iter().map(move |port| (&e.name, port)));
            let container = of_containers.find(|(_, other)| ports_clash(port, other));
            let holder = container.map(|(name, _)| format!("container {name}")).or_else(|| {
                let service = of_services.find(|(_, other)| ports_clash(port, other));
                service.map(|(name, _)| format!("service {name}"))
            });
            if let Some(holder) = holder {
                return Err(allocated(port, holder));
            }
        }
        state.active.insert(record.id, active);
        Ok(())
    }

    /// Removes a run's namespace; its devices go with the next plan, which nobody need wait for. A later run's is left alone.
    /// The caller holds the container's [`lock`](Self::lock).
    pub async fn remove(&self, id: ContainerId, generation: u64) {
        let ours = {
            let mut state = self.state();
            let ours = state.active.get(&id).is_some_and(|active| active.generation == generation);
            ours.then(|| state.active.remove(&id)).flatten()
        };
        let netns = self.paths.netns(id, generation);
        let userns = self.paths.userns(&netns);
        let done = tokio::task::spawn_blocking(move || netns::remove(&netns).and(userns::remove(&userns)));
        match done.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(container = %id.short(), %error, "a network namespace could not be removed")
            }
            Err(_) => {
                tracing::warn!(container = %id.short(), "a worker thread ended while it removed a network namespace")
            }
        }
        if ours.is_some_and(|active| !active.attachments.is_empty()) {
            self.want();
        }
    }

    /// After an earlier daemon's containers were taken over: removes namespaces of runs that are no more, and brings kernel
    /// and netd to what is left. `used` says whether this node ever had a container.
    pub async fn settle(self: &Arc<Self>, used: bool) {
        self.settled.store(true, Ordering::Release);
        let networks = self.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let entries = std::fs::read_dir(networks.paths.netns_dir()).into_iter().flatten().flatten();
            // A run is entered before its namespace is made: what is found and not entered is nobody's.
            let is_used = |path: &PathBuf| networks.state().active.values().any(|active| active.netns == *path);
            for path in entries.map(|entry| entry.path()).filter(|path| !is_used(path)) {
                let userns = networks.paths.userns(&path);
                if let Err(error) = netns::remove(&path).and(userns::remove(&userns)) {
                    tracing::warn!(path = %path.display(), %error, "a stale network namespace could not be removed");
                }
            }
            networks.kernel.is_bare()
        });
        let is_bare = match swept.await {
            Ok(Ok(is_bare)) => is_bare,
            Ok(Err(error)) => {
                tracing::warn!(%error, "it cannot be seen what an earlier daemon left of the network");
                false
            }
            Err(_) => {
                tracing::warn!("a worker thread ended while it removed stale network namespaces");
                false
            }
        };
        let declares = !self.assigned().networks.is_empty() || !self.state().own.is_empty();
        // The last removal may have been cut off before its devices went, and netd holds their namespaces.
        if used || declares || !is_bare || net::netd::Client::connect(self.paths.run()).await.is_ok() {
            self.want();
        }
    }

    fn inputs<T>(&self, use_them: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let (assigned, own, active) = {
            let state = self.state();
            (state.assigned.clone(), state.own.clone(), state.active.clone())
        };
        let mtu = if assigned.data_path_port.is_some() { self.mesh_mtu() } else { net::peers::MTU };
        use_them(&Inputs {
            mtu,
            node: self.node,
            key: &self.key,
            bridge: &self.bridge,
            own: &own,
            assigned: &assigned,
            active: &active,
        })
    }
}

/// An address of a subnet: the fixed one, else the one that was kept if it may stay, else a free one.
fn choose(
    subnet: IpSubnet,
    blocks: &[IpSubnet],
    used: &BTreeSet<IpAddr>,
    fixed: Option<IpAddr>,
    kept: Option<IpAddr>,
) -> std::result::Result<IpAddr, addresses::NoAddress> {
    let wanted = fixed.or(kept.filter(|address| !used.contains(address)));
    match addresses::choose(&[subnet], blocks, used, wanted) {
        // The subnet has changed under a container that had no fixed address.
        Err(_) if fixed.is_none() && wanted.is_some() => addresses::choose(&[subnet], blocks, used, None),
        other => other,
    }
}

fn allocated(port: &PortSpec, holder: String) -> Error {
    Error::PortAllocated {
        address: port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).to_string(),
        port: port.published.unwrap_or_default(),
        protocol: port.protocol,
        holder,
    }
}

/// The id of a network that every node has: the same after each start.
fn predefined_id(name: &str, node: NodeId) -> NetworkId {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{name} {node}").as_bytes());
    let bits = digest.as_ref().iter().take(16).fold(0u128, |bits, byte| bits << 8 | u128::from(*byte));
    NetworkId::from_random(bits)
}
