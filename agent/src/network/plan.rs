//! From assignments and running containers to the node's network and its names. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use model::{
    Assignments, Backend, ContainerId, EndpointMode, Link, LocalNetwork, MacAddress, MeshEnd, NetworkAssignment,
    NetworkId, NodeId, PortSpec, Protocol, PublishMode, ServiceEndpoint, TaskId,
};
use net::peers::{Ingress, Mesh, Peer, zones};
use net::plan::{AttachmentPlan, Crossing, Family, MeshPlan, NetworkPlan, NodeKey, NodePlan, PortPlan, VipPlan};
use net::resolve::{Asker, Tables, Zone};

use super::served::Served;

/// A container that has a network namespace now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// Its name.
    pub name: String,
    /// Its task, if it is one's.
    pub task: Option<TaskId>,
    /// Its service, if it is one's.
    pub service: Option<model::ServiceId>,
    /// The run that the namespace is of.
    pub generation: u64,
    /// Where its namespace is bound.
    pub netns: PathBuf,
    /// Whether the namespace exists.
    pub ready: bool,
    /// Its networks.
    pub attachments: Vec<On>,
    /// Published ports of a standalone container, each with its published port.
    pub ports: Vec<PortSpec>,
    /// Servers that unknown names go to; empty: the host's.
    pub dns: Vec<IpAddr>,
}

/// A container on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct On {
    /// Which network.
    pub network: NetworkId,
    /// Its addresses there, one a family at most.
    pub addresses: Vec<IpAddr>,
    /// Its further names there.
    pub aliases: Vec<String>,
    /// Its own names for others.
    pub links: BTreeMap<String, String>,
    /// Its device's link address.
    pub mac: MacAddress,
    /// Its device's name.
    pub interface: String,
    /// Its device's further addresses.
    pub link_local: Vec<IpAddr>,
    /// Its device's kernel parameters.
    pub sysctls: BTreeMap<String, String>,
}

impl On {
    fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

/// Names of a container's devices, of which some are given: the others get the first free ones of `eth0`, `eth1` and so on.
pub fn interfaces(given: &[Option<String>]) -> Vec<String> {
    let used: BTreeSet<&String> = given.iter().flatten().collect();
    let mut free = (0..).map(|index| format!("eth{index}")).filter(|name| !used.contains(name));
    given.iter().map(|name| name.clone().unwrap_or_else(|| free.next().unwrap_or_default())).collect()
}

/// All that the network is made from.
#[derive(Debug)]
pub struct Inputs<'a> {
    /// This node.
    pub node: NodeId,
    /// Its key.
    pub key: &'a NodeKey,
    /// The node's own network for standalone containers.
    pub bridge: &'a NetworkAssignment,
    /// Networks that the node keeps.
    pub own: &'a BTreeMap<NetworkId, LocalNetwork>,
    /// What the managers have sent.
    pub assigned: &'a Assignments,
    /// Containers with a namespace.
    pub active: &'a BTreeMap<ContainerId, Active>,
    /// Largest packet to another node, in bytes.
    pub mtu: u32,
}

impl Inputs<'_> {
    fn networks(&self) -> impl Iterator<Item = Served> {
        let assigned = std::iter::once(self.bridge).chain(self.assigned.networks.values()).map(Served::from);
        assigned.chain(self.own.values().map(Served::from))
    }

    fn served(&self, id: NetworkId) -> Option<NetworkPlan> {
        self.networks().find(|network| network.id == id).and_then(|network| network.plan())
    }

    fn is_internal(&self, id: NetworkId) -> bool {
        let own = self.own.get(&id).map(|network| network.internal);
        own.or_else(|| self.assigned.networks.get(&id).map(|network| network.internal)).unwrap_or(false)
    }
}

