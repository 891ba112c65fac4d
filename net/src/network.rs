//! The whole of a node's network, for the agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use model::NetworkId;

use crate::peers::Zone;
use crate::plan::{Action, AttachmentPlan, Family, NetworkPlan, NodeKey, NodePlan, Observed, diff};
use crate::ruleset::{FlowGuards, Ruleset, SetDelta};
use crate::{Error, netlink, nft};

/// A node's network in the kernel. All calls block for some milliseconds at most, and must come from threads in the
/// host's network namespace; they may come from several at once.
#[derive(Debug)]
pub struct Network {
    node_key: NodeKey,
    /// What the kernel was told last, so that a plan that changes nothing costs no transaction.
    loaded: Mutex<Option<Loaded>>,
    /// What this process has set up, by device. It is not set up again before the next audit: with every container the others
    /// would cost as much as the new one.
    attached: Mutex<BTreeMap<String, (AttachmentPlan, NetworkPlan)>>,
    /// What containers are linked by, as this process has set it up; the same holds for it.
    linked: Mutex<BTreeMap<NetworkId, NetworkPlan>>,
    /// The device of the mesh as this process has set it up, and its MTU; the same holds for it.
    meshed: Mutex<Option<(String, u32)>>,
    /// The same for the device by which clients of published ports cross, and the ways there.
    crossed: Mutex<Option<(String, u32, BTreeSet<Zone>)>>,
    /// What the kernel has of this node's, as this process has left it; `None`: to be looked at. What goes by itself with its
    /// namespace is no harm: removing it again does none.
    observed: Mutex<Option<Observed>>,
}

#[derive(Debug)]
struct Loaded {
    /// Whether the kernel is believed to have it still.
    current: bool,
    ruleset: Ruleset,
    /// The IPv6 table, which exists only with networks that have IPv6.
    ruleset6: Option<Ruleset>,
    guards: FlowGuards,
}

impl Loaded {
    fn after(before: Option<&Self>, plan: &NodePlan) -> Self {
        let six = has_six(plan);
        let before6 = before.and_then(|before| before.ruleset6.as_ref());
        Self {
            current: true,
            ruleset: Ruleset::after(Family::V4, before.map(|before| &before.ruleset), plan),
            ruleset6: six.then(|| Ruleset::after(Family::V6, before6, plan)),
            guards: FlowGuards::of(plan),
        }
    }

    /// What changes in the tables; `None` where one comes or is to be replaced whole.
    fn changes<'a>(&'a self, next: &'a Self) -> Option<Vec<(&'a Ruleset, Vec<SetDelta<'a>>)>> {
        let mut changes = vec![(&self.ruleset, self.ruleset.delta(&next.ruleset)?)];
        match (&self.ruleset6, &next.ruleset6) {
            (Some(before), Some(after)) => changes.push((before, before.delta(after)?)),
            (_, None) => {}
            (None, Some(_)) => return None,
        }
        Some(changes)
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.ruleset, &self.ruleset6, &self.guards) == (&other.ruleset, &other.ruleset6, &other.guards)
    }
}

/// What applying a plan did.
#[derive(Debug, Default)]
pub struct Report {
    /// Veth pairs that were made.
    pub attached: usize,
    /// Veth pairs that were there.
    pub adopted: usize,
    /// Veth pairs that were removed.
    pub removed: usize,
    /// Whether the packet filter's table was replaced.
    pub table_replaced: bool,
    /// Bytes exchanged with the kernel.
    pub exchanged: u64,
    /// How forwarded packets fare in tables of others; looked at where the whole is audited.
    pub passage: Option<nft::Passage>,
    /// UDP flows that were cut.
    pub flows_cut: usize,
    /// What failed; the rest was done.
    pub failures: Vec<ItemError>,
}

/// One part of a plan that could not be carried out.
#[derive(Debug)]
pub struct ItemError {
    /// Which.
    pub item: String,
    /// Why not.
    pub error: Error,
}

/// Whether there is to be IPv6. That some other node has it is no reason where this host has none.
fn has_six(plan: &NodePlan) -> bool {
    plan.networks.iter().any(|network| network.side(Family::V6).is_some())
        || plan.crossing().is_some_and(|(_, crossing)| crossing.has(Family::V6)) && netlink::has_ipv6()
}

