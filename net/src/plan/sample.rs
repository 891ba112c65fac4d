//! Plans for tests.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use model::{ContainerId, NetworkId, NodeId, Protocol};
use proptest::prelude::*;

use super::*;

/// Subnet `10.N.0.0/24` with gateway `10.N.0.G`.
fn side(n: u8, gateway: u8) -> SubnetPlan {
    SubnetPlan { subnet: format!("10.{n}.0.0/24").parse().unwrap(), gateway: Ipv4Addr::new(10, n, 0, gateway).into() }
}

/// Subnet `fd00:N::/64` with gateway `fd00:N::G`.
fn side6(n: u8, gateway: u16) -> SubnetPlan {
    SubnetPlan {
        subnet: format!("fd00:{n}::/64").parse().unwrap(),
        gateway: Ipv6Addr::new(0xfd00, n.into(), 0, 0, 0, 0, 0, gateway).into(),
    }
}

/// A network `10.N.0.0/24` with gateway `10.N.0.1`.
pub(crate) fn network(n: u8, internal: bool) -> NetworkPlan {
    NetworkPlan {
        id: NetworkId::from_random(n.into()),
        name: format!("net{n}"),
        subnets: vec![side(n, 1)],
        internal,
        mtu: None,
        link: model::Link::Routed,
        apart: false,
        own_source: false,
    }
}

/// Container `c` on network `n` with address `10.N.0.C`.
pub(crate) fn attachment(c: u8, n: u8, interface: &str) -> AttachmentPlan {
    AttachmentPlan {
        container: ContainerId::from_random([c; 32]),
        netns: PathBuf::from(format!("/nonexistent/netns/{c}")),
        network: NetworkId::from_random(n.into()),
        interface: interface.into(),
        addresses: vec![Ipv4Addr::new(10, n, 0, c).into()],
        mac: None,
        link_local: Vec::new(),
        sysctls: BTreeMap::new(),
        ways_out: if interface == "eth0" { Family::ALL.to_vec() } else { Vec::new() },
    }
}

/// Two networks, one internal; three containers, one of them on both; a VIP each with and without backends; published
/// tcp and udp ports, one on one address only, one without backends.
pub(crate) fn plan() -> NodePlan {
    let backend = |c, port| SocketAddr::new(Ipv4Addr::new(10, 1, 0, c).into(), port);
    let port = |protocol, published, host_ip: Option<&str>, backends| PortPlan {
        protocol,
        published,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        backends,
        snat: false,
    };
    NodePlan {
        node_key: NodeKey::of(NodeId::from_random(1)),
        networks: vec![network(1, false), network(2, true)],
        attachments: vec![
            attachment(5, 1, "eth0"),
            attachment(6, 1, "eth0"),
            attachment(6, 2, "eth1"),
            attachment(7, 2, "eth0"),
        ],
        vips: vec![
            VipPlan {
                network: NetworkId::from_random(1),
                address: Ipv4Addr::new(10, 1, 0, 2).into(),
                backends: vec![Ipv4Addr::new(10, 1, 0, 5).into(), Ipv4Addr::new(10, 1, 0, 6).into()],
            },
            VipPlan {
                network: NetworkId::from_random(2),
                address: Ipv4Addr::new(10, 2, 0, 2).into(),
                backends: vec![],
            },
        ],
        ports: vec![
            port(Protocol::Tcp, 8080, None, vec![backend(5, 80), backend(6, 80)]),
            port(Protocol::Udp, 5353, Some("192.0.2.1"), vec![backend(5, 53)]),
            port(Protocol::Tcp, 8443, None, vec![]),
        ],
        mesh: None,
    }
}

/// The sample on a node that is not alone: one peer has a part of the first network, and an address in between.
pub(crate) fn mesh_plan() -> NodePlan {
    let mut plan = dual_plan();
    plan.mesh = Some(mesh(&plan, 1));
    plan
}

fn mesh(plan: &NodePlan, n: u8) -> MeshPlan {
    let foreign: Vec<IpSubnet> = [format!("10.{n}.0.64/26"), format!("10.{n}.0.9/32"), format!("fd00:{n}:0:0:1::/80")]
        .map(|prefix| prefix.parse().unwrap())
        .into();
    let peer = crate::peers::Peer {
        node: NodeId::from_random(2),
        key: model::MeshKey::new([2; 32]),
        endpoint: "192.0.2.2:2378".parse().unwrap(),
        prefixes: foreign.iter().copied().collect(),
        zone: Zone::NONE,
    };
    let mesh = Mesh { device: plan.node_key.mesh(), port: 2378, mtu: 1420, peers: vec![peer], ingress: None };
    MeshPlan { mesh, foreign: [(NetworkId::from_random(n.into()), foreign)].into(), crossing: Crossing::default() }
}

