//! Brings a tree into its [`Shape`].

use super::Shape;
use super::scalars;
use crate::error::{Error, Errors};
use crate::node::{Map, Node, Value};
use crate::path::Path;

/// Coerces the model in place.
///
/// # Errors
/// Every value that doesn't have its attribute's form.
pub fn coerce(model: &mut Node, shape: &'static Shape) -> Result<(), Errors> {
    let mut errors = Vec::new();
    shaped(model, shape, &Path::ROOT, &mut errors);
    Errors(errors).into_result()
}

fn shaped(node: &mut Node, shape: &'static Shape, path: &Path, errors: &mut Vec<Error>) {
    match shape {
        Shape::Same(shape) => shaped(node, shape, path, errors),
        Shape::Object(fields) => object(node, fields, path, errors),
        Shape::Map(values) => {
            for (key, child) in node.as_map_mut().into_iter().flatten() {
                if !child.is_null() {
                    shaped(child, values, &path.key(key), errors);
                }
            }
        }
        Shape::List(items) => {
            for (index, child) in node.as_list_mut().into_iter().flatten().enumerate() {
                shaped(child, items, &path.index(index), errors);
            }
        }
        _ => match scalars::value(node, shape, path) {
            Ok(value) => node.value = value,
            Err(error) => errors.push(error),
        },
    }
}

fn object(node: &mut Node, fields: &'static [(&'static str, Shape)], path: &Path, errors: &mut Vec<Error>) {
    let span = node.span;
    let Some(map) = node.as_map_mut() else { return };
    map.retain(|key, child| {
        let Some((name, shape)) = fields.iter().find(|(name, _)| name == key) else { return true };
        if child.is_null() && !matches!(shape, Shape::Command) {
            return false;
        }
        shaped(child, shape, &path.key(name), errors);
        !is_zero(child, shape)
    });
    // A command that is absent is null: the image's.
    for (name, _) in fields.iter().filter(|(_, shape)| matches!(shape, Shape::Command)) {
        map.entry((*name).to_owned()).or_insert_with(|| Node::new(Value::Null, span));
    }
}

/// Whether an attribute is left out because it says nothing.
fn is_zero(node: &Node, shape: &Shape) -> bool {
    match (shape, &node.value) {
        (Shape::Same(shape), _) => is_zero(node, shape),
        (Shape::OptOut, Value::Bool(value)) => *value,
        (Shape::Flag, Value::Bool(value)) => !value,
        (Shape::Integer | Shape::DeviceCount, Value::Int(value)) => *value == 0,
        (Shape::Float | Shape::Cpus, _) => node.as_float() == Some(0.0),
        (Shape::Text, Value::String(text)) => text.is_empty(),
        (Shape::Bytes, Value::String(text)) => text == "0",
        (Shape::Duration, Value::String(text)) => text == "0s",
        (
            Shape::Texts
            | Shape::Environment
            | Shape::Labels
            | Shape::MultiOptions
            | Shape::Hosts
            | Shape::Ssh
            | Shape::List(_)
            | Shape::Map(_)
            | Shape::HealthTest,
            Value::List(items),
        ) => items.is_empty(),
        (Shape::Environment | Shape::Labels | Shape::MultiOptions | Shape::Map(_), Value::Map(map)) => map.is_empty(),
        _ => false,
    }
}

/// The tree without the `x-…` keys of its objects, but for the top level's.
pub fn without_extensions(node: &Node, shape: &'static Shape) -> Node {
    let mut out = node.clone();
    strip(&mut out, shape, true);
    out
}

fn strip(node: &mut Node, shape: &'static Shape, top: bool) {
    match (shape, &mut node.value) {
        (Shape::Same(shape), _) => strip(node, shape, top),
        (Shape::Map(values), Value::Map(map)) => map.values_mut().for_each(|child| strip(child, values, false)),
        (Shape::List(items), Value::List(list)) => list.iter_mut().for_each(|child| strip(child, items, false)),
        (Shape::Object(fields), Value::Map(map)) => {
            if !top {
                drop_extensions(map);
            }
            for (name, shape) in *fields {
                if let Some(child) = map.get_mut(*name) {
                    strip(child, shape, false);
                }
            }
        }
        _ => {}
    }
}

fn drop_extensions(map: &mut Map) {
    map.retain(|key, _| !key.starts_with("x-"));
}
