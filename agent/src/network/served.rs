//! A network as containers of this node are on it, whoever made it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IpSubnet, LinkOptions, LocalNetwork, NetworkAssignment, NetworkId};
use net::plan::{Family, NetworkPlan, SubnetPlan};

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
    /// How its containers are linked.
    pub link: LinkOptions,
}

impl From<&NetworkAssignment> for Served {
    fn from(network: &NetworkAssignment) -> Self {
        let NetworkAssignment {
            id,
            name,
            subnets,
            blocks,
            internal,
            attachable,
            fixed,
            driver,
            options,
            gateways: given,
            reserved,
            foreign: _,
        } = network.clone();
        let mut reserved: BTreeSet<IpAddr> = reserved.into_iter().collect();
        let gateway = |subnet: &IpSubnet| {
            let given = given.iter().copied().find(|gateway| subnet.contains(*gateway));
            given.or_else(|| addresses::gateway(*subnet, &blocks, &reserved))
        };
        let gateways: Vec<_> = subnets.iter().filter_map(gateway).collect();
        reserved.extend(gateways.iter().copied());
        let link = link_options(&driver, &options);
        Self { id, name, subnets, blocks, gateways, reserved, fixed, internal, attachable, link }
    }
}

impl From<&LocalNetwork> for Served {
    fn from(network: &LocalNetwork) -> Self {
        let LocalNetwork { id, name, driver, options, internal, pools, .. } = network;
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
            link: link_options(driver, options),
        }
    }
}

/// Options were checked when the network was made; a network of a later release may have others.
fn link_options(driver: &str, options: &BTreeMap<String, String>) -> LinkOptions {
    LinkOptions::parse(driver, options).unwrap_or_default()
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
            mtu: self.link.mtu,
            link: self.link.link.clone(),
            apart: self.link.apart,
            own_source: self.link.own_source,
        })
    }
}