/// The same where clients of published ports cross between the two, one of which is hidden.
pub(crate) fn crossing_plan() -> NodePlan {
    let mut plan = mesh_plan();
    cross(&mut plan);
    plan.ports[0]
        .backends
        .extend(["10.1.0.70:80".parse::<SocketAddr>().unwrap(), "[fd00:1:0:0:1::5]:80".parse().unwrap()]);
    let port = PortPlan {
        published: 8090,
        backends: vec!["10.9.0.70:80".parse().unwrap()],
        snat: true,
        ..plan.ports[2].clone()
    };
    plan.ports.push(port);
    plan
}

/// Has clients cross to and from the one peer.
fn cross(plan: &mut NodePlan) {
    let ingress = plan.node_key.ingress();
    let Some(MeshPlan { mesh, crossing, .. }) = &mut plan.mesh else { return };
    mesh.ingress = Some(crate::peers::Ingress { device: ingress, node: NodeId::from_random(1) });
    let zones = crate::peers::zones(mesh.peers.iter().map(|peer| peer.node));
    for peer in &mut mesh.peers {
        peer.zone = zones[&peer.node];
        for address in ["10.1.0.70", "10.9.0.70", "fd00:1:0:0:1::5"] {
            crossing.away.insert(address.parse().unwrap(), peer.zone);
        }
    }
    crossing.here =
        [("10.1.0.5".parse().unwrap(), Protocol::Tcp, 80), ("fd00:1::5".parse().unwrap(), Protocol::Tcp, 80)].into();
}

/// The sample with IPv6 on its first network, a published port on an IPv6 address, and a network that has IPv6 alone.
pub(crate) fn dual_plan() -> NodePlan {
    let mut plan = plan();
    plan.networks[0].subnets.push(side6(1, 1));
    plan.networks.push(NetworkPlan { subnets: vec![side6(4, 1)], ..network(4, true) });
    plan.attachments.push(attachment(8, 4, "eth0"));
    for attachment in &mut plan.attachments {
        let n = if attachment.network == NetworkId::from_random(1) { 1 } else { 4 };
        let c = u16::from(attachment.container.to_string().as_bytes()[1] - b'0');
        let address = IpAddr::from(Ipv6Addr::new(0xfd00, n, 0, 0, 0, 0, 0, c));
        match attachment.network {
            id if id == NetworkId::from_random(1) => attachment.addresses.push(address),
            id if id == NetworkId::from_random(4) => attachment.addresses = vec![address],
            _ => {}
        }
    }
    let backend = SocketAddr::new("fd00:1::5".parse().unwrap(), 80);
    plan.ports[0].backends.push(backend);
    plan.ports.push(PortPlan {
        protocol: Protocol::Tcp,
        published: 8081,
        host_ip: Some("2001:db8::1".parse().unwrap()),
        backends: vec![backend],
        snat: false,
    });
    plan
}

/// Plans of a few networks and containers, all of one node.
pub(crate) fn small_plans() -> impl Strategy<Value = NodePlan> {
    let networks = proptest::collection::btree_set(1u8..6, 0..4);
    (
        networks,
        proptest::collection::btree_set((5u8..9, 1u8..6), 0..8),
        1u8..4,
        proptest::option::of((1u8..6, any::<bool>())),
    )
        .prop_map(|(networks, members, gateway, meshed)| {
            let attachments: Vec<_> = members
                .into_iter()
                .filter(|(_, n)| networks.contains(n))
                .map(|(c, n)| AttachmentPlan { addresses: Vec::new(), ..attachment(c, n, &format!("eth{n}")) })
                .collect();
            let networks = networks
                .into_iter()
                // Every third has both families, every fifth IPv6 alone.
                .map(|n| {
                    let sides = match n {
                        5 => vec![side6(n, gateway.into())],
                        3 => vec![side(n, gateway), side6(n, gateway.into())],
                        _ => vec![side(n, gateway)],
                    };
                    let link = match n {
                        2 => Link::Bridge { name: None },
                        4 => Link::Macvlan { parent: "eth0.4".into(), mode: model::MacvlanMode::Bridge },
                        _ => Link::Routed,
                    };
                    NetworkPlan { subnets: sides, link, ..network(n, n % 2 == 0) }
                });
            let mut plan = NodePlan {
                networks: networks.collect(),
                attachments,
                ..NodePlan::empty(NodeKey::of(NodeId::from_random(1)))
            };
            plan.mesh = meshed.map(|(n, _)| mesh(&plan, n));
            if meshed.is_some_and(|(_, crosses)| crosses) {
                cross(&mut plan);
            }
            plan
        })
}
