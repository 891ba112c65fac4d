//! The cluster's beginning, networks, endpoints: what is not a stack, not a task and not a node.

use model::{
    AddressPool, Cluster, ClusterId, Endpoint, IpSubnet, Network, NetworkId, NetworkSpec, NodeId, Service, ServiceId,
    ServiceSpec,
};

use super::{Draft, Refusal, check_seen};
use crate::state::Event;

/// Where subnets come from unless the user says otherwise: 2,048 networks of 4,096 addresses.
const POOL: ([u8; 4], u8, u8) = ([10, 128, 0, 0], 9, 20);

/// Longest prefix of a subnet: 8 addresses, of which two are nobody's, one is the node's, and some are services'.
const PREFIX_MAX: u8 = 29;

/// The same of an IPv6 subnet.
const PREFIX_MAX_V6: u8 = 120;

/// The network of standalone containers.
pub(super) const BRIDGE: &str = "bridge";

impl Draft<'_> {
    pub(super) fn bootstrap(&mut self, id: ClusterId, bridge: NetworkId) -> Result<(), Refusal> {
        if let Some(cluster) = &self.state.cluster {
            return Err(Refusal::Exists { kind: "cluster", name: cluster.id.to_string() });
        }
        if let Some(network) = self.state.network_named(BRIDGE).or_else(|| self.state.networks.get(&bridge)) {
            return Err(Refusal::Exists { kind: "network", name: network.spec.name.clone() });
        }
        let (address, length, prefix) = POOL;
        let pool = IpSubnet::new(address.into(), length).map(|base| AddressPool { base, prefix });
        self.state.cluster = Some(Cluster::new(id, self.born(), pool.into_iter().collect()));
        self.events.insert(Event::Cluster);
        let spec = NetworkSpec { name: BRIDGE.into(), attachable: true, ..NetworkSpec::default() };
        self.put_network(Network {
            id: bridge,
            meta: self.born(),
            spec,
            subnets: Vec::new(),
            leases: Default::default(),
        });
        Ok(())
    }

    pub(super) fn put_network(&mut self, mut network: Network) {
        network.meta = self.touched(network.meta);
        self.events.insert(Event::Network(network.id));
        self.state.put_network(network);
    }

    fn seen_network(&self, id: NetworkId, seen: u64) -> Result<Network, Refusal> {
        let network = self.state.networks.get(&id).cloned();
        let network = network.ok_or_else(|| Refusal::NotFound { kind: "network", name: id.to_string() })?;
        check_seen("network", id, network.meta, seen, self.version)?;
        Ok(network)
    }

    pub(super) fn set_subnets(&mut self, id: NetworkId, subnets: &[IpSubnet], seen: u64) -> Result<(), Refusal> {
        let network = self.seen_network(id, seen)?;
        self.check_subnets(&network.spec.name, subnets)?;
        if network.subnets != subnets {
            self.withdraw_vips(id);
            self.put_network(Network { subnets: subnets.to_vec(), leases: Default::default(), ..network });
        }
        Ok(())
    }

    /// Subnets are disjoint in the whole cluster.
    pub(super) fn check_subnets(&self, name: &str, subnets: &[IpSubnet]) -> Result<(), Refusal> {
        let is_small = |subnet: &&IpSubnet| subnet.prefix() > if subnet.is_ipv4() { PREFIX_MAX } else { PREFIX_MAX_V6 };
        if let Some(subnet) = subnets.iter().find(is_small) {
            return Err(Refusal::SubnetTooSmall { network: name.to_owned(), subnet: *subnet });
        }
        for (index, subnet) in subnets.iter().enumerate() {
            if let Some(other) = subnets[..index].iter().find(|other| other.overlaps(subnet)) {
                let (network, other_subnet) = (name.to_owned(), *other);
                return Err(Refusal::SubnetOverlap { other: network.clone(), network, subnet: *subnet, other_subnet });
            }
        }
        for other in self.state.networks.values().filter(|other| other.spec.name != name) {
            let overlap = |subnet: &IpSubnet| other.subnets.iter().find(|taken| taken.overlaps(subnet)).copied();
            if let Some((subnet, other_subnet)) = subnets.iter().find_map(|subnet| Some((*subnet, overlap(subnet)?))) {
                let (network, other) = (name.to_owned(), other.spec.name.clone());
                return Err(Refusal::SubnetOverlap { network, subnet, other, other_subnet });
            }
        }
        Ok(())
    }

    pub(super) fn set_lease(
        &mut self,
        id: NetworkId,
        node: NodeId,
        blocks: &[IpSubnet],
        seen: u64,
    ) -> Result<(), Refusal> {
        let mut network = self.seen_network(id, seen)?;
        self.check_blocks(&network, node, blocks)?;
        if blocks.is_empty() {
            network.leases.remove(&node);
        } else {
            network.leases.insert(node, blocks.to_vec());
        }
        self.put_network(network);
        Ok(())
    }

    pub(super) fn put_service(&mut self, mut service: Service) {
        service.meta = self.touched(service.meta);
        self.events.insert(Event::Service(service.id));
        self.state.put_service(service);
    }

    pub(super) fn seen_service(&self, id: ServiceId, seen: u64) -> Result<Service, Refusal> {
        let service = self.state.services.get(&id).cloned();
        let service = service.ok_or_else(|| Refusal::NotFound { kind: "service", name: id.to_string() })?;
        check_seen("service", id, service.meta, seen, self.version)?;
        Ok(service)
    }

    pub(super) fn set_endpoint(&mut self, id: ServiceId, endpoint: &Endpoint, seen: u64) -> Result<(), Refusal> {
        let service = self.seen_service(id, seen)?;
        self.check_vips(&service, endpoint)?;
        self.put_service(Service { endpoint: endpoint.clone(), ..service });
        Ok(())
    }

    pub(super) fn remove_service(&mut self, id: ServiceId, seen: u64) -> Result<(), Refusal> {
        self.seen_service(id, seen)?;
        if let Some(task) = self.state.tasks_of(id).next() {
            return Err(Refusal::Exists { kind: "task", name: task.name.clone() });
        }
        self.events.insert(Event::Service(id));
        self.state.drop_service(id);
        Ok(())
    }

    /// A service that has begun to use the object since makes its removal stale, though the object itself is as it was.
    pub(super) fn check_unused(
        &self,
        kind: &'static str,
        id: impl ToString,
        seen: u64,
        uses: impl Fn(&ServiceSpec) -> bool,
    ) -> Result<(), Refusal> {
        match self
            .state
            .services
            .values()
            .any(|service| uses(&service.spec) || service.previous_spec().is_some_and(&uses))
        {
            true => Err(Refusal::Stale { kind, id: id.to_string(), seen, now: self.state.version }),
            false => Ok(()),
        }
    }

    pub(super) fn remove_network(&mut self, id: NetworkId, seen: u64) -> Result<(), Refusal> {
        let network = self.seen_network(id, seen)?;
        let uses = |spec: &ServiceSpec| spec.network.attachments().iter().any(|a| a.network == network.spec.name);
        self.check_unused("network", id, seen, uses)?;
        self.withdraw_vips(id);
        self.events.insert(Event::Network(id));
        self.state.drop_network(id);
        Ok(())
    }
}
