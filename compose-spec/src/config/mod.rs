//! The canonical form of a project: what `orca compose config` prints and what a service's hash covers.

pub mod hash;
pub mod json;
pub mod yaml;
