//! Addresses that managers give out: leases of nodes, virtual addresses of services. No address is given twice.

use model::{Endpoint, IpSubnet, Network, NetworkId, NodeId, Service, Vip};

use super::{Draft, Refusal};

impl Draft<'_> {
    /// The parts lie in the network, apart from each other, from other nodes' parts and from services' addresses.
    pub(super) fn check_blocks(&self, network: &Network, node: NodeId, blocks: &[IpSubnet]) -> Result<(), Refusal> {
        if !self.state.nodes.contains_key(&node) {
            return Err(Refusal::NotFound { kind: "node", name: node.to_string() });
        }
        let refuse = |range: &IpSubnet, why| Refusal::NotFree {
            network: network.spec.name.clone(),
            range: *range,
            asker: format!("node {node}"),
            why,
        };
        let others = network.leases.iter().filter(|(other, _)| **other != node).flat_map(|(_, blocks)| blocks);
        let others: Vec<&IpSubnet> = others.collect();
        let vips: Vec<Vip> = self.vips_on(network.id).map(|(_, vip)| vip).collect();
        for (index, block) in blocks.iter().enumerate() {
            if !network.subnets.iter().any(|subnet| holds(subnet, block)) {
                return Err(refuse(block, "it is outside of the network's subnets"));
            }
            if others.iter().copied().chain(&blocks[..index]).any(|other| other.overlaps(block)) {
                return Err(refuse(block, "a part of it is leased already"));
            }
            if vips.iter().any(|vip| block.contains(vip.address)) {
                return Err(refuse(block, "a service has an address in it"));
            }
        }
        Ok(())
    }

    /// The addresses lie in their networks, and neither another service nor a node has them.
    pub(super) fn check_vips(&self, service: &Service, endpoint: &Endpoint) -> Result<(), Refusal> {
        for (index, vip) in endpoint.vips.iter().enumerate() {
            let network = self.state.networks.get(&vip.network);
            let network =
                network.ok_or_else(|| Refusal::NotFound { kind: "network", name: vip.network.to_string() })?;
            let refuse = |range, why| Refusal::NotFree {
                network: network.spec.name.clone(),
                range,
                asker: format!("service {}", service.spec.name),
                why,
            };
            let subnet = network.subnets.iter().find(|subnet| subnet.contains(vip.address));
            let full = if vip.address.is_ipv4() { 32 } else { 128 };
            let range = IpSubnet::new(vip.address, full);
            let (Some(_), Some(range)) = (subnet, range) else {
                let name = format!("{} on network {}", vip.address, network.spec.name);
                return Err(Refusal::NotFound { kind: "address", name });
            };
            let mut others = self.vips_on(network.id).filter(|(other, _)| other.id != service.id);
            let is_same = |other: &Vip| other.address == vip.address;
            if others.any(|(_, other)| is_same(&other)) || endpoint.vips[..index].iter().any(is_same) {
                return Err(refuse(range, "a service has it already"));
            }
            if network.leases.values().flatten().any(|block| block.contains(vip.address)) {
                return Err(refuse(range, "it is leased to a node"));
            }
        }
        Ok(())
    }

    /// Takes back all virtual addresses on a network whose subnets go away; the allocator gives new ones.
    pub(super) fn withdraw_vips(&mut self, network: NetworkId) {
        let holders: Vec<Service> = self.vips_on(network).map(|(service, _)| service.clone()).collect();
        for mut service in holders {
            service.endpoint.vips.retain(|vip| vip.network != network);
            self.put_service(service);
        }
    }

    fn vips_on(&self, network: NetworkId) -> impl Iterator<Item = (&Service, Vip)> {
        let vips = self
            .state
            .services
            .values()
            .flat_map(|service| service.endpoint.vips.iter().map(move |vip| (service, *vip)));
        vips.filter(move |(_, vip)| vip.network == network)
    }
}

fn holds(outer: &IpSubnet, inner: &IpSubnet) -> bool {
    outer.contains(inner.network()) && outer.prefix() <= inner.prefix()
}

#[cfg(test)]
mod tests {
    use model::{Endpoint, IpSubnet, NodeId, Vip};

