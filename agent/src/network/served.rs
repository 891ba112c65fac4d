//! A network as containers of this node are on it, whoever made it. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{IpSubnet, LocalNetwork, NetworkAssignment, NetworkId};
use net::plan::{Family, NetworkPlan, SubnetPlan};

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
    /// The node's own address in each of them.
    pub gateways: Vec<IpAddr>,
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
        let gateways: Vec<_> = subnets.iter().filter_map(|subnet| addresses::gateway(*subnet, &blocks)).collect();
        let reserved = gateways.iter().copied().collect();
        Self { id, name, subnets, blocks, gateways, reserved, fixed, internal, attachable, mtu: None }
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
            gateways: pools.iter().map(|pool| pool.gateway).collect(),
            reserved: pools.iter().flat_map(taken).collect(),
            fixed: Vec::new(),
            internal: *internal,
            attachable: true,
            mtu: options.get(ipam::MTU).and_then(|value| ipam::mtu(value)),
        }
    }
}

impl Served {
    /// Its subnet of a family with what of its blocks lies in it.
    pub fn side(&self, family: Family) -> Option<(IpSubnet, Vec<IpSubnet>)> {
        let subnet = *self.subnets.iter().find(|subnet| family.has(subnet))?;
        Some((subnet, self.blocks.iter().filter(|block| subnet.contains(block.network())).copied().collect()))
    }

    /// As the node's plan has it; `None` if it has no subnet, or no block for this node.
    pub fn plan(&self) -> Option<NetworkPlan> {
        let side = |subnet: &IpSubnet| {
            let gateway = *self.gateways.iter().find(|gateway| subnet.contains(**gateway))?;
            Some(SubnetPlan { subnet: *subnet, gateway })
        };
        let subnets: Vec<_> = self.subnets.iter().filter_map(side).collect();
        (!subnets.is_empty()).then(|| NetworkPlan {
            id: self.id,
            name: self.name.clone(),
            subnets,
            internal: self.internal,
            mtu: self.mtu,
        })
    }
}
