//! Which keys exist and what types their values have: the Compose Specification's schema as data.
//!
//! [`rule`] is the notation, [`service`], [`deploy`] and [`top`] are the specification, [`check`] applies it.

mod check;
mod deploy;
mod rule;
mod service;
#[cfg(test)]
mod tests;
mod top;

use crate::error::Errors;
use crate::node::Node;

/// Checks a whole model.
///
/// # Errors
/// Every unknown key and wrong type, each at its place.
pub fn check(model: &Node) -> Result<(), Errors> {
    check::check(model, &top::ROOT)
}
