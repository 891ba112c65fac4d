//! Trees as JSON.

use serde_json::{Map, Number};

use crate::node::{Node, Value};
use crate::typed::Shape;

/// The tree as a JSON value, keys sorted.
pub fn value(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(*value),
        Value::Int(value) => match (i64::try_from(*value), u64::try_from(*value)) {
            (Ok(value), _) => serde_json::Value::Number(value.into()),
            (_, Ok(value)) => serde_json::Value::Number(value.into()),
            _ => serde_json::Value::String(value.to_string()),
        },
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, serde_json::Value::Number),
        Value::Time(time) => serde_json::Value::String(time.rfc3339.clone()),
        Value::String(text) => serde_json::Value::String(text.clone()),
        Value::List(items) => serde_json::Value::Array(items.iter().map(value).collect()),
        Value::Map(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            serde_json::Value::Object(
                entries.into_iter().map(|(key, child)| (key.clone(), value(child))).collect::<Map<_, _>>(),
            )
        }
    }
}

/// The tree as a JSON value in Docker Compose's order: an object's keys as `shape` has them, then others; free keys sorted.
pub fn ordered(node: &Node, shape: &'static Shape) -> serde_json::Value {
    match (shape, &node.value) {
        (Shape::Same(shape), _) => ordered(node, shape),
        (Shape::List(items), Value::List(list)) => list.iter().map(|item| ordered(item, items)).collect(),
        (Shape::Map(values), Value::Map(map)) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by(|a, b| a.0.cmp(b.0));
            entries.into_iter().map(|(key, child)| (key.clone(), ordered(child, values))).collect()
        }
        (Shape::Object(fields), Value::Map(map)) => {
            let mut out = Map::new();
            for (name, shape) in *fields {
                if let Some(child) = map.get(*name) {
                    out.insert((*name).to_owned(), ordered(child, shape));
                }
            }
            let mut rest: Vec<_> = map.iter().filter(|(key, _)| !out.contains_key(*key)).collect();
            rest.sort_by(|a, b| a.0.cmp(b.0));
            out.extend(rest.into_iter().map(|(key, child)| (key.clone(), value(child))).collect::<Map<_, _>>());
            serde_json::Value::Object(out)
        }
        (Shape::Ulimit, Value::Map(_)) => ordered(node, &LIMITS),
        _ => value(node),
    }
}

static LIMITS: Shape = Shape::Object(&[("soft", Shape::OptionalInteger), ("hard", Shape::OptionalInteger)]);

/// Doubles every `$` in string values, so that the output can be loaded again.
pub fn escape(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        serde_json::Value::Array(items) => items.iter_mut().for_each(escape),
        serde_json::Value::Object(map) => map.values_mut().for_each(escape),
        _ => {}
    }
}

/// Where Docker Compose's JSON differs from the specification: it leaves `models` and `pull_refresh_after` out and writes the fields of
/// `blkio_config` with capitals.
pub fn docker_form(project: &mut serde_json::Value) {
    if let Some(top) = project.as_object_mut() {
        top.shift_remove("models");
    }
    let services = project.get_mut("services").and_then(|services| services.as_object_mut());
    for service in services.into_iter().flat_map(|map| map.values_mut()) {
        if let Some(service) = service.as_object_mut() {
            service.shift_remove("pull_refresh_after");
        }
        let limits = service.get_mut("blkio_config").and_then(|blkio| blkio.as_object_mut());
        for item in limits.into_iter().flat_map(|map| map.values_mut()).filter_map(|list| list.as_array_mut()).flatten()
        {
            let Some(fields) = item.as_object_mut() else { continue };
            for (from, to) in [("path", "Path"), ("rate", "Rate"), ("weight", "Weight")] {
                if let Some(value) = fields.shift_remove(from) {
                    fields.insert(to.to_owned(), value);
                }
            }
        }
    }
}
