//! Subnets, leases, addresses and ports.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{
    AttachmentSpec, EndpointMode, IpSubnet, Ipam, Network, NetworkMode, NetworkSpec, PortSpec, Protocol, ServiceSpec,
    Stack,
};

use super::allocate;
use crate::scheduler;
use crate::state::Command;
use crate::world::{NET, World, network, node, on, port, replicas, service, stack};

fn net<'a>(world: &'a World, name: &str) -> &'a Network {
    world.state.network_named(name).unwrap()
}

fn subnet(text: &str) -> IpSubnet {
    text.parse().unwrap()
}

fn in_subnet(text: &str, services: impl IntoIterator<Item = ServiceSpec>) -> Stack {
    Stack { networks: vec![network(NET, &[text])], ..stack(services) }
}

fn fixed(key: &str, address: &str) -> ServiceSpec {
    let attachment = AttachmentSpec { ipv4_address: Some(address.parse().unwrap()), ..on(NET) };
    ServiceSpec { network: NetworkMode::Networks(vec![attachment]), ..service(key) }
}

fn vip(world: &World, key: &str) -> IpAddr {
    world.service(key).endpoint.vips[0].address
}

#[test]
fn networks_get_the_first_free_subnets_of_the_pool() {
    let mut world = World::new(1);
    let nets = [network("shop_a", &[]), network("shop_mine", &["10.128.16.0/20"]), network("shop_b", &[])];
    let names = nets.iter().map(|spec| on(&spec.name)).collect();
    let web = ServiceSpec { network: NetworkMode::Networks(names), ..service("web") };
    world.up(Stack { networks: nets.to_vec(), ..stack([web]) }).unwrap();
    world.settle();
    let subnets = |name: &str| net(&world, name).subnets.clone();
    assert_eq!(subnets("shop_mine"), [subnet("10.128.16.0/20")]);
    let given: BTreeSet<IpSubnet> = ["bridge", "shop_a", "shop_b"].into_iter().flat_map(subnets).collect();
    let expected = ["10.128.0.0/20", "10.128.32.0/20", "10.128.48.0/20"];
    assert_eq!(given, expected.into_iter().map(subnet).collect());
    assert_eq!(allocate(&world.state), []);
}

#[test]
fn a_used_up_pool_leaves_a_network_without_a_subnet_and_its_tasks_waiting() {
    let mut world = World::new(1);
    world.settle();
    assert_eq!(net(&world, "bridge").subnets, [subnet("10.128.0.0/20")]);
    // The second halves of ever smaller first halves: all of the pool but for bridge's subnet.
    let half = |prefix: u8| IpSubnet::new([10, 128, 0, 0].into(), prefix - 1).unwrap().part(prefix, 1).unwrap();
    let rest = NetworkSpec { subnets: (10..=20).map(half).collect(), ..network("shop_rest", &[]) };
    let both = vec![on("shop_rest"), on(NET)];
    let web = ServiceSpec { network: NetworkMode::Networks(both), ..service("web") };
    world.up(Stack { networks: vec![rest, network(NET, &[])], ..stack([web]) }).unwrap();
    world.settle();
    assert!(net(&world, NET).subnets.is_empty());
    let task = world.task("web");
    assert_eq!(task.node, None);
    let refused = scheduler::schedule(&world.state).refused;
    assert_eq!(refused[&task.id], "network shop_default has no subnet yet");
}

#[test]
fn leases_are_for_nodes_with_tasks_and_grow_with_them() {
    let mut world = World::new(3);
    let app = |count| {
        let mut web = ServiceSpec { mode: replicas(count), ..service("web") };
        web.placement.node = Some(node(1));
        stack([web])
    };
    world.up(app(1)).unwrap();
    world.converge();
    let first = net(&world, NET).leases.clone();
    assert_eq!(first.keys().copied().collect::<Vec<_>>(), [node(1)]);
    assert_eq!(first[&node(1)].len(), 1);
    assert_eq!(net(&world, "bridge").leases.len(), 3, "standalone containers may start on every node");
    world.up(app(100)).unwrap();
    world.converge();
    let grown = &net(&world, NET).leases[&node(1)];
    assert_eq!((grown.len(), grown[0]), (2, first[&node(1)][0]));
    world.up(app(1)).unwrap();
    world.converge();
    assert_eq!(net(&world, NET).leases[&node(1)].len(), 2, "a lease is not taken back");
}

