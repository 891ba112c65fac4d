//! What to do so that devices, addresses and routes are as planned.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use model::{IpSubnet, Link};

use super::{AttachmentPlan, Family, MeshPlan, NetworkPlan, NodePlan, VipPlan};
use crate::peers::Zone;

/// What the kernel has that carries this node's key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// Host sides of veth pairs whose names begin with this node's prefix.
    pub devices: BTreeSet<String>,
    /// Devices of VLANs that this node made.
    pub vlans: BTreeSet<String>,
    /// Addresses on the loopback device that are this node's.
    pub loopback: BTreeSet<IpAddr>,
    /// Routes of whole subnets to the loopback device, with their source addresses.
    pub subnets: BTreeMap<IpSubnet, IpAddr>,
    /// Routes to other nodes, with their source addresses.
    pub foreign: BTreeMap<IpSubnet, IpAddr>,
    /// Other nodes to which routes are chosen by mark.
    pub ways: BTreeSet<Zone>,
}

impl Observed {
    /// What the kernel has when everything is as planned. Of the devices that macvlan networks lie on, which may be the host's,
    /// those that are in `made` are Orca's.
    pub fn of(plan: &NodePlan, made: &BTreeSet<String>) -> Self {
        let (devices, parents) = devices(plan);
        let vlans = made.intersection(&parents).cloned().collect();
        let (subnets, foreign) = (subnets(plan), foreign(plan));
        Self { devices, vlans, loopback: addresses(plan), subnets, foreign, ways: ways(plan) }
    }
}

/// One change to devices, addresses or routes. Carrying one out twice does no harm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Delete a veth pair, and with it its routes.
    RemoveDevice(String),
    /// Delete a subnet's route.
    RemoveSubnet(IpSubnet),
    /// Delete an address of the loopback device.
    RemoveAddress(IpAddr),
    /// Add an address to the loopback device.
    AddAddress(IpAddr),
    /// Route a subnet to the loopback device, so that the host's own packets to virtual addresses have somewhere to
    /// go, and packets to addresses that nobody has never leave by the default route. IPv6 has no such routes: there
    /// the subnet is unreachable but for the addresses that containers have, and each virtual address is the host's own.
    AddSubnet {
        /// The subnet.
        subnet: IpSubnet,
        /// The host's address in it.
        source: IpAddr,
    },
    /// Delete a route to another node.
    RemoveForeign(IpSubnet),
    /// Make the device of the mesh, or adopt it.
    Mesh {
        /// Its name.
        device: String,
        /// Largest packet in bytes.
        mtu: u32,
    },
    /// Choose no route by this mark any more.
    RemoveWay(Zone),
    /// Make the device by which clients of published ports cross, or adopt it, and the ways that marks choose.
    Ingress {
        /// Its name.
        device: String,
        /// Largest packet in bytes.
        mtu: u32,
        /// Where to.
        ways: BTreeSet<Zone>,
    },
    /// Route what is at another node to the device of the mesh.
    AddForeign {
        /// Which addresses.
        prefix: IpSubnet,
        /// The host's address in their network.
        source: IpAddr,
        /// The device.
        device: String,
    },
    /// Make what a network's containers are linked by, or adopt it: its bridge device, or the device of its VLAN.
    Link(Box<NetworkPlan>),
    /// Create a veth pair, or adopt the one that is there, and set up both sides.
    Attach {
        /// Which container, where.
        attachment: Box<AttachmentPlan>,
        /// On which network.
        network: Box<NetworkPlan>,
        /// Whether the device was there.
        adopt: bool,
    },
}

