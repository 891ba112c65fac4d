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

/// Every key path of the specification, such as `services.*.ports.target`: `*` stands for a name, lists have no step of their own.
pub fn attributes() -> Vec<String> {
    let mut paths = Vec::new();
    collect(&top::ROOT, "", &mut paths);
    paths.sort();
    paths.dedup();
    paths
}

fn collect(rule: &'static rule::Rule, path: &str, paths: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match rule {
        rule::Rule::Object(object) => {
            for (name, rule) in object.fields {
                paths.push(below(name));
                collect(rule, &below(name), paths);
            }
        }
        rule::Rule::Map { values, .. } => collect(values, &below("*"), paths),
        rule::Rule::List { items, .. } => collect(items, path, paths),
        rule::Rule::OneOf(rules) => rules.iter().for_each(|rule| collect(rule, path, paths)),
        rule::Rule::Same(rule) => collect(rule, path, paths),
        rule::Rule::Any | rule::Rule::Scalar(..) => {}
    }
}

/// Whether a key is a service's attribute.
pub fn is_service_key(key: &str) -> bool {
    matches!(&service::SERVICE, rule::Rule::Object(object) if object.fields.iter().any(|(name, _)| *name == key))
}

/// Checks a whole model.
///
/// # Errors
/// Every unknown key and wrong type, each at its place.
pub fn check(model: &Node) -> Result<(), Errors> {
    check::check(model, &top::ROOT)
}
