//! The nouns of Orca: ids, specs, objects, states and what is valid. Pure: no I/O, no clock, no randomness.
//!
//! - what users declare: [`ServiceSpec`], [`ContainerSpec`], [`NetworkSpec`], [`Stack`]
//! - what the store holds: [`Service`], [`Task`], [`Network`], [`Node`], [`Secret`], [`Config`], [`Cluster`]
//! - what a manager sends to an agent: [`Assignments`]; what comes back: [`TaskStatus`]
//! - what an agent writes for a shim: [`shim`]
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(missing_docs)]

mod address;
mod assignment;
mod cluster;
mod container;
pub mod csv;
mod device;
mod endpoint;
mod health;
mod id;
mod isolation;
mod join;
mod kept_key;
mod link;
mod logging;
mod mesh;
mod metric;
mod mount;
mod name;
mod network;
mod object;
mod placement;
mod resources;
mod rollout;
mod secret;
mod service;
pub mod shim;
mod task;
mod time;

pub use address::*;
pub use assignment::*;
pub use cluster::*;
pub use container::*;
pub use device::*;
pub use endpoint::*;
pub use health::*;
pub use id::*;
pub use isolation::*;
pub use join::*;
pub use kept_key::*;
pub use link::*;
pub use logging::*;
pub use mesh::*;
pub use metric::*;
pub use mount::*;
pub use name::*;
pub use network::*;
pub use object::*;
pub use placement::*;
pub use resources::*;
pub use rollout::*;
pub use secret::*;
pub use service::*;
pub use task::*;
pub use time::*;