impl Network {
    /// The network of a node. Nothing happens before the first call.
    pub const fn new(node_key: NodeKey) -> Self {
        Self {
            node_key,
            loaded: Mutex::new(None),
            attached: Mutex::new(BTreeMap::new()),
            linked: Mutex::new(BTreeMap::new()),
            meshed: Mutex::new(None),
            crossed: Mutex::new(None),
            observed: Mutex::new(None),
        }
    }

    /// Brings the kernel to the plan: stale devices go, missing ones come, the table is replaced if it changed. An
    /// invalid plan is refused whole; what then fails by itself is listed and does not hold up the rest.
    pub fn apply(&self, plan: &NodePlan) -> Result<Report, Error> {
        plan.validate()?;
        netlink::enable_forwarding(Family::V4)?;
        if has_six(plan) {
            netlink::enable_forwarding(Family::V6)?;
        }
        let before = netlink::exchanged();
        let mut report = Report::default();
        let looked = self.loaded().as_ref().is_some_and(|loaded| loaded.current);
        if !plan.networks.is_empty() && !looked {
            self.pass(&mut report);
        }
        // The table first: a device must never be up before the rules that hold it.
        self.load(plan, &mut report)?;
        self.detach(plan, &mut report);
        self.bring(plan, &mut report)?;
        report.exchanged = netlink::exchanged() - before;
        Ok(report)
    }

    /// Brings devices, addresses and routes to the plan.
    fn bring(&self, plan: &NodePlan, report: &mut Report) -> Result<(), Error> {
        let mut slot = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let observed = match slot.take() {
            Some(observed) => observed,
            None => netlink::observe(&self.node_key)?,
        };
        let failures = report.failures.len();
        self.linked().retain(|id, _| plan.network(*id).is_some());
        let mut vlans = observed.vlans.clone();
        for action in diff(&observed, plan) {
            vlans.extend(self.carry_out(&action, report));
        }
        // After a failure the kernel is looked at before the next change.
        *slot = (report.failures.len() == failures).then(|| Observed::of(plan, &vlans));
        Ok(())
    }

