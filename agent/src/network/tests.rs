use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use model::{
    Assignments, Attachment, Backend, ContainerId, EndpointMode, EndpointNetwork, NetworkAssignment, NetworkId, NodeId,
    PortSpec, Protocol, PublishMode, ServiceEndpoint, ServiceId, StackMember, TaskId,
};
use net::plan::{Family, NodeKey, NodePlan};
use net::resolve::{Kind, Outcome, lookup};

use super::plan::{Active, Inputs, On, interfaces, names, plan, ports_clash};

fn network(n: u8, internal: bool) -> NetworkAssignment {
    NetworkAssignment {
        id: NetworkId::from_random(n.into()),
        name: format!("net{n}"),
        subnets: vec![format!("10.{n}.0.0/24").parse().unwrap()],
        blocks: vec![format!("10.{n}.0.64/26").parse().unwrap()],
        internal,
        attachable: true,
        fixed: Vec::new(),
        driver: String::new(),
        options: BTreeMap::new(),
        gateways: Vec::new(),
        reserved: Vec::new(),
        foreign: BTreeMap::new(),
    }
}

fn address(n: u8, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, n, 0, last)
}

fn active(name: &str, networks: &[(u8, u8)]) -> Active {
    let devices = interfaces(&vec![None; networks.len()]);
    let attach = |((n, last), interface): (&(u8, u8), String)| On {
        network: NetworkId::from_random((*n).into()),
        addresses: vec![address(*n, *last).into()],
        aliases: vec![format!("{name}-alias")],
        links: BTreeMap::new(),
        mac: model::MacAddress::of(address(*n, *last).into()),
        interface,
        link_local: Vec::new(),
        sysctls: BTreeMap::new(),
    };
    Active {
        name: name.into(),
        task: None,
        service: None,
        generation: 1,
        netns: format!("/run/netns/{name}").into(),
        ready: true,
        attachments: networks.iter().zip(devices).map(attach).collect(),
        ports: Vec::new(),
        dns: Vec::new(),
    }
}

fn port(published: u16, mode: PublishMode) -> PortSpec {
    PortSpec { host_ip: None, published: Some(published), target: 80, protocol: Protocol::Tcp, mode, choose_from: None }
}

fn backend(n: u8, node: u8, last: u8, serves: bool) -> Backend {
    Backend {
        task: TaskId::from_random(last.into()),
        name: format!("web-{last}"),
        node: NodeId::from_random(node.into()),
        attachments: vec![Attachment {
            network: NetworkId::from_random(n.into()),
            addresses: vec![address(n, last).into()],
        }],
        serves,
    }
}

fn endpoint(mode: EndpointMode, ports: Vec<PortSpec>) -> ServiceEndpoint {
    let vips = if mode == EndpointMode::Vip { vec![IpAddr::from(address(1, 2))] } else { Vec::new() };
    ServiceEndpoint {
        service: ServiceId::from_random(1),
        name: "shop-web".into(),
        stack: Some(StackMember { stack: "shop".into(), key: "web".into() }),
        mode,
        networks: vec![EndpointNetwork {
            network: NetworkId::from_random(1),
            vips,
            aliases: vec!["www".into()],
            internal: false,
            elsewhere: false,
        }],
        ports,
        backends: vec![backend(1, 1, 65, true), backend(1, 2, 66, true), backend(1, 1, 67, false)],
    }
}