/// The node's whole network.
pub fn plan(inputs: &Inputs<'_>) -> NodePlan {
    let used: BTreeSet<NetworkId> =
        inputs.active.values().flat_map(|active| active.attachments.iter().map(|on| on.network)).collect();
    // The node's own network appears with its first container.
    let served = inputs.networks().filter(|network| network.id != inputs.bridge.id || used.contains(&network.id));
    let mut plan = NodePlan::empty(inputs.key.clone());
    plan.networks = served.filter_map(|network| network.plan()).collect();
    plan.mesh = mesh(&plan, inputs);
    if let Some(MeshPlan { foreign, .. }) = &plan.mesh {
        let across = plan.networks.iter_mut().filter(|network| foreign.contains_key(&network.id));
        across.for_each(|network| network.mtu = Some(network.mtu.unwrap_or(inputs.mtu).min(inputs.mtu)));
    }
    for (id, active) in inputs.active.iter().filter(|(_, active)| active.ready) {
        attach(&mut plan, inputs, *id, active);
    }
    vips(&mut plan, inputs);
    ports(&mut plan, inputs);
    plan
}

/// The way to the other nodes, once there may be some.
fn mesh(plan: &NodePlan, inputs: &Inputs<'_>) -> Option<MeshPlan> {
    let port = inputs.assigned.data_path_port?;
    let routed = |network: &&NetworkAssignment| plan.network(network.id).is_some_and(|plan| plan.link == Link::Routed);
    let across = || inputs.assigned.networks.values().filter(routed);
    let zones = zones(inputs.assigned.peers.keys().copied());
    let peer = |(node, end): (&NodeId, &MeshEnd)| Peer {
        node: *node,
        key: end.key,
        endpoint: end.endpoint(),
        prefixes: across().filter_map(|network| network.foreign.get(node)).flatten().copied().collect(),
        zone: zones.get(node).copied().unwrap_or_default(),
    };
    let peers = inputs.assigned.peers.iter().map(peer).collect();
    let foreign = |network: &NetworkAssignment| {
        let parts: Vec<_> = network.foreign.values().flatten().copied().collect();
        (!parts.is_empty()).then_some((network.id, parts))
    };
    let ingress = Some(Ingress { device: inputs.key.ingress(), node: inputs.node });
    let mesh = Mesh { device: inputs.key.mesh(), port, mtu: inputs.mtu, peers, ingress };
    Some(MeshPlan { mesh, foreign: across().filter_map(foreign).collect(), crossing: Crossing::default() })
}

fn attach(plan: &mut NodePlan, inputs: &Inputs<'_>, id: ContainerId, active: &Active) {
    let known: Vec<_> = active.attachments.iter().filter(|on| plan.network(on.network).is_some()).collect();
    let way_out = |family| known.iter().position(|on| on.address(family).is_some() && !inputs.is_internal(on.network));
    let ways_out = Family::ALL.map(|family| (family, way_out(family)));
    for (index, on) in known.iter().enumerate() {
        plan.attachments.push(AttachmentPlan {
            container: id,
            netns: active.netns.clone(),
            network: on.network,
            interface: on.interface.clone(),
            addresses: on.addresses.clone(),
            mac: Some(on.mac.octets()),
            link_local: on.link_local.clone(),
            sysctls: on.sysctls.clone(),
            ways_out: ways_out.iter().filter(|(_, at)| *at == Some(index)).map(|(family, _)| *family).collect(),
        });
    }
}

fn addresses_on(backend: &Backend, network: NetworkId) -> impl Iterator<Item = IpAddr> + '_ {
    let on = backend.attachments.iter().filter(move |attachment| attachment.network == network);
    on.flat_map(|attachment| attachment.addresses.iter().copied())
}

fn address_on(backend: &Backend, network: NetworkId, family: Family) -> Option<IpAddr> {
    addresses_on(backend, network).find(|address| Family::of(*address) == family)
}

fn vips(plan: &mut NodePlan, inputs: &Inputs<'_>) {
    for endpoint in inputs.assigned.endpoints.values() {
        let served: Vec<_> = endpoint.networks.iter().filter(|on| plan.network(on.network).is_some()).collect();
        for on in served {
            for &address in &on.vips {
                let serving = endpoint.backends.iter().filter(|backend| backend.serves);
                let of_family = |backend| address_on(backend, on.network, Family::of(address));
                let backends = serving.filter_map(of_family).collect();
                plan.vips.push(VipPlan { network: on.network, address, backends });
            }
        }
    }
}

type PortKey = (Protocol, u16, Option<IpAddr>);

fn port_key(port: &PortSpec) -> Option<PortKey> {
    Some((port.protocol, port.published?, port.host_ip))
}

