//! A node's network: devices, routes, packet filter, names and published ports.
//!
//! Unless a network asks for a bridge device or macvlan, an attachment is a veth pair whose host side carries a route an
//! address; nftables, a table a family, decide who meets whom, balance virtual addresses and published ports, and hide
//! containers behind the node's address. No packet passes through user space, but for ports that nftables cannot lead.
//!
//! Pure rooms, which decide:
//! - [`plan`]: what the node's network should be ([`plan::NodePlan`]), what is missing from the kernel
//!   ([`plan::diff`]), and how backends fill balancing slots ([`plan::slots`]);
//! - [`ruleset`]: the nftables table of a plan, as a value with a text form; which UDP flows are stale;
//! - [`resolve`]: what a name means to the container that asks;
//! - [`peers`]: the other nodes, and who has which address.
//!
//! Shells, which act:
//! - [`netlink`]: network namespaces, devices, addresses and routes over rtnetlink;
//! - [`nft`]: encodes a ruleset for nf_tables and swaps it in one transaction; cuts flows of the connection table;
//! - [`dns`]: the server at 127.0.0.11 inside each container's namespace, and its forwarder;
//! - [`netd`]: the long-lived process that holds DNS sockets and reserved ports while daemons come and go, its
//!   protocol and its client;
//! - [`mesh`]: the encrypted network between nodes, as netd carries it;
//! - [`Network`]: the whole, for the agent: apply a plan, take everything down.
//!
//! The netlink messages are encoded here rather than by a crate: the same attribute writer serves rtnetlink,
//! nf_tables and the connection table, messages are sent in batches, and each error names the message it is about.
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(missing_docs)]

pub mod dns;
mod error;
pub mod mesh;
pub mod netd;
pub mod netlink;
mod network;
pub mod nft;
pub mod peers;
pub mod plan;
pub mod resolve;
pub mod ruleset;

pub use error::Error;
pub use network::{ItemError, Network, Report};