    use crate::state::{Command, Refusal};
    use crate::world::{NET, World, network, node, service, stack};

    /// `web` and `db` on a network of users' choice, everything allocated.
    fn world() -> World {
        let mut world = World::new(2);
        let networks = vec![network(NET, &["10.1.0.0/24"])];
        world.up(model::Stack { networks, ..stack([service("web"), service("db")]) }).unwrap();
        world.settle();
        world
    }

    fn lease(world: &mut World, node: NodeId, blocks: &[&str]) -> Result<(), Refusal> {
        let network = world.state.network_named(NET).unwrap().clone();
        let blocks = blocks.iter().map(|block| block.parse().unwrap()).collect();
        world.entry([Command::SetLease { network: network.id, node, blocks, seen: network.meta.version }]).map(drop)
    }

    fn give(world: &mut World, key: &str, addresses: &[&str]) -> Result<(), Refusal> {
        let network = world.state.network_named(NET).unwrap().id;
        let vips = addresses.iter().map(|address| Vip { network, address: address.parse().unwrap() }).collect();
        let service = world.service(key).clone();
        let endpoint = Endpoint { vips, ports: Vec::new() };
        world.entry([Command::SetEndpoint { service: service.id, endpoint, seen: service.meta.version }]).map(drop)
    }

    #[test]
    fn no_address_is_leased_twice() {
        let mut world = world();
        let (first, second) = (node(1), node(2));
        for node in [first, second] {
            lease(&mut world, node, &[]).unwrap();
        }
        lease(&mut world, first, &["10.1.0.64/26", "10.1.0.192/26"]).unwrap();
        let refused = |world: &mut World, blocks: &[&str]| lease(world, second, blocks).unwrap_err().to_string();
        assert!(refused(&mut world, &["10.2.0.0/26"]).ends_with("as it is outside of the network's subnets"));
        assert!(refused(&mut world, &["10.1.0.0/16"]).ends_with("as it is outside of the network's subnets"));
        assert!(refused(&mut world, &["10.1.0.224/27"]).ends_with("as a part of it is leased already"));
        assert!(
            refused(&mut world, &["10.1.0.128/27", "10.1.0.128/26"]).ends_with("as a part of it is leased already")
        );
        assert!(refused(&mut world, &["10.1.0.0/26"]).ends_with("as a service has an address in it"));
        assert!(matches!(lease(&mut world, node(9), &[]), Err(Refusal::NotFound { kind: "node", .. })));
        lease(&mut world, second, &["10.1.0.128/26"]).unwrap();
        lease(&mut world, first, &["10.1.0.192/26"]).unwrap();
    }

    #[test]
    fn no_virtual_address_is_given_twice() {
        let mut world = world();
        give(&mut world, "web", &["10.1.0.9"]).unwrap();
        let taken = give(&mut world, "db", &["10.1.0.9"]).unwrap_err().to_string();
        assert_eq!(
            taken,
            "network shop_default: 10.1.0.9/32 cannot be given to service shop-db, as a service has it already"
        );
        assert!(give(&mut world, "db", &["10.1.0.8", "10.1.0.8"]).is_err());
        assert!(matches!(give(&mut world, "db", &["10.2.0.1"]), Err(Refusal::NotFound { kind: "address", .. })));
        let leased = world.state.network_named(NET).unwrap().leases[&node(1)][0].nth(3).unwrap().to_string();
        assert!(give(&mut world, "db", &[&leased]).unwrap_err().to_string().ends_with("as it is leased to a node"));
    }

    #[test]
    fn another_subnet_takes_all_addresses_along() {
        let mut world = world();
        let networks = vec![network(NET, &["10.7.0.0/24"])];
        world.up(model::Stack { networks, ..stack([service("web")]) }).unwrap();
        assert!(world.state.services.values().all(|service| service.endpoint.vips.is_empty()));
        world.converge();
        let subnet: IpSubnet = "10.7.0.0/24".parse().unwrap();
        for key in ["web", "db"] {
            assert!(world.service(key).endpoint.vips.iter().all(|vip| subnet.contains(vip.address)));
            assert_eq!((world.task(key).spec_version, world.service(key).endpoint.vips.len()), (2, 1));
        }
    }
}
