//! Subnets of networks, leases of nodes, addresses and ports of services. Pure: from the state to commands.

mod endpoints;
mod leases;
mod subnets;
#[cfg(test)]
mod tests;

pub use leases::can_lease;

use crate::state::{Command, State};

/// What is not allocated yet and can be.
pub fn allocate(state: &State) -> Vec<Command> {
    let mut commands = Vec::new();
    subnets::allocate(state, &mut commands);
    leases::allocate(state, &mut commands);
    endpoints::allocate(state, &mut commands);
    commands
}
