//! What a schema can't say.

mod consistency;
mod graph;
mod structure;

pub use consistency::consistency;
pub use graph::dependency_order;
pub use structure::structure;
