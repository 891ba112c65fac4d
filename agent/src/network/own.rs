//! Networks that the node keeps, and containers that join and leave networks while they run.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{AddressRange, IpSubnet, Link, LinkOptions, LocalNetwork, NetworkId, NodeId};
use net::plan::Family;

use super::ipam::{self, Taken};
use super::{BRIDGE, Networks, predefined_id};
use crate::containers::Record;
use crate::{Error, Result, clock, random};

/// A network to make.
#[derive(Debug, Clone, Default)]
pub struct CreateNetwork {
    /// Its name.
    pub name: String,
    /// `bridge`, which may be left out, `macvlan` or `ipvlan`.
    pub driver: String,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// No way out.
    pub internal: bool,
    /// For show: standalone containers may always join.
    pub attachable: bool,
    /// Which families it is to have.
    pub families: Vec<Family>,
    /// Its addresses.
    pub wanted: ipam::Wanted,
}

/// A network as listed.
#[derive(Debug, Clone)]
pub struct NetworkView {
    /// What it is; without labels and time where the managers know them.
    pub network: LocalNetwork,
    /// Docker's name for what carries it.
    pub driver: &'static str,
    /// Whether it is the managers'.
    pub assigned: bool,
}

impl NetworkView {
    /// Whether every node has it.
    pub fn is_predefined(&self) -> bool {
        PREDEFINED.iter().any(|(name, _)| *name == self.network.name) && !self.assigned
    }
}

/// Drivers whose networks lie on a device of the host.
const ON_PARENT: [&str; 2] = ["macvlan", "ipvlan"];

/// Length of a node's prefix: room for 65,536 subnets.
const ULA_PREFIX: u8 = 48;

/// Names that every node has, with their drivers.
const PREDEFINED: [(&str, &str); 3] = [(BRIDGE, "bridge"), ("host", "host"), ("none", "null")];

impl Networks {
    /// All networks that containers of this node may name.
    pub fn list(&self) -> Vec<NetworkView> {
        let (own, assigned) = {
            let state = self.state();
            (state.own.clone(), state.assigned.clone())
        };
        let predefined = PREDEFINED.map(|(name, driver)| {
            let pools = if name == BRIDGE { self.served_pools(self.bridge.id) } else { Vec::new() };
            let network = plain(predefined_id(name, self.node), name, pools);
            NetworkView { network, driver, assigned: false }
        });
        let own = own.values().map(|network| NetworkView {
            network: network.clone(),
            driver: driver(&network.driver),
            assigned: false,
        });
        // The managers' `bridge` is the cluster's; what is called so here is this node's own.
        let is_predefined = |name: &str| PREDEFINED.iter().any(|(known, _)| *known == name);
        let assigned = assigned.networks.values().filter(|network| !is_predefined(&network.name)).map(|network| {
            let mut view = plain(network.id, &network.name, self.served_pools(network.id));
            (view.internal, view.attachable) = (network.internal, network.attachable);
            view.options.clone_from(&network.options);
            NetworkView { network: view, driver: driver(&network.driver), assigned: true }
        });
        predefined.into_iter().chain(own).chain(assigned).collect()
    }

    fn served_pools(&self, id: NetworkId) -> Vec<AddressRange> {
        let Some(served) = self.served(id) else { return Vec::new() };
        let pool = |subnet: &model::IpSubnet| {
            let gateway = *served.gateways.iter().find(|gateway| subnet.contains(**gateway))?;
            Some(AddressRange { subnet: *subnet, range: None, gateway, auxiliary: BTreeMap::new() })
        };
        served.subnets.iter().filter_map(pool).collect()
    }

    /// The network that a name, an id or the beginning of an id means, in this order.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`], [`Error::AmbiguousNetwork`].
    pub fn find(&self, text: &str) -> Result<NetworkView> {
        let list = self.list();
        let exact = |view: &&NetworkView| view.network.name == text || view.network.id.to_string() == text;
        if let Some(view) = list.iter().find(exact) {
            return Ok(view.clone());
        }
        let begins = |view: &&NetworkView| !text.is_empty() && view.network.id.to_string().starts_with(text);
        let mut matches = list.iter().filter(begins);
        match (matches.next(), matches.count()) {
            (Some(view), 0) => Ok(view.clone()),
            (Some(_), more) => Err(Error::AmbiguousNetwork { prefix: text.into(), count: more + 1 }),
            (None, _) => Err(Error::NoSuchNetwork(text.chars().take(300).collect())),
        }
    }