#[test]
fn small_subnets_of_users_have_room_for_addresses_and_containers() {
    for (text, services, node_part) in [("10.1.0.0/24", 63, 8), ("10.1.0.0/26", 15, 8), ("10.1.0.0/29", 3, 4)] {
        let mut world = World::new(1);
        world.up(in_subnet(text, [service("web")])).unwrap();
        world.converge();
        let network = net(&world, NET);
        let address = vip(&world, "web");
        assert!(network.subnets[0].contains(address) && address != network.subnets[0].network());
        let leased: u128 = network.leases[&node(1)].iter().map(IpSubnet::size).sum();
        assert_eq!(leased, node_part, "{text}");
        let part = super::leases::services_part(&network.subnets[0]).unwrap();
        assert_eq!(part.size() - 1, services, "{text}");
    }
}

#[test]
fn a_service_keeps_its_address_while_others_come_and_go() {
    let mut world = World::new(1);
    world.up(stack([service("a"), service("b"), service("c")])).unwrap();
    world.converge();
    let before = [vip(&world, "a"), vip(&world, "c")];
    assert_eq!(BTreeSet::from([before[0], before[1], vip(&world, "b")]).len(), 3);
    world.up_with(stack([service("a"), service("c"), service("d")]), |apply| apply.remove_orphans = true).unwrap();
    world.converge();
    assert_eq!([vip(&world, "a"), vip(&world, "c")], before);
    let mut by_names = service("a");
    by_names.endpoint_mode = EndpointMode::Dnsrr;
    world.up(stack([by_names])).unwrap();
    world.converge();
    assert!(world.service("a").endpoint.vips.is_empty());
}

#[test]
fn fixed_addresses_are_nobody_elses() {
    let mut world = World::new(1);
    world.up(in_subnet("10.1.0.0/24", [service("a")])).unwrap();
    world.converge();
    let held = vip(&world, "a").to_string();
    world.up(in_subnet("10.1.0.0/24", [service("a"), fixed("b", &held), fixed("c", "10.1.0.130")])).unwrap();
    world.converge();
    let addresses: BTreeSet<String> = ["a", "b", "c"].map(|key| vip(&world, key).to_string()).into();
    assert_eq!(addresses.len(), 3);
    assert!(!addresses.contains(&held) && !addresses.contains("10.1.0.130"), "the user goes first: {addresses:?}");
}

#[test]
fn parts_with_fixed_addresses_are_leased_last() {
    let mut world = World::new(3);
    let pinned = |key: &str, id| {
        let mut spec = service(key);
        spec.placement.node = Some(node(id));
        spec
    };
    let app = [fixed("x", "10.1.0.70"), fixed("y", "10.1.0.80"), pinned("a", 1)];
    world.up(in_subnet("10.1.0.0/24", app)).unwrap();
    world.settle();
    let leases = &net(&world, NET).leases;
    let firsts: BTreeSet<IpSubnet> = leases.values().map(|blocks| blocks[0]).collect();
    assert!(firsts.contains(&subnet("10.1.0.72/29")), "{firsts:?}");
    assert!(!firsts.contains(&subnet("10.1.0.64/29")) && !firsts.contains(&subnet("10.1.0.80/29")), "{firsts:?}");
}

#[test]
fn ports_that_orca_chooses_are_free_and_stay() {
    let mut world = World::new(1);
    let any = |target| PortSpec { target, ..port(None) };
    let with = |key: &str, ports: &[PortSpec]| ServiceSpec { ports: ports.to_vec(), ..service(key) };
    let chosen = |world: &World, key: &str| -> Vec<u16> {
        world.service(key).endpoint.ports.iter().map(|port| port.published.unwrap()).collect()
    };
    world.up(stack([with("a", &[port(Some(30_001))]), with("b", &[any(1), any(2)])])).unwrap();
    world.settle();
    assert_eq!((chosen(&world, "a"), chosen(&world, "b")), (vec![30_001], vec![30_000, 30_002]));
    let udp = PortSpec { protocol: Protocol::Udp, ..any(9) };
    world.up(stack([with("b", &[udp, any(2), any(3)])])).unwrap();
    world.settle();
    assert_eq!(chosen(&world, "b"), [30_000, 30_002, 30_003], "udp is apart; the port of target 2 stays");
    world.settle();
    assert_eq!(allocate(&world.state), Vec::<Command>::new());
    let range = |target| PortSpec { choose_from: Some(model::PortRange { first: 8000, last: 8001 }), ..any(target) };
    world.up(stack([with("b", &[range(1), range(2)])])).unwrap();
    world.settle();
    assert_eq!(chosen(&world, "b"), [8000, 8001], "from the range that is asked for");
}