/// Whether two ports can't be had at once: one protocol, one number, and not two different addresses.
pub fn ports_clash(one: &PortSpec, other: &PortSpec) -> bool {
    match (port_key(one), port_key(other)) {
        (Some((p, n, a)), Some((q, m, b))) => p == q && n == m && addresses_clash(a, b),
        _ => false,
    }
}

/// Whether one socket could be on both; without an address it is on all, with an unspecified one on all of that family.
fn addresses_clash(one: Option<IpAddr>, other: Option<IpAddr>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return true };
    Family::of(one) == Family::of(other) && (one.is_unspecified() || other.is_unspecified() || one == other)
}

/// Where connections to a published port go: to the address of each family that the port is on. On an IPv6 address, a
/// container without one is reached by its IPv4 address.
fn targets(port: &PortSpec, address: impl Fn(Family) -> Option<IpAddr>) -> Vec<SocketAddr> {
    let (four, six) = (address(Family::V4), address(Family::V6));
    let addresses = match port.host_ip {
        None => [four, six],
        Some(IpAddr::V4(_)) => [four, None],
        Some(IpAddr::V6(_)) => [six.or(four), None],
    };
    addresses.into_iter().flatten().map(|address| SocketAddr::new(address, port.target)).collect()
}

fn ports(plan: &mut NodePlan, inputs: &Inputs<'_>) {
    let mut published: BTreeMap<PortKey, Vec<SocketAddr>> = BTreeMap::new();
    for active in inputs.active.values().filter(|active| active.ready) {
        let address = |family| {
            let meets_host = |on: &&On| plan.network(on.network).is_some_and(NetworkPlan::meets_host);
            let on = || active.attachments.iter().filter(meets_host).filter(move |on| on.address(family).is_some());
            on().find(|on| !inputs.is_internal(on.network)).or_else(|| on().next())?.address(family)
        };
        for port in &active.ports {
            if let Some(key) = port_key(port) {
                published.entry(key).or_default().extend(targets(port, address));
            }
        }
    }
    let own: BTreeSet<PortKey> = published.keys().copied().collect();
    let mut crossing = Crossing::default();
    for endpoint in inputs.assigned.endpoints.values() {
        for port in &endpoint.ports {
            let Some(key) = port_key(port).filter(|key| !own.contains(key)) else { continue };
            let is_here = |backend: &Backend| backend.node == inputs.node;
            if port.mode == PublishMode::Host && !endpoint.backends.iter().any(is_here) {
                continue;
            }
            let backends = published.entry(key).or_default();
            for backend in &endpoint.backends {
                backends.extend(lead(endpoint, port, backend, plan, inputs, &mut crossing));
            }
        }
    }
    if let Some(mesh) = &mut plan.mesh {
        mesh.crossing = crossing;
    }
    plan.ports = published
        .into_iter()
        .map(|((protocol, published, host_ip), backends)| PortPlan {
            protocol,
            published,
            host_ip,
            backends,
            snat: false,
        })
        .collect();
}

/// Where a port of a service leads to at one of its tasks, whichever node that is on; `crossing` learns of it where clients cross.
fn lead(
    endpoint: &ServiceEndpoint,
    port: &PortSpec,
    backend: &Backend,
    plan: &NodePlan,
    inputs: &Inputs<'_>,
    crossing: &mut Crossing,
) -> Vec<SocketAddr> {
    let found = targets(port, |family| target_on(endpoint, backend, inputs, family));
    if backend.node == inputs.node {
        // Connections that another node has led here go on also while it drains.
        if port.mode == PublishMode::Ingress && plan.mesh.is_some() {
            crossing.here.extend(found.iter().map(|at| (at.ip(), port.protocol, at.port())));
        }
        return if backend.serves { found } else { Vec::new() };
    }
    let zone = plan.mesh.iter().flat_map(|mesh| &mesh.mesh.peers).find(|peer| peer.node == backend.node);
    let Some(zone) = zone.map(|peer| peer.zone).filter(|_| backend.serves && port.mode == PublishMode::Ingress) else {
        return Vec::new();
    };
    crossing.away.extend(found.iter().map(|at| (at.ip(), zone)));
    found
}

