//! Plans for tests.

use std::net::{Ipv4Addr, SocketAddrV4};

use model::{ContainerId, NetworkId, NodeId, Protocol};
use proptest::prelude::*;

use super::*;

/// A network `10.N.0.0/24` with gateway `10.N.0.1`.
pub(crate) fn network(n: u8, internal: bool) -> NetworkPlan {
    NetworkPlan {
        id: NetworkId::from_random(n.into()),
        name: format!("net{n}"),
        subnet: format!("10.{n}.0.0/24").parse().unwrap(),
        gateway: Ipv4Addr::new(10, n, 0, 1),
        subnet6: None,
        internal,
        mtu: None,
    }
}

/// Container `c` on network `n` with address `10.N.0.C`.
pub(crate) fn attachment(c: u8, n: u8, interface: &str) -> AttachmentPlan {
    AttachmentPlan {
        container: ContainerId::from_random([c; 32]),
        netns: PathBuf::from(format!("/nonexistent/netns/{c}")),
        network: NetworkId::from_random(n.into()),
        interface: interface.into(),
        address: Ipv4Addr::new(10, n, 0, c),
        address6: None,
        mac: None,
        default_route: interface == "eth0",
    }
}

/// Two networks, one internal; three containers, one of them on both; a VIP each with and without backends; published
/// tcp and udp ports, one on one address only, one without backends.
pub(crate) fn plan() -> NodePlan {
    let backend = |c, port| SocketAddrV4::new(Ipv4Addr::new(10, 1, 0, c), port);
    let port = |protocol, published, host_ip: Option<&str>, backends| PortPlan {
        protocol,
        published,
        host_ip: host_ip.map(|ip| ip.parse().unwrap()),
        backends,
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
                address: Ipv4Addr::new(10, 1, 0, 2),
                backends: vec![Ipv4Addr::new(10, 1, 0, 5), Ipv4Addr::new(10, 1, 0, 6)],
            },
            VipPlan { network: NetworkId::from_random(2), address: Ipv4Addr::new(10, 2, 0, 2), backends: vec![] },
        ],
        ports: vec![
            port(Protocol::Tcp, 8080, None, vec![backend(5, 80), backend(6, 80)]),
            port(Protocol::Udp, 5353, Some("192.0.2.1"), vec![backend(5, 53)]),
            port(Protocol::Tcp, 8443, None, vec![]),
        ],
    }
}

/// Plans of a few networks and containers, all of one node.
pub(crate) fn small_plans() -> impl Strategy<Value = NodePlan> {
    let networks = proptest::collection::btree_set(1u8..6, 0..4);
    (networks, proptest::collection::btree_set((5u8..9, 1u8..6), 0..8), 1u8..4).prop_map(
        |(networks, members, gateway)| {
            let attachments: Vec<_> = members
                .into_iter()
                .filter(|(_, n)| networks.contains(n))
                .map(|(c, n)| attachment(c, n, &format!("eth{n}")))
                .collect();
            let networks = networks
                .into_iter()
                .map(|n| NetworkPlan { gateway: Ipv4Addr::new(10, n, 0, gateway), ..network(n, n % 2 == 0) });
            NodePlan {
                networks: networks.collect(),
                attachments,
                ..NodePlan::empty(NodeKey::of(NodeId::from_random(1)))
            }
        },
    )
}