    /// Has the next change look at the kernel first: somebody has made a device that no plan may come to know of.
    pub fn look_again(&self) {
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// As [`apply`](Self::apply), and replaces the table even where this process believes it to be right already: for
    /// the audit that repairs what others changed.
    pub fn audit(&self, plan: &NodePlan) -> Result<Report, Error> {
        if let Some(loaded) = &mut *self.loaded() {
            loaded.current = false;
        }
        let mut gone = Report::default();
        self.detach(plan, &mut gone);
        self.attached().clear();
        self.linked().clear();
        *self.meshed() = None;
        *self.crossed() = None;
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut report = self.apply(plan)?;
        report.removed += gone.removed;
        report.failures.append(&mut gone.failures);
        Ok(report)
    }

    /// Replaces the table of this plan alone, without looking at devices: after an endpoint changed. Several changes
    /// are best gathered into one call, since a transaction's price hardly depends on its size.
    pub fn update_rules(&self, plan: &NodePlan) -> Result<Report, Error> {
        plan.validate()?;
        let mut report = Report::default();
        self.load(plan, &mut report)?;
        Ok(report)
    }

    /// Connects one container to one network. The rules that let it speak come with [`update_rules`](Self::update_rules)
    /// or [`apply`](Self::apply), best before.
    pub fn attach(&self, network: &NetworkPlan, attachment: &AttachmentPlan) -> Result<(), Error> {
        network.validate()?;
        attachment.validate()?;
        netlink::attach(&self.node_key, network, attachment)
    }

    /// Whether the kernel has no device, address or route of this node.
    pub fn is_bare(&self) -> Result<bool, Error> {
        Ok(netlink::observe(&self.node_key)? == Observed::default())
    }

    /// Removes everything in the kernel that carries this node's key.
    pub fn teardown_all(&self) -> Result<Report, Error> {
        let nothing = NodePlan::empty(self.node_key.clone());
        self.linked().clear();
        *self.meshed() = None;
        *self.crossed() = None;
        *self.observed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let mut report = Report::default();
        for action in diff(&netlink::observe(&self.node_key)?, &nothing) {
            let _ = self.carry_out(&action, &mut report);
        }
        *self.loaded() = None;
        for family in Family::ALL {
            nft::remove(family, &self.node_key.table())?;
        }
        nft::close_passage(&self.node_key.table(), &self.node_key.device_prefix())?;
        Ok(report)
    }

    /// Takes containers off networks that have no device for them on the host, which would tell by itself.
    fn detach(&self, plan: &NodePlan, report: &mut Report) {
        let wanted: BTreeSet<String> = plan.attachments.iter().map(|attachment| plan.device(attachment)).collect();
        let is_gone = |device: &String, (_, network): &(AttachmentPlan, NetworkPlan)| {
            !wanted.contains(device) && network.link.parent().is_some()
        };
        let gone: Vec<_> = {
            let attached = self.attached();
            let gone = attached.iter().filter(|(device, on)| is_gone(device, on));
            gone.map(|(device, (attachment, _))| (device.clone(), attachment.clone())).collect()
        };
        for (device, attachment) in gone {
            self.attached().remove(&device);
            report.removed += 1;
            if let Err(error) = netlink::detach(&attachment.netns, &attachment.interface) {
                let item = format!("device {} of container {}", attachment.interface, attachment.container.short());
                report.failures.push(ItemError { item, error });
            }
        }
    }

    /// A host whose tables can't be read is no reason to leave its containers without a network.
    fn pass(&self, report: &mut Report) {
        match nft::open_passage(&self.node_key.table(), &self.node_key.device_prefix()) {
            Ok(passage) => report.passage = Some(passage),
            Err(error) => report.failures.push(ItemError { item: "other programs' packet filters".into(), error }),
        }
    }

    fn attached(&self) -> MutexGuard<'_, BTreeMap<String, (AttachmentPlan, NetworkPlan)>> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn linked(&self) -> MutexGuard<'_, BTreeMap<NetworkId, NetworkPlan>> {
        self.linked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meshed(&self) -> MutexGuard<'_, Option<(String, u32)>> {
        self.meshed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn crossed(&self) -> MutexGuard<'_, Option<(String, u32, BTreeSet<Zone>)>> {
        self.crossed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets up the way of clients to other nodes, unless this process has.
    fn cross(&self, device: &str, mtu: u32, ways: &BTreeSet<Zone>) -> Result<(), Error> {
        let wanted = (device.to_owned(), mtu, ways.clone());
        let mut crossed = self.crossed();
        if crossed.as_ref() != Some(&wanted) {
            *crossed = None;
            netlink::ensure_ingress(&self.node_key, device, mtu, ways)?;
            *crossed = Some(wanted);
        }
        Ok(())
    }

    /// Sets up the device of the mesh, unless this process has.
    fn mesh(&self, device: &str, mtu: u32) -> Result<(), Error> {
        let mut meshed = self.meshed();
        if meshed.as_ref().is_some_and(|(name, length)| (name.as_str(), *length) == (device, mtu)) {
            return Ok(());
        }
        netlink::ensure_mesh(device, mtu)?;
        *meshed = Some((device.into(), mtu));
        Ok(())
    }

    /// Sets up what a network's containers are linked by, unless this process has; the device that it had to make for that.
    fn link(&self, network: &NetworkPlan) -> Result<Option<String>, Error> {
        if self.linked().get(&network.id) == Some(network) {
            return Ok(None);
        }
        let made = netlink::ensure_link(&self.node_key, network)?;
        self.linked().insert(network.id, network.clone());
        Ok(made)
    }

    /// Sets a container's device up, unless it is there as this process has set it up.
    fn set_up(&self, network: &NetworkPlan, attachment: &AttachmentPlan, exists: bool) -> Result<(), Error> {
        let device = self.node_key.device(attachment.container, attachment.network);
        let is_as_wanted = |(of, on): &(AttachmentPlan, NetworkPlan)| of == attachment && on == network;
        if (exists || !network.meets_host()) && self.attached().get(&device).is_some_and(is_as_wanted) {
            return Ok(());
        }
        self.attached().remove(&device);
        self.attach(network, attachment)?;
        self.attached().insert(device, (attachment.clone(), network.clone()));
        Ok(())
    }

    fn loaded(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load(&self, plan: &NodePlan, report: &mut Report) -> Result<(), Error> {
        let mut loaded = self.loaded();
        let wanted = Loaded::after(loaded.as_ref(), plan);
        let before = loaded.as_ref().filter(|loaded| loaded.current);
        if before.is_some_and(|before| before.is_same(&wanted)) {
            return Ok(());
        }
        let done = Self::exchange(before, &wanted, report);
        match done {
            Ok(()) => *loaded = Some(wanted),
            // It is not believed any more; which slots the balancers have dealt is still known.
            Err(_) => loaded.iter_mut().for_each(|loaded| loaded.current = false),
        }
        done
    }

    fn exchange(before: Option<&Loaded>, wanted: &Loaded, report: &mut Report) -> Result<(), Error> {
        let guards_changed = before.is_none_or(|before| before.guards != wanted.guards);
        // What an earlier daemon left is not known here.
        let six_may_be_there = before.is_none_or(|before| before.ruleset6.is_some());
        if wanted.ruleset6.is_none() && six_may_be_there {
            nft::remove(Family::V6, &wanted.ruleset.table)?;
        }
        let changed = before.and_then(|before| before.changes(wanted));
        if changed.is_none_or(|changes| nft::change(changes).is_err()) {
            nft::replace(std::iter::once(&wanted.ruleset).chain(&wanted.ruleset6))?;
            report.table_replaced = true;
        }
        if guards_changed && !wanted.guards.is_empty() {
            let local: BTreeSet<_> = netlink::local_addresses()?;
            let families = Family::ALL.into_iter().filter(|family| *family == Family::V4 || wanted.ruleset6.is_some());
            for family in families {
                match nft::cut_stale_flows(family, &wanted.guards, &local) {
                    Ok(count) => report.flows_cut += count,
                    Err(error) => report.failures.push(ItemError { item: "stale UDP flows".into(), error }),
                }
            }
        }
        Ok(())
    }

    /// Does one thing; returns the device of a VLAN that it had to make.
    fn carry_out(&self, action: &Action, report: &mut Report) -> Option<String> {
        let mut made = None;
        let (item, done) = match action {
            Action::RemoveDevice(name) => {
                report.removed += 1;
                self.attached().remove(name);
                self.meshed().take_if(|(device, _)| device == name);
                self.crossed().take_if(|(device, ..)| device == name);
                (format!("device {name}"), netlink::remove_device(name))
            }
            Action::RemoveSubnet(subnet) => (format!("route to {subnet}"), netlink::remove_subnet_route(*subnet)),
            Action::RemoveAddress(address) => {
                (format!("address {address}"), netlink::remove_loopback_address(*address))
            }
            Action::AddAddress(address) => {
                (format!("address {address}"), netlink::add_loopback_address(&self.node_key, *address))
            }
            Action::AddSubnet { subnet, source } => {
                (format!("route to {subnet}"), netlink::add_subnet_route(*subnet, *source))
            }
            Action::RemoveForeign(prefix) => {
                (format!("route to {prefix}"), netlink::remove_foreign_route(*prefix, &self.node_key.mesh()))
            }
            Action::RemoveWay(zone) => {
                *self.crossed() = None;
                (format!("routes by mark {:#x}", zone.mark()), netlink::remove_way(&self.node_key, *zone))
            }
            Action::Ingress { device, mtu, ways } => (format!("device {device}"), self.cross(device, *mtu, ways)),
            Action::Mesh { device, mtu } => (format!("device {device}"), self.mesh(device, *mtu)),
            Action::AddForeign { prefix, source, device } => {
                (format!("route to {prefix}"), netlink::add_foreign_route(*prefix, *source, device))
            }
            Action::Link(network) => {
                let done = self.link(network).map(|device| made = device);
                (format!("the link of network {}", network.name), done)
            }
            Action::Attach { attachment, network, adopt } => {
                let count = if *adopt { &mut report.adopted } else { &mut report.attached };
                *count += 1;
                let item = format!("container {} on network {}", attachment.container.short(), network.name);
                (item, self.set_up(network, attachment, *adopt))
            }
        };
        if let Err(error) = done {
            tracing::warn!(%item, %error, "a part of the network could not be set up");
            report.failures.push(ItemError { item, error });
        }
        made
    }
}