/// Network 1 is open, network 2 internal; one standalone container on both, and the service's.
fn with<T>(endpoint: ServiceEndpoint, mut container: Active, look: impl Fn(&Inputs<'_>) -> T) -> T {
    let node = NodeId::from_random(1);
    let networks = [network(1, false), network(2, true)];
    let assigned = Assignments {
        networks: networks.into_iter().map(|network| (network.id, network)).collect(),
        endpoints: BTreeMap::from([(endpoint.service, endpoint)]),
        ..Assignments::default()
    };
    container.ready = true;
    let active = BTreeMap::from([(ContainerId::from_random([9; 32]), container)]);
    let bridge = network(200, false);
    let (key, own) = (NodeKey::of(node), BTreeMap::new());
    let (own, active, mtu) = (&own, &active, 1420);
    let inputs = Inputs { node, key: &key, bridge: &bridge, own, assigned: &assigned, active, mtu };
    look(&inputs)
}

#[test]
fn the_plan_is_valid_and_the_way_out_is_the_first_open_network() {
    let plan = with(endpoint(EndpointMode::Vip, vec![]), active("tool", &[(2, 70), (1, 70)]), plan);
    plan.validate().unwrap();
    assert_eq!(plan.networks.len(), 2, "the node's own network is not needed");
    assert_eq!(plan.networks[0].subnets[0].gateway, address(1, 64));
    let interfaces: Vec<_> =
        plan.attachments.iter().map(|a| (a.interface.as_str(), a.ways_out == Family::ALL[..1])).collect();
    assert_eq!(interfaces, [("eth0", false), ("eth1", true)]);
    assert_eq!(plan.vips[0].backends, [address(1, 65), address(1, 66)]);
}

#[test]
fn devices_keep_their_names_and_others_fill_the_gaps() {
    let given = |names: &[&str]| {
        let given: Vec<_> = names.iter().map(|name| (!name.is_empty()).then(|| (*name).to_owned())).collect();
        interfaces(&given)
    };
    assert_eq!(given(&["", ""]), ["eth0", "eth1"]);
    assert_eq!(given(&["", "eth0", "", "lan"]), ["eth1", "eth0", "eth2", "lan"]);
}

#[test]
fn published_ports_lead_to_who_serves() {
    let ports = vec![port(80, PublishMode::Ingress), port(81, PublishMode::Host), port(8080, PublishMode::Ingress)];
    let mut tool = active("tool", &[(2, 70), (1, 70)]);
    tool.ports = vec![port(8080, PublishMode::Host)];
    let plan = with(endpoint(EndpointMode::Vip, ports), tool, plan);
    plan.validate().unwrap();
    let backends = |published| {
        let port = plan.ports.iter().find(|port| port.published == published).unwrap();
        port.backends.iter().map(|backend| backend.ip()).collect::<Vec<_>>()
    };
    assert_eq!(backends(80), [address(1, 65)], "there is no way to the other node");
    assert_eq!(backends(81), [address(1, 65)], "only this node's");
    assert_eq!(backends(8080), [address(1, 70)], "who has a port keeps it");
}

#[test]
fn published_ports_lead_to_other_nodes_where_there_is_a_way() {
    let mut endpoint = endpoint(EndpointMode::Vip, vec![port(80, PublishMode::Ingress), port(81, PublishMode::Host)]);
    // A task here that drains, one there on a network that is not served here, besides an internal one.
    let strange = NetworkId::from_random(7);
    let [internal, beside] = [2, 7].map(|n| backend(n, 2, 80, true).attachments.remove(0));
    endpoint.backends.push(Backend { attachments: vec![internal, beside], ..backend(7, 2, 80, true) });
    for (network, internal) in [(NetworkId::from_random(2), true), (strange, false)] {
        endpoint.networks.push(EndpointNetwork { network, vips: vec![], aliases: vec![], internal, elsewhere: false });
    }
    let node = NodeId::from_random(1);
    let (key, own, bridge) = (NodeKey::of(node), BTreeMap::new(), network(200, false));
    let end =
        model::MeshEnd { key: model::MeshKey::new([2; 32]), address: [192, 0, 2, 2].into(), port: 2378, images: None };
    let other = NodeId::from_random(2);
    let networks = [network(1, false), network(2, true)];
    let mut assigned = Assignments {
        networks: networks.into_iter().map(|network| (network.id, network)).collect(),
        endpoints: BTreeMap::from([(endpoint.service, endpoint)]),
        peers: BTreeMap::from([(other, end)]),
        data_path_port: Some(2378),
        ..Assignments::default()
    };
    let active = BTreeMap::new();
    let look = |assigned: &Assignments| {
        let (own, active, mtu) = (&own, &active, 1420);
        plan(&Inputs { node, key: &key, bridge: &bridge, own, assigned, active, mtu })
    };
    let plan = look(&assigned);
    plan.validate().unwrap();
    let backends = |plan: &NodePlan, published| {
        let port = plan.ports.iter().find(|port| port.published == published);
        port.map(|port| port.backends.iter().map(|backend| backend.ip()).collect::<Vec<_>>())
    };
    assert_eq!(backends(&plan, 80), Some([address(1, 65), address(1, 66), address(7, 80)].map(IpAddr::from).into()));
    assert_eq!(backends(&plan, 81), Some(vec![address(1, 65).into()]));
    let mesh = plan.mesh.unwrap();
    let away: Vec<_> = mesh.crossing.away.keys().copied().collect();
    assert_eq!(away, [address(1, 66), address(7, 80)]);
    assert!(mesh.crossing.away.values().all(|zone| *zone == mesh.mesh.peers[0].zone));
    let here: Vec<_> = mesh.crossing.here.iter().map(|(address, _, port)| (*address, *port)).collect();
    assert_eq!(here, [(IpAddr::from(address(1, 65)), 80), (IpAddr::from(address(1, 67)), 80)], "who drains, too");
    // A port of the tasks' own nodes is on no other.
    for endpoint in assigned.endpoints.values_mut() {
        endpoint.backends.retain(|backend| backend.node == other);
    }
    assert_eq!(backends(&look(&assigned), 81), None);
}

#[test]
fn each_family_has_its_own_way_out_targets_and_names() {
    let six = |n: u8| IpAddr::from([0xfd00, n.into(), 0, 0, 0, 0, 0, 9]);
    let mut tool = active("tool", &[(1, 70), (2, 70)]);
    tool.attachments[1].addresses.push(six(2));
    let on = |host_ip: Option<&str>, published| PortSpec {
        host_ip: host_ip.map(|text| text.parse().unwrap()),
        ..port(published, PublishMode::Host)
    };
    tool.ports = vec![on(None, 1000), on(Some("0.0.0.0"), 1001), on(Some("::"), 1002), on(Some("::1"), 1003)];
    let inputs = |look: fn(&Inputs<'_>) -> NodePlan| {
        let node = NodeId::from_random(1);
        let (key, own, bridge) = (NodeKey::of(node), BTreeMap::new(), network(200, false));
        let mut assigned = Assignments::default();
        for n in [1, 2] {
            let mut network = network(n, false);
            if n == 2 {
                network.subnets.push("fd00:2::/64".parse().unwrap());
                network.blocks.push("fd00:2::/72".parse().unwrap());
            }
            assigned.networks.insert(network.id, network);
        }
        let active = BTreeMap::from([(ContainerId::from_random([9; 32]), Active { ready: true, ..tool.clone() })]);
        let (own, active, mtu) = (&own, &active, 1420);
        let inputs = Inputs { node, key: &key, bridge: &bridge, own, assigned: &assigned, active, mtu };
        let tables = names(&inputs);
        let asker = ContainerId::from_random([9; 32]);
        assert_eq!(lookup(&tables, asker, "tool", Kind::Aaaa, 0), Outcome::Addresses(vec![six(2)]));
        look(&inputs)
    };
    let plan = inputs(plan);
    plan.validate().unwrap();
    let ways: Vec<_> = plan.attachments.iter().map(|attachment| attachment.ways_out.clone()).collect();
    assert_eq!(ways, [vec![Family::V4], vec![Family::V6]]);
    let targets: Vec<Vec<IpAddr>> =
        plan.ports.iter().map(|port| port.backends.iter().map(|backend| backend.ip()).collect()).collect();
    let four = IpAddr::from(address(1, 70));
    assert_eq!(targets, [vec![four, six(2)], vec![four], vec![six(2)], vec![six(2)]]);
}

#[test]
fn names_mean_what_the_asker_may_know() {
    let asker = ContainerId::from_random([9; 32]);
    let ask = |mode, networks: &[(u8, u8)], name: &str| {
        let tables = with(endpoint(mode, vec![]), active("tool", networks), names);
        lookup(&tables, asker, name, Kind::A, 0)
    };
    let found = |addresses: &[Ipv4Addr]| Outcome::Addresses(addresses.iter().copied().map(IpAddr::V4).collect());
    for name in ["web", "shop-web", "www", "WEB.net1"] {
        assert_eq!(ask(EndpointMode::Vip, &[(1, 70)], name), found(&[address(1, 2)]), "{name}");
    }
    assert_eq!(ask(EndpointMode::Dnsrr, &[(1, 70)], "web"), found(&[address(1, 65), address(1, 66)]));
    let tasks = [address(1, 65), address(1, 66), address(1, 67)];
    assert_eq!(ask(EndpointMode::Vip, &[(1, 70)], "tasks.web"), found(&tasks));
    assert_eq!(ask(EndpointMode::Vip, &[(1, 70)], "web-67"), found(&[address(1, 67)]));
    assert_eq!(ask(EndpointMode::Vip, &[(1, 70)], "tool-alias"), found(&[address(1, 70)]));
    assert_eq!(ask(EndpointMode::Vip, &[(1, 70)], "example.com"), Outcome::Forward);
    assert_eq!(ask(EndpointMode::Vip, &[(2, 70)], "web"), Outcome::NxDomain, "internal, and another network's name");
}

#[test]
fn ports_clash_unless_addresses_differ() {
    let on = |host_ip: Option<&str>, published| PortSpec {
        host_ip: host_ip.map(|text| text.parse().unwrap()),
        ..port(published, PublishMode::Host)
    };
    assert!(ports_clash(&on(None, 80), &on(Some("10.0.0.1"), 80)));
    assert!(ports_clash(&on(Some("0.0.0.0"), 80), &on(Some("10.0.0.1"), 80)));
    assert!(!ports_clash(&on(Some("10.0.0.2"), 80), &on(Some("10.0.0.1"), 80)));
    assert!(!ports_clash(&on(None, 80), &on(None, 81)));
    assert!(!ports_clash(&on(Some("0.0.0.0"), 80), &on(Some("::"), 80)), "one each");
    assert!(ports_clash(&on(Some("::"), 80), &on(Some("::1"), 80)));
    assert!(ports_clash(&on(None, 80), &on(Some("::1"), 80)));
    let udp = PortSpec { protocol: Protocol::Udp, ..on(None, 80) };
    assert!(!ports_clash(&on(None, 80), &udp));
}
