//! The nftables table of a plan, as a value. Pure.
//!
//! [`Ruleset::of`] builds it, [`Ruleset::to_text`] prints it as `nft list table` does (the golden form of the tests),
//! [`crate::nft`] encodes it for the kernel. [`FlowGuards`] tells which UDP flows of the connection table are stale.
//!
//! A node has one table for IPv4 and, with networks that have IPv6, a second one: the same rules over the other addresses.
//! A table holds only what this node's traffic needs, and accepts nothing on behalf of other tables: `accept` in
//! one table never undoes the `drop` of another.

mod build;
mod delta;
mod flows;
mod ingress;
mod name_server;
mod text;
mod way;

use std::net::IpAddr;

use model::{IpSubnet, Protocol};

use crate::plan::Family;

pub use delta::SetDelta;
pub use flows::{Flow, FlowGuards};

/// One table of one family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruleset {
    /// Whose packets it sees; all addresses in it are of this family.
    pub family: Family,
    /// Its name.
    pub table: String,
    /// Its sets and maps.
    pub sets: Vec<Set>,
    /// Its chains; a chain comes after those it jumps to.
    pub chains: Vec<Chain>,
}

/// A set, or a map when it has a value type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Types of a key's parts.
    pub key: Vec<Type>,
    /// Types of a value's parts; [`Type::Verdict`] alone for a verdict map; empty for a set.
    pub value: Vec<Type>,
    /// What is in it, sorted and without duplicates.
    pub elements: Vec<Element>,
    /// How many elements it has room for; sets of prefixes grow as they must.
    pub capacity: u32,
}

/// Type of a part of a key or value, as nft names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Device name.
    IfName,
    /// Address of the table's family.
    Address,
    /// Prefixes of the table's family: an interval set of addresses.
    Prefix,
    /// Transport protocol.
    Protocol,
    /// Port.
    Port,
    /// A slot of a balancer: a 32-bit number in the host's byte order (nft's `mark` has that representation).
    Slot,
    /// What to do.
    Verdict,
}

/// An element of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The key's parts.
    pub key: Vec<Datum>,
    /// The value's parts; empty in a set.
    pub value: Vec<Datum>,
}

/// A part of a key or value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Datum {
    /// Device name.
    IfName(String),
    /// Address.
    Address(IpAddr),
    /// Prefix.
    Prefix(IpSubnet),
    /// Protocol.
    Protocol(Protocol),
    /// Port.
    Port(u16),
    /// Slot.
    Slot(u32),
    /// Jump to a chain.
    Jump(String),
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where the kernel calls it; `None`: only other chains do.
    pub hook: Option<Hook>,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// Where the kernel calls a chain. The policy is always `accept`: this table denies by rule, and only its own traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Hook {
    /// Filter at `raw` priority, before connections are looked up.
    RawPrerouting,
    /// The same for what this namespace's own processes send.
    RawOutput,
    ManglePrerouting,
    NatPrerouting,
    /// Filter behind the translation of destinations.
    AfterDnat,
    /// Before the translation of what this host sends; a mark that changes has it routed anew.
    RouteBeforeDnat,
    /// The same behind it.
    RouteAfterDnat,
    NatOutput,
    ManglePostrouting,
    NatPostrouting,
    /// Filter after everything else, translation too.
    LastPostrouting,
    FilterInput,
    FilterForward,
    FilterOutput,
}

/// A rule: when all matches hold, the action is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What must hold.
    pub matches: Vec<Match>,
    /// What is done then.
    pub action: Action,
}

/// Something of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Device it came in by.
    IifName,
    /// Source address.
    Source,
    /// Destination address.
    Destination,
    /// Transport protocol.
    Protocol,
    /// Destination port.
    Port,
    /// Source port.
    SourcePort,
    /// Destination address of the connection's first packet.
    FirstDestination,
    /// Destination port of it.
    FirstPort,
    /// A slot drawn at random, below the given number.
    Slot(u32),
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It came in by a device whose name begins so.
    FromDevices(String),
    /// It came in by this device.
    FromDevice(String),
    /// It leaves by a device whose name begins so.
    ToDevices(String),
    /// It leaves by this device.
    ToDevice(String),
    /// The fields, concatenated, are (or are not) in a set.
    InSet {
        /// Which.
        fields: Vec<Field>,
        /// Name of the set.
        set: String,
        /// Whether they must not be in it.
        negate: bool,
    },
    /// A field lies in a prefix.
    InPrefix(Field, IpSubnet),
    /// A field is an address.
    Address(Field, IpAddr),
    /// A field lies in 127.0.0.0/8, or is ::1.
    InLoopback(Field),
    /// A field is another address than the host's own ::1.
    NotLoopback(Field),
    /// Its source lies in fe80::/10.
    FromLinkLocal,
    /// It is ICMPv6, which neighbours find each other by.
    IsIcmpv6,
    /// The connection's first packet was (or was not) addressed to a prefix in this set.
    OriginalDestination {
        /// Name of the set.
        set: String,
        /// Whether it must not have been.
        negate: bool,
    },
    /// It goes the way of the connection's first packet.
    Forth,
    /// It goes the other way.
    Back,
    /// The connection's first packet came from another node.
    FromZone,
    /// It has this mark.
    Marked(u32),
    /// It begins a TCP connection, or is the answer to that.
    IsSyn,
    /// The connection is known, or an error about a known one.
    Established,
    /// The connection's destination was translated.
    Translated,
    /// Its destination is (or is not) an address of this host.
    Local(bool),
    /// It is of this protocol.
    Is(Protocol),
    /// A port of it is this one.
    PortIs(Field, u16),
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Done with this table.
    Accept,
    /// Silently gone.
    Drop,
    /// On with another chain, without return.
    Goto(String),
    /// The verdict that a map gives for a field; the next rule if it has none.
    Dispatch {
        /// Which field.
        field: Field,
        /// Name of the verdict map.
        map: String,
    },
    /// New destination from a map, with a port if the map's values have one; the next rule if it has none.
    Dnat {
        /// The key.
        fields: Vec<Field>,
        /// Name of the map.
        map: String,
        /// Whether its values hold a port.
        port: bool,
    },
    /// New source address from a map.
    Snat {
        /// The key.
        field: Field,
        /// Name of the map.
        map: String,
    },
    /// New source address: that of the device by which it leaves.
    Masquerade,
    /// Rewritten in place, without a connection being tracked: this port becomes that number.
    SetPort {
        /// Of which protocol the packet is.
        protocol: Protocol,
        /// Which port.
        field: Field,
        /// What it becomes.
        port: u16,
    },
    /// The connection's zone, of its first packet's direction, becomes what the link address says where it came from.
    ZoneOfLink,
    /// Its mark becomes this number.
    Mark(u32),
    /// Its mark becomes this number with the connection's zone in its lower half.
    MarkOfZone(u32),
    /// Its mark becomes what a map gives for its destination; unchanged if there is nothing.
    MarkOf(String),
    /// The largest segment that it announces becomes no more than this.
    ClampSegments(u16),
    /// Refused with a TCP reset.
    RejectTcp,
    /// Refused with ICMP port unreachable.
    RejectPort,
}

impl Ruleset {
    /// The set or map of that name.
    pub fn set(&self, name: &str) -> Option<&Set> {
        self.sets.iter().find(|set| set.name == name)
    }
}