/// A task's address of a family that published ports lead to: on the first network that has a way out, if there is one.
fn target_on(endpoint: &ServiceEndpoint, backend: &Backend, inputs: &Inputs<'_>, family: Family) -> Option<IpAddr> {
    let known = |id| endpoint.networks.iter().find(|on| on.network == id);
    let is_here = backend.node == inputs.node;
    let meets_host = |id: &NetworkId| {
        let served = || !is_here || inputs.served(*id).is_some_and(|network| network.meets_host());
        !known(*id).is_some_and(|on| on.elsewhere) && served()
    };
    let networks = || {
        let all = backend.attachments.iter().map(|attachment| attachment.network).filter(meets_host);
        all.filter(|id| address_on(backend, *id, family).is_some())
    };
    let is_internal = |id: &NetworkId| known(*id).is_some_and(|on| on.internal) || inputs.is_internal(*id);
    let network = networks().find(|id| !is_internal(id)).or_else(|| networks().next())?;
    address_on(backend, network, family)
}

/// All names of the node, and who may ask for which.
pub fn names(inputs: &Inputs<'_>) -> Tables {
    let mut tables = Tables::default();
    for network in inputs.networks().filter_map(|network| network.plan()) {
        let mut subnets = network.subnets.iter().map(|side| side.subnet);
        if let Some(first) = subnets.next() {
            tables.zones.insert(network.id, Zone::new(network.name, first, subnets.next()));
        }
    }
    for endpoint in inputs.assigned.endpoints.values() {
        add_service(&mut tables, endpoint);
    }
    for (id, active) in inputs.active {
        for On { network, addresses, aliases, .. } in &active.attachments {
            let Some(zone) = tables.zones.get_mut(network) else { continue };
            for &address in addresses {
                zone.add(&active.name, address);
                zone.add(&id.short(), address);
                // A task's aliases are its service's, which only traffic that it can serve may reach.
                if active.task.is_none() || inputs.own.contains_key(network) {
                    aliases.iter().for_each(|alias| zone.add(alias, address));
                }
                zone.set_reverse(address, &format!("{}.{}", active.name, zone.network.clone()));
            }
        }
        if active.ready && !active.attachments.is_empty() {
            tables.askers.insert(*id, asker(inputs, active));
        }
    }
    tables
}

fn asker(inputs: &Inputs<'_>, active: &Active) -> Asker {
    let networks: Vec<_> = active.attachments.iter().map(|on| on.network).collect();
    let links = active.attachments.iter().flat_map(|on| &on.links);
    let links = links.map(|(alias, name)| (alias.to_ascii_lowercase(), name.clone()));
    Asker {
        netns: active.netns.clone(),
        forward: networks.iter().any(|network| !inputs.is_internal(*network)),
        links: links.collect(),
        servers: active.dns.iter().map(|address| SocketAddr::new(*address, 53)).collect(),
        networks,
    }
}

fn add_service(tables: &mut Tables, endpoint: &ServiceEndpoint) {
    let key = endpoint.stack.as_ref().map_or(&endpoint.name, |member| &member.key);
    for on in &endpoint.networks {
        let Some(zone) = tables.zones.get_mut(&on.network) else { continue };
        let names: BTreeSet<&String> = on.aliases.iter().chain([key, &endpoint.name]).collect();
        let has_vip = |family| on.vips.iter().any(|vip| Family::of(*vip) == family);
        let on_network = |backend| addresses_on(backend, on.network).map(move |address| (backend, address));
        for (backend, address) in endpoint.backends.iter().flat_map(on_network) {
            zone.add(&backend.name, address);
            zone.set_reverse(address, &format!("{}.{}", backend.name, zone.network.clone()));
            zone.add_task(key, address);
            if key != &endpoint.name {
                zone.add_task(&endpoint.name, address);
            }
            let is_itself = !has_vip(Family::of(address)) || endpoint.mode == EndpointMode::Dnsrr;
            if backend.serves && is_itself {
                names.iter().for_each(|name| zone.add(name, address));
            }
        }
        for address in on.vips.iter().filter(|_| endpoint.mode == EndpointMode::Vip) {
            names.iter().for_each(|name| zone.add(name, *address));
            zone.set_reverse(*address, &format!("{key}.{}", zone.network.clone()));
        }
    }
}