/// What turns `observed` into `desired`, in the order in which to do it: what is stale goes first, so that its names
/// and addresses are free.
pub fn diff(observed: &Observed, desired: &NodePlan) -> Vec<Action> {
    let (devices, vlans) = devices(desired);
    let (subnets, addresses, foreign) = (subnets(desired), addresses(desired), foreign(desired));

    let mut actions = Vec::new();
    actions.extend(observed.devices.difference(&devices).cloned().map(Action::RemoveDevice));
    actions.extend(observed.vlans.difference(&vlans).cloned().map(Action::RemoveDevice));
    let stale = |(prefix, source): &(&IpSubnet, &IpAddr)| foreign.get(prefix) != Some(*source);
    // Those of a device that goes, go with it.
    let gone = observed.foreign.iter().filter(stale).filter(|_| desired.mesh.is_some());
    actions.extend(gone.map(|(prefix, _)| Action::RemoveForeign(*prefix)));
    let ways = ways(desired);
    actions.extend(observed.ways.difference(&ways).copied().map(Action::RemoveWay));
    let stale_route = |(subnet, source): &(&IpSubnet, &IpAddr)| subnets.get(subnet) != Some(*source);
    actions.extend(observed.subnets.iter().filter(stale_route).map(|(subnet, _)| Action::RemoveSubnet(*subnet)));
    actions.extend(observed.loopback.difference(&addresses).copied().map(Action::RemoveAddress));
    actions.extend(addresses.difference(&observed.loopback).copied().map(Action::AddAddress));
    let missing_route = |(subnet, source): &(&IpSubnet, &IpAddr)| observed.subnets.get(subnet) != Some(*source);
    actions.extend(subnets.iter().filter(missing_route).map(|(&subnet, &source)| Action::AddSubnet { subnet, source }));
    if let Some(MeshPlan { mesh, .. }) = &desired.mesh {
        actions.push(Action::Mesh { device: mesh.device.clone(), mtu: mesh.mtu });
        if let Some(ingress) = &mesh.ingress {
            actions.push(Action::Ingress { device: ingress.device.clone(), mtu: mesh.ingress_mtu(), ways });
        }
        let missing = |(prefix, source): &(&IpSubnet, &IpAddr)| {
            observed.foreign.get(prefix) != Some(*source) || !observed.devices.contains(&mesh.device)
        };
        let device = || mesh.device.clone();
        actions.extend(foreign.iter().filter(missing).map(|(&prefix, &source)| Action::AddForeign {
            prefix,
            source,
            device: device(),
        }));
    }
    let links = desired.networks.iter().filter(|network| network.link != Link::Routed);
    actions.extend(links.map(|network| Action::Link(Box::new(network.clone()))));
    for attachment in &desired.attachments {
        let Some(network) = desired.network(attachment.network) else { continue };
        let adopt = observed.devices.contains(&desired.device(attachment));
        actions.push(Action::Attach {
            attachment: Box::new(attachment.clone()),
            network: Box::new(network.clone()),
            adopt,
        });
    }
    actions
}

fn routed(plan: &NodePlan) -> impl Iterator<Item = &NetworkPlan> {
    plan.networks.iter().filter(|network| network.link == Link::Routed)
}

/// Subnets of routed networks, and their IPv6 virtual addresses, each with the node's own address in it.
fn subnets(plan: &NodePlan) -> BTreeMap<IpSubnet, IpAddr> {
    let whole = routed(plan).flat_map(|network| &network.subnets).map(|side| (side.subnet, side.gateway));
    whole.chain(plan.vips.iter().filter_map(|vip| own_route(plan, vip))).collect()
}

/// The route by which the host's own packets to an IPv6 virtual address come to where they are translated.
fn own_route(plan: &NodePlan, vip: &VipPlan) -> Option<(IpSubnet, IpAddr)> {
    let family = Family::of(vip.address);
    let network = plan.network(vip.network).filter(|network| network.link == Link::Routed && family == Family::V6)?;
    Some((IpSubnet::new(vip.address, family.width())?, network.side(family)?.gateway))
}

/// What of routed networks is at other nodes, each with the node's own address in its network.
fn foreign(plan: &NodePlan) -> BTreeMap<IpSubnet, IpAddr> {
    let sides = routed(plan).flat_map(|network| network.subnets.iter().map(move |side| (network.id, side)));
    let of_side = |(id, side): (_, &super::SubnetPlan)| {
        let gateway = side.gateway;
        plan.foreign(id, Family::of(gateway)).map(move |prefix| (prefix, gateway)).collect::<Vec<_>>()
    };
    sides.flat_map(of_side).collect()
}

/// The marks that choose routes: those of other nodes, and of what has still to find its way. None where no client crosses.
fn ways(plan: &NodePlan) -> BTreeSet<Zone> {
    let Some((mesh, _)) = plan.crossing().filter(|(mesh, _)| mesh.ingress.is_some()) else { return BTreeSet::new() };
    mesh.peers.iter().map(|peer| peer.zone).chain([Zone::NONE]).collect()
}

/// Addresses of the loopback device.
fn addresses(plan: &NodePlan) -> BTreeSet<IpAddr> {
    let next_hop = routed(plan).next().map(|_| Family::V4.next_hop());
    subnets(plan).into_values().chain(next_hop).collect()
}

