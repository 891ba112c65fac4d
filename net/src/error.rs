//! The crate's one error type.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use model::{IpSubnet, NetworkId};

/// What can go wrong with a node's network.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A netlink socket could not be opened or used.
    #[error("cannot use a netlink socket ({step}): {source}")]
    Socket {
        /// What was tried.
        step: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel refused a message.
    #[error("the kernel refused to {what}: {source}{detail}")]
    Refused {
        /// The message, in words.
        what: String,
        /// The errno.
        source: io::Error,
        /// The kernel's extended explanation with a leading separator, or nothing.
        detail: String,
    },
    /// A netlink answer was cut short or malformed.
    #[error("the kernel's answer about {what} is malformed")]
    Malformed {
        /// What was asked.
        what: &'static str,
    },
    /// A network namespace could not be made, entered or removed.
    #[error("cannot {step} network namespace {}: {source}", path.display())]
    Netns {
        /// What was tried.
        step: &'static str,
        /// Where it is bound.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {step} {}: {source}", path.display())]
    File {
        /// What was tried.
        step: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A device that should be there is not.
    #[error("network device {name} does not exist")]
    NoDevice {
        /// Its name.
        name: String,
    },
    /// An address of a family that its network does not have.
    #[error("{what} has address {address}, and its network no subnet of that family")]
    OtherFamily {
        /// Whose address.
        what: String,
        /// The address.
        address: IpAddr,
    },
    /// The host has IPv6 switched off.
    #[error(
        "this host has IPv6 off, which a network with an IPv6 subnet needs: set net.ipv6.conf.all.disable_ipv6 and \
         net.ipv6.conf.default.disable_ipv6 to 0, or boot without ipv6.disable=1"
    )]
    NoIpv6,
    /// An address lies outside its network.
    #[error("address {address} of {what} is not a usable address of subnet {subnet}")]
    AddressOutside {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        what: String,
        /// Where it should lie.
        subnet: IpSubnet,
    },
    /// Two things of a plan claim the same name, address or range.
    #[error("{what} is claimed by both {first} and {second}")]
    Conflict {
        /// The thing claimed.
        what: String,
        /// One owner.
        first: String,
        /// The other.
        second: String,
    },
    /// A plan names a network that it does not contain.
    #[error("{what} refers to network {network}, which the plan does not contain")]
    UnknownNetwork {
        /// Who refers.
        what: String,
        /// To what.
        network: NetworkId,
    },
    /// What a container's device on a network cannot be told.
    #[error("container {container}: {reason}")]
    Endpoint {
        /// The beginning of its id.
        container: String,
        /// In words.
        reason: String,
    },
    /// An interface name the kernel would refuse.
    #[error("{name:?} is no interface name: expected 1 to 15 letters, digits, '-', '_' or '.'")]
    InterfaceName {
        /// The name.
        name: String,
    },
    /// More backends than there are slots.
    #[error("{what} has {count} backends; at most {limit} are supported")]
    TooManyBackends {
        /// The balancer.
        what: String,
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
    /// A published port leads to an address of no network.
    #[error("{what} leads to {address}, which lies in no network of the plan")]
    BackendOutside {
        /// The port.
        what: String,
        /// The backend.
        address: IpAddr,
    },
    /// The published port is zero.
    #[error("published port 0 is not a port: the plan must name the port that was chosen")]
    PortZero,
    /// netd could not be reached or started.
    #[error("cannot {step} netd at {}: {source}", path.display())]
    NetdUnreachable {
        /// What was tried.
        step: &'static str,
        /// Its socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// netd speaks another version.
    #[error("netd speaks protocol version {theirs}, this daemon {ours}: restart netd with `orca netd --takeover`")]
    NetdVersion {
        /// The peer's.
        theirs: u32,
        /// This program's.
        ours: u32,
    },
    /// A frame of the netd protocol was too long or no message.
    #[error("malformed netd message: {reason}")]
    NetdMessage {
        /// What is wrong with it.
        reason: String,
    },
    /// A published port is taken.
    #[error(
        "port {port}/{protocol} on {address} is already in use{owner}; choose another published port or stop its owner"
    )]
    PortInUse {
        /// The port.
        port: u16,
        /// tcp or udp.
        protocol: model::Protocol,
        /// Where it was to be bound.
        address: IpAddr,
        /// " by PROGRAM (pid N)", or nothing when it cannot be told.
        owner: String,
    },
    /// Its process has too many files open.
    #[error(
        "cannot reserve port {port}/{protocol}: `orca netd` has the {limit} files open that it may (one a port, two for TCP on all \
         addresses): publish fewer ports, or raise the daemon's limit (LimitNOFILE of its unit)"
    )]
    TooManyPorts {
        /// The port.
        port: u16,
        /// tcp or udp.
        protocol: model::Protocol,
        /// How many it may have.
        limit: u64,
    },
    /// A published port could not be bound for another reason.
    #[error("cannot reserve port {port}/{protocol} on {address}: {source}")]
    PortBind {
        /// The port.
        port: u16,
        /// tcp or udp.
        protocol: model::Protocol,
        /// Where it was to be bound.
        address: IpAddr,
        /// Why not.
        source: io::Error,
    },
    /// This node's end of the network between nodes cannot be set up.
    #[error("cannot {step} the network between nodes: {source}")]
    Mesh {
        /// What was tried.
        step: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Its port is taken.
    #[error(
        "cannot listen at UDP port {port} for the network between nodes ({source}): stop who has it, or choose another for the \
         cluster with `orca swarm init --data-path-port`"
    )]
    MeshPort {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// A helper thread could not be started or ended by a panic.
    #[error("cannot run a thread inside network namespace {}", path.display())]
    Thread {
        /// The namespace.
        path: PathBuf,
    },
}