    /// Makes a network; the caller writes it down.
    ///
    /// # Errors
    /// [`Error::NetworkExists`], [`Error::Network`] naming what it overlaps or lacks.
    pub fn create(&self, request: CreateNetwork) -> Result<LocalNetwork> {
        let CreateNetwork { name, driver, options, labels, internal, attachable, families, wanted } = request;
        model::check_object_name("network", &name)?;
        let refuse = |reason: String| Error::Network { name: name.clone(), reason };
        check_driver(&driver).map_err(|reason| refuse(reason.into()))?;
        if families.contains(&Family::V6) && !net::netlink::has_ipv6() {
            return Err(refuse(net::Error::NoIpv6.to_string()));
        }
        let driver = if ON_PARENT.contains(&driver.as_str()) { driver } else { String::new() };
        let link = LinkOptions::parse(&driver, &options).map_err(|error| refuse(error.to_string()))?.link;
        // Such a network has the subnet of the host's own network.
        let foreign = if link.parent().is_some() { Vec::new() } else { net::netlink::foreign_subnets()? };
        let id = NetworkId::from_random(random::bits128()?);
        let _one_at_a_time = self.creating.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let list = self.list();
        if list.iter().any(|view| view.network.name == name) || name == "default" {
            return Err(Error::NetworkExists(name));
        }
        let pools = ipam::pools(&families, &wanted, &taken(&list, foreign), ula(self.node))
            .map_err(|refusal| refuse(refusal.to_string()))?;
        self.check_link(&link).map_err(refuse)?;
        let created_at = clock::wall();
        let network = LocalNetwork { id, name, created_at, labels, driver, options, internal, attachable, pools };
        self.change_own(|own| own.insert(id, network.clone()));
        Ok(network)
    }

    /// What a network is to lie on must be there, and what it is to be called must not.
    fn check_link(&self, link: &Link) -> std::result::Result<(), String> {
        let unknown = |error: net::Error| error.to_string();
        match link {
            Link::Macvlan { parent, .. } | Link::Ipvlan { parent, .. } => {
                let made = net::netlink::ensure_parent(&self.key, parent);
                // A network that is removed at once, or refused, leaves no device of a VLAN behind.
                self.kernel.look_again();
                made.and_then(|_| net::netlink::try_ipvlan(parent, link))
                    .map_err(|error| format!("it cannot lie on {parent} (-o parent=DEVICE[.VLAN]): {error}"))
            }
            Link::Bridge { name: Some(name) } if net::netlink::has_device(name).map_err(unknown)? => {
                Err(format!("there is a device {name} already, which is not Orca's: choose another name"))
            }
            Link::Bridge { .. } | Link::Routed => Ok(()),
        }
    }

    /// Forgets a network of the node's own.
    pub fn discard(&self, id: NetworkId) {
        self.change_own(|own| own.remove(&id));
    }

    fn change_own<T>(&self, change: impl FnOnce(&mut BTreeMap<NetworkId, LocalNetwork>) -> T) {
        change(Arc::make_mut(&mut self.state().own));
        self.want();
    }

    /// Brings a container that runs to the networks of its record. What cannot be done is undone.
    ///
    /// # Errors
    /// What the kernel or netd refused.
    pub async fn reconnect(&self, record: &Record) -> Result<()> {
        let Some(generation) = self.state().active.get(&record.id).map(|active| active.generation) else {
            return Ok(());
        };
        let mut wanted = self.active(record, generation);
        let before = {
            let mut state = self.state();
            let Some(active) = state.active.get_mut(&record.id) else { return Ok(()) };
            wanted.ready = active.ready;
            std::mem::replace(active, wanted)
        };
        let applied = self.apply_now().await;
        let done = applied.verdict(record.id, &self.published(record));
        if done.is_err() {
            if let Some(active) = self.state().active.get_mut(&record.id) {
                *active = before;
            }
            self.want();
        }
        done
    }

    /// Names of a container's devices as they are now, in the order of its attachments.
    pub fn device_names(&self, record: &Record) -> Vec<String> {
        let active = self.active(record, 0);
        active.attachments.into_iter().map(|on| on.interface).collect()
    }
}

/// Where a node's IPv6 subnets are chosen from: a prefix of its own of the addresses that are for private use (RFC 4193).
fn ula(node: NodeId) -> Option<IpSubnet> {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("ula {node}").as_bytes());
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(digest.as_ref().get(..5).unwrap_or(&[0; 5]));
    IpSubnet::new(octets.into(), ULA_PREFIX)
}

fn plain(id: NetworkId, name: &str, pools: Vec<AddressRange>) -> LocalNetwork {
    LocalNetwork {
        id,
        name: name.into(),
        created_at: model::Timestamp(0),
        labels: BTreeMap::new(),
        driver: String::new(),
        options: BTreeMap::new(),
        internal: false,
        attachable: false,
        pools,
    }
}

fn taken(list: &[NetworkView], foreign: Vec<(model::IpSubnet, String)>) -> Vec<Taken> {
    let networks = list.iter().flat_map(|view| {
        let by = format!("network {}", view.network.name);
        view.network.pools.iter().map(move |pool| Taken { by: by.clone(), subnet: pool.subnet })
    });
    let routes =
        foreign.into_iter().map(|(subnet, device)| Taken { by: format!("the route of device {device}"), subnet });
    networks.chain(routes).collect()
}

/// Docker's name of a driver.
fn driver(name: &str) -> &'static str {
    ON_PARENT.into_iter().find(|known| *known == name).unwrap_or("bridge")
}

fn check_driver(driver: &str) -> Result<(), &'static str> {
    Err(match driver {
        "" | "bridge" | "default" | "macvlan" | "ipvlan" => return Ok(()),
        "host" => "driver host has one network only, which is there already: --network host",
        "none" | "null" => "driver null has one network only, which is there already: --network none",
        "overlay" => "driver overlay is for clusters: networks of a stack span nodes by themselves",
        _ => "there are no driver plugins: only drivers bridge, macvlan and ipvlan",
    })
}
