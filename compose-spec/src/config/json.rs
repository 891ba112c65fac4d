//! Trees as JSON.

use serde_json::{Map, Number};

use crate::node::{Node, Value};

/// The tree as a JSON value, keys sorted.
pub fn value(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => serde_json::Value::Bool(*value),
        Value::Int(value) => serde_json::Value::Number((*value).into()),
        Value::Float(value) => Number::from_f64(*value).map_or(serde_json::Value::Null, serde_json::Value::Number),
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

/// Doubles every `$` in string values, so that the output can be loaded again.
pub fn escape(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) if text.contains('$') => *text = text.replace('$', "$$"),
        serde_json::Value::Array(items) => items.iter_mut().for_each(escape),
        serde_json::Value::Object(map) => map.values_mut().for_each(escape),
        _ => {}
    }
}

/// Where Docker Compose's JSON differs from the specification: it leaves `models` out and writes the fields of
/// `blkio_config` with capitals.
pub fn docker_form(project: &mut serde_json::Value) {
    if let Some(top) = project.as_object_mut() {
        top.shift_remove("models");
    }
    let services = project.get_mut("services").and_then(|services| services.as_object_mut());
    for service in services.into_iter().flat_map(|map| map.values_mut()) {
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
