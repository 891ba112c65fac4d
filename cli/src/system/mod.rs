//! `orca system prune|reset`: the node as a whole.

mod prune;
mod reset;

pub use prune::{PruneArgs, prune};
pub use reset::{ResetArgs, reset};
