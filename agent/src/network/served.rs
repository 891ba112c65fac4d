//! A network as containers of this node are on it, whoever made it. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{IpSubnet, LocalNetwork, NetworkAssignment, NetworkId};
use net::plan::NetworkPlan;

use super::ipam;
use crate::addresses;

/// A network that containers of this node may be on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Which.
    pub id: NetworkId,
    /// Its name.
    pub name: String,
    /// Its subnets.
    pub subnets: Vec<IpSubnet>,
    /// The parts whose addresses this node gives out.
    pub blocks: Vec<IpSubnet>,
    /// The node's own address there.
    pub gateway: Option<IpAddr>,
    /// Addresses that are not given out.
    pub reserved: BTreeSet<IpAddr>,
    /// Addresses that services claim: given out to them alone.
    pub fixed: Vec<IpAddr>,
    /// No way out.
    pub internal: bool,
    /// Standalone containers may join.
    pub attachable: bool,
    /// The largest packet.
    pub mtu: Option<u32>,
}

impl From<&NetworkAssignment> for Served {
    fn from(network: &NetworkAssignment) -> Self {
        let NetworkAssignment { id, name, subnets, blocks, internal, attachable, fixed } = network.clone();
        let gateway = addresses::gateway(&subnets, &blocks);
        let reserved = gateway.into_iter().collect();
        Self { id, name, subnets, blocks, gateway, reserved, fixed, internal, attachable, mtu: None }
    }
}

impl From<&LocalNetwork> for Served {
    fn from(network: &LocalNetwork) -> Self {
        let LocalNetwork { id, name, options, internal, pools, .. } = network;
        let taken =
            |pool: &model::AddressRange| pool.auxiliary.values().copied().chain([pool.gateway]).collect::<Vec<_>>();
        Self {
            id: *id,
            name: name.clone(),
            subnets: pools.iter().map(|pool| pool.subnet).collect(),
            blocks: pools.iter().map(|pool| pool.range.unwrap_or(pool.subnet)).collect(),
            gateway: pools.iter().map(|pool| pool.gateway).find(IpAddr::is_ipv4),
            reserved: pools.iter().flat_map(taken).collect(),
            fixed: Vec::new(),
            internal: *internal,
            attachable: true,
            mtu: options.get(ipam::MTU).and_then(|value| ipam::mtu(value)),
        }
    }
}

impl Served {
    /// As the node's plan has it; `None` if it has no IPv4 subnet or no block for this node.
    pub fn plan(&self) -> Option<NetworkPlan> {
        let subnet = self.subnets.iter().find(|subnet| subnet.is_ipv4())?;
        let Some(IpAddr::V4(gateway)) = self.gateway else { return None };
        Some(NetworkPlan {
            id: self.id,
            name: self.name.clone(),
            subnet: *subnet,
            gateway,
            subnet6: None,
            internal: self.internal,
            mtu: self.mtu,
        })
    }
}