/// Devices of Orca's, and those that macvlan networks lie on.
fn devices(plan: &NodePlan) -> (BTreeSet<String>, BTreeSet<String>) {
    let meets_host = |a: &&AttachmentPlan| plan.network(a.network).is_some_and(NetworkPlan::meets_host);
    let mut devices: BTreeSet<String> = plan.attachments.iter().filter(meets_host).map(|a| plan.device(a)).collect();
    devices.extend(plan.mesh.iter().map(|mesh| mesh.mesh.device.clone()));
    devices.extend(plan.mesh.iter().filter_map(|mesh| Some(mesh.mesh.ingress.as_ref()?.device.clone())));
    let mut vlans = BTreeSet::new();
    for network in &plan.networks {
        match &network.link {
            Link::Routed => {}
            Link::Bridge { .. } => drop(devices.insert(plan.node_key.bridge(network.id))),
            Link::Macvlan { parent, .. } | Link::Ipvlan { parent, .. } => drop(vlans.insert(parent.clone())),
        }
    }
    (devices, vlans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::sample::{plan, small_plans};
    use proptest::prelude::*;

    /// What the kernel holds after an action.
    fn carry_out(observed: &mut Observed, action: &Action, plan: &NodePlan) {
        match action {
            Action::RemoveDevice(name) => {
                assert!(observed.devices.remove(name) || observed.vlans.remove(name));
                if *name == plan.node_key.mesh() {
                    observed.foreign.clear();
                }
            }
            Action::RemoveForeign(prefix) => assert!(observed.foreign.remove(prefix).is_some()),
            Action::Mesh { device, .. } => drop(observed.devices.insert(device.clone())),
            Action::RemoveWay(zone) => assert!(observed.ways.remove(zone)),
            Action::Ingress { device, ways, .. } => {
                observed.devices.insert(device.clone());
                observed.ways.extend(ways);
            }
            Action::AddForeign { prefix, source, device } => {
                assert!(observed.loopback.contains(source), "the kernel refuses a source that is not there");
                assert!(observed.devices.contains(device), "there is no device");
                observed.foreign.insert(*prefix, *source);
            }
            Action::Link(network) => match &network.link {
                Link::Routed => panic!("nothing to make"),
                Link::Bridge { .. } => drop(observed.devices.insert(plan.node_key.bridge(network.id))),
                Link::Macvlan { parent, .. } | Link::Ipvlan { parent, .. } => {
                    observed.vlans.insert(parent.clone());
                }
            },
            Action::RemoveSubnet(subnet) => assert!(observed.subnets.remove(subnet).is_some()),
            Action::RemoveAddress(address) => {
                assert!(observed.loopback.remove(address));
                // The kernel drops routes whose source address goes.
                observed.subnets.retain(|_, source| source != address);
                observed.foreign.retain(|_, source| source != address);
            }
            Action::AddAddress(address) => assert!(observed.loopback.insert(*address)),
            Action::AddSubnet { subnet, source } => {
                assert!(observed.loopback.contains(source), "the kernel refuses a source that is not there");
                observed.subnets.insert(*subnet, *source);
            }
            Action::Attach { attachment, network, adopt } => {
                let is_macvlan = network.link.parent().is_some();
                assert!(is_macvlan || observed.devices.insert(plan.device(attachment)) != *adopt);
            }
        }
    }

    #[test]
    fn existing_devices_are_adopted_and_stale_ones_go() {
        let plan = plan();
        let mut observed = Observed::default();
        observed.devices.insert(plan.device(&plan.attachments[0]));
        observed.devices.insert("ogone0000000000".into());
        let actions = diff(&observed, &plan);
        assert_eq!(actions.first(), Some(&Action::RemoveDevice("ogone0000000000".into())));
        let adopted: Vec<bool> = actions
            .iter()
            .filter_map(|a| if let Action::Attach { adopt, .. } = a { Some(*adopt) } else { None })
            .collect();
        assert_eq!(adopted.iter().filter(|adopt| **adopt).count(), 1);
        assert_eq!(adopted.len(), plan.attachments.len());
    }

    proptest! {
        #[test]
        fn any_plan_leads_to_any_other((before, after) in (small_plans(), small_plans())) {
            let mut observed = Observed::default();
            for plan in [&before, &after, &NodePlan::empty(after.node_key.clone())] {
                for action in diff(&observed, plan) {
                    carry_out(&mut observed, &action, plan);
                }
                prop_assert_eq!(&observed, &Observed::of(plan, &observed.vlans));
                let left = diff(&observed, plan);
                let is_adoption = |action: &Action| match action {
                    Action::Attach { adopt, network, .. } => *adopt || !network.meets_host(),
                    Action::Link(_) | Action::Mesh { .. } | Action::Ingress { .. } => true,
                    _ => false,
                };
                prop_assert!(left.iter().all(is_adoption), "{:?}", left);
            }
            prop_assert_eq!(observed, Observed::default());
        }
    }
}