#[test]
fn no_ports_are_left_at_some_point() {
    let mut world = World::new(1);
    let ports = (1..=2_769).map(|target| PortSpec { target, ..port(None) }).collect();
    world.up(stack([ServiceSpec { ports, ..service("web") }])).unwrap();
    world.settle();
    let published: Vec<Option<u16>> = world.service("web").endpoint.ports.iter().map(|port| port.published).collect();
    assert_eq!((published[2_767], published[2_768]), (Some(32_767), None));
}

#[test]
fn both_families_are_allocated_within_what_is_asked_for() {
    let mut world = World::new(2);
    let ipam = Ipam {
        ipv6: true,
        ranges: vec![subnet("10.1.0.128/25")],
        gateways: vec!["10.1.0.129".parse().unwrap()],
        auxiliary: [("router".to_owned(), "10.1.0.130".parse().unwrap())].into(),
        ..Ipam::default()
    };
    let dual = NetworkSpec { ipam, ..network(NET, &["10.1.0.0/24"]) };
    let six = NetworkSpec { ipam: Ipam { no_ipv4: true, ipv6: true, ..Ipam::default() }, ..network("shop_six", &[]) };
    let both = NetworkMode::Networks(vec![on(NET), on("shop_six")]);
    let app = ServiceSpec { network: both, mode: replicas(4), ..service("web") };
    world.up(Stack { networks: vec![dual, six], ..stack([app]) }).unwrap();
    world.converge();
    let dual = net(&world, NET);
    assert_eq!(dual.subnets[0], subnet("10.1.0.0/24"));
    let six = &net(&world, "shop_six").subnets;
    assert_eq!((six.len(), dual.subnets.len()), (1, 2));
    assert!(six[0].prefix() == 64 && six[0].to_string().starts_with("fd") && six[0] != dual.subnets[1]);
    for (node, blocks) in &dual.leases {
        for v4 in [true, false] {
            assert!(blocks.iter().any(|block| block.is_ipv4() == v4), "{node} has {blocks:?}");
        }
        let range = subnet("10.1.0.128/25");
        assert!(blocks.iter().filter(|block| block.is_ipv4()).all(|block| range.contains(block.network())));
    }
    let vips = &world.service("web").endpoint.vips;
    let four: Vec<String> =
        vips.iter().map(|vip| vip.address.to_string()).filter(|address| !address.contains(':')).collect();
    assert_eq!(four, ["10.1.0.131"], "of the range, and nobody else's");
    for network in [net(&world, NET), net(&world, "shop_six")] {
        let six: Vec<IpAddr> = vips
            .iter()
            .filter(|vip| vip.network == network.id && vip.address.is_ipv6())
            .map(|vip| vip.address)
            .collect();
        assert_eq!(six.len(), 1, "one of each network");
        assert!(network.subnets.iter().any(|subnet| subnet.contains(six[0])));
        assert!(!network.leases.values().flatten().any(|block| block.contains(six[0])), "no node's");
    }
    assert_eq!(allocate(&world.state), []);
    // Another wish moves the network.
    let plain = network(NET, &["10.1.0.0/24"]);
    world.up(Stack { networks: vec![plain], ..stack([service("web")]) }).unwrap();
    world.converge();
    assert_eq!(net(&world, NET).subnets.len(), 1);
}

#[test]
fn a_port_without_containers_is_anybodys() {
    let mut world = World::new(1);
    let with = |key: &str, count| ServiceSpec { ports: vec![port(Some(8080))], mode: replicas(count), ..service(key) };
    world.up(stack([with("a", 0), with("b", 1)])).unwrap();
    world.settle();
    assert_eq!((world.service("a").endpoint.ports.len(), world.service("b").endpoint.ports.len()), (0, 1));
    assert!(world.up(stack([with("a", 1), with("b", 1)])).is_err());
    world.up(stack([with("a", 1), with("b", 0)])).unwrap();
    world.settle();
    assert_eq!((world.service("a").endpoint.ports.len(), world.service("b").endpoint.ports.len()), (1, 0));
}

#[test]
fn a_users_subnet_has_room_for_two_dozen_nodes() {
    let mut world = World::new(24);
    let web = ServiceSpec { mode: replicas(24), ..service("web") };
    world.up(in_subnet("10.1.0.0/24", [web])).unwrap();
    world.converge();
    assert_eq!(net(&world, NET).leases.len(), 24);
    assert!(world.tasks("web").iter().all(|task| task.node.is_some()));
}
