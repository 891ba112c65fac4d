//! One value into its representation.

use super::{Shape, shellwords, units};
use crate::error::Error;
use crate::node::{Map, Node, Span, Value};
use crate::path::Path;

/// The value that `node` has in the given shape.
pub fn value(node: &Node, shape: &Shape, path: &Path) -> Result<Value, Error> {
    let refused = |reason: String| Error::invalid(node.span, path, reason);
    match shape {
        Shape::Text => text(node, path).map(Value::String),
        Shape::Flag | Shape::OptionalFlag | Shape::OptOut => flag(node, path).map(Value::Bool),
        Shape::Integer | Shape::OptionalInteger => integer(node, path).map(int),
        Shape::Float => float(node, path),
        Shape::Cpus => cpus(node, path),
        Shape::Bytes => bytes(node, path).map(|bytes| Value::String(bytes.to_string())),
        Shape::Duration | Shape::OptionalDuration => {
            let nanos = units::parse_duration(&text(node, path)?).map_err(refused)?;
            Ok(Value::String(units::duration_text(nanos)))
        }
        Shape::Mode => mode(node, path),
        Shape::Texts => texts(node, path),
        Shape::Environment => mapping(node, path, true),
        Shape::Labels => mapping(node, path, false),
        Shape::MultiOptions => multi_options(node, path),
        Shape::Command => command(node, path),
        Shape::HealthTest => health_test(node, path),
        Shape::Hosts => hosts(node, path),
        Shape::Ssh => ssh(node, path),
        Shape::Ulimit => ulimit(node, path),
        Shape::DeviceCount => device_count(node, path),
        Shape::List(_) | Shape::Map(_) | Shape::Object(_) | Shape::Same(_) => Ok(node.value.clone()),
    }
}

fn text(node: &Node, path: &Path) -> Result<String, Error> {
    match node.value {
        Value::Time(_) => Err(Error::mistyped(node, path, "a string: quote it")),
        _ => node.scalar_text().ok_or_else(|| Error::mistyped(node, path, "a string")),
    }
}

fn flag(node: &Node, path: &Path) -> Result<bool, Error> {
    match &node.value {
        Value::Bool(value) => Ok(*value),
        Value::String(word) => match word.to_lowercase().as_str() {
            "true" | "y" | "yes" | "on" => Ok(true),
            "false" | "n" | "no" | "off" => Ok(false),
            _ => Err(Error::invalid(node.span, path, format!("invalid boolean: {word}"))),
        },
        _ => Err(Error::mistyped(node, path, "a boolean")),
    }
}

fn integer(node: &Node, path: &Path) -> Result<i64, Error> {
    match &node.value {
        Value::Int(value) => {
            i64::try_from(*value).map_err(|_| Error::invalid(node.span, path, format!("{value} is out of range")))
        }
        Value::Float(value) if value.abs() < 9e18 => Ok(*value as i64),
        Value::String(text) => {
            text.parse().map_err(|_| Error::invalid(node.span, path, format!("{text:?} is not an integer")))
        }
        _ => Err(Error::mistyped(node, path, "an integer")),
    }
}

fn float(node: &Node, path: &Path) -> Result<Value, Error> {
    let value = match &node.value {
        Value::String(text) => text.parse().ok().filter(|value: &f64| value.is_finite()),
        _ => node.as_float().filter(|value| value.is_finite()),
    };
    let value = value.ok_or_else(|| Error::mistyped(node, path, "a finite number"))?;
    Ok(if value.fract() == 0.0 && value.abs() < 1e15 { Value::Int(value as i128) } else { Value::Float(value) })
}

fn int(value: i64) -> Value {
    Value::Int(value.into())
}

/// Numbers of CPUs have the precision of a 32-bit float, as in the reference.
fn cpus(node: &Node, path: &Path) -> Result<Value, Error> {
    match float(node, path)? {
        Value::Float(value) => {
            let short = (value as f32).to_string().parse().ok();
            Ok(Value::Float(short.filter(|value: &f64| value.is_finite()).unwrap_or(value)))
        }
        value => Ok(value),
    }
}

fn bytes(node: &Node, path: &Path) -> Result<i64, Error> {
    match &node.value {
        Value::String(text) => units::parse_bytes(text).map_err(|reason| Error::invalid(node.span, path, reason)),
        _ => integer(node, path),
    }
}

/// `0440`, `"0440"` and 288 are all the mode 0440.
fn mode(node: &Node, path: &Path) -> Result<Value, Error> {
    let bits = match &node.value {
        Value::String(text) => i64::from_str_radix(text, 8)
            .map_err(|_| Error::invalid(node.span, path, format!("{text:?} is not an octal mode")))?,
        Value::Float(_) => return Err(Error::mistyped(node, path, "an octal mode")),
        _ => integer(node, path)?,
    };
    if !(0..=0o7777).contains(&bits) {
        return Err(Error::invalid(node.span, path, format!("0{bits:o} is no file mode")));
    }
    Ok(Value::String(format!("0{bits:o}")))
}

fn texts(node: &Node, path: &Path) -> Result<Value, Error> {
    let Value::List(items) = &node.value else {
        return Ok(Value::List(vec![Node::string(text(node, path)?, node.span)]));
    };
    let item = |(index, item): (usize, &Node)| match item.value {
        Value::Float(_) => Err(Error::mistyped(item, path.index(index), "a string or an integer")),
        _ => Ok(Node::string(text(item, &path.index(index))?, item.span)),
    };
    items.iter().enumerate().map(item).collect::<Result<_, Error>>().map(Value::List)
}

/// `{K: V}` and `[K=V]` as a mapping of strings; null values stay, or become empty.
fn mapping(node: &Node, path: &Path, keep_null: bool) -> Result<Value, Error> {
    let mut out = Map::new();
    let mut put = |key: &str, value: Option<String>, place: (Span, Span)| {
        let value = match (value, keep_null) {
            (Some(text), _) => Value::String(text),
            (None, true) => Value::Null,
            (None, false) => Value::String(String::new()),
        };
        let mut entry = Node::new(value, place.1);
        entry.key = place.0;
        out.insert(key.to_owned(), entry);
    };
    match &node.value {
        Value::Map(map) => {
            for (key, value) in map {
                let scalar = || value.scalar_text().ok_or_else(|| Error::mistyped(value, path.key(key), "a string"));
                let text = if value.is_null() { None } else { Some(scalar()?) };
                put(key, text, (value.key, value.span));
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                let line = text(item, &path.index(index))?;
                let (key, value) = match line.split_once('=') {
                    Some((key, value)) => (key, Some(value.to_owned())),
                    None => (line.as_str(), None),
                };
                if keep_null && key.ends_with(char::is_whitespace) {
                    let reason = format!("environment variable {key} is declared with a trailing space");
                    return Err(Error::invalid(item.span, path.index(index), reason));
                }
                put(key, value, (item.span, item.span));
            }
        }
        _ => return Err(Error::mistyped(node, path, "a mapping or a list")),
    }
    Ok(Value::Map(out))
}

fn multi_options(node: &Node, path: &Path) -> Result<Value, Error> {
    let mut out = Map::new();
    for (key, value) in node.as_map().into_iter().flatten() {
        let items = value.as_list().unwrap_or(std::slice::from_ref(value));
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            list.push(Node::string(text(item, &path.key(key))?, item.span));
        }
        out.insert(key.clone(), Node::new(Value::List(list), value.span));
    }
    Ok(Value::Map(out))
}

fn command(node: &Node, path: &Path) -> Result<Value, Error> {
    match &node.value {
        Value::Null => Ok(Value::Null),
        Value::String(line) => {
            let words = shellwords::split(line).map_err(|reason| Error::invalid(node.span, path, reason))?;
            Ok(Value::List(words.into_iter().map(|word| Node::string(word, node.span)).collect()))
        }
        _ => texts(node, path),
    }
}

fn health_test(node: &Node, path: &Path) -> Result<Value, Error> {
    match &node.value {
        Value::String(line) => {
            Ok(Value::List(vec![Node::string("CMD-SHELL", node.span), Node::string(line, node.span)]))
        }
        _ => texts(node, path),
    }
}

/// Extra hosts as sorted `HOST=IP`.
fn hosts(node: &Node, path: &Path) -> Result<Value, Error> {
    let mut lines: Vec<(String, String, Span)> = Vec::new();
    match &node.value {
        Value::Map(map) => {
            for (host, addresses) in map {
                let Value::List(addresses) = texts(addresses, &path.key(host))? else { continue };
                lines.extend(
                    addresses.iter().map(|ip| (host.clone(), ip.as_str().unwrap_or_default().to_owned(), ip.span)),
                );
            }
        }
        _ => {
            for (index, item) in node.as_list().into_iter().flatten().enumerate() {
                let line = text(item, &path.index(index))?;
                let (host, addresses) = line.split_once('=').or_else(|| line.split_once(':')).ok_or_else(|| {
                    Error::invalid(item.span, path.index(index), format!("invalid additional host, missing IP: {line}"))
                })?;
                lines.extend(addresses.split(',').map(|ip| (host.to_owned(), ip.to_owned(), item.span)));
            }
        }
    }
    let mut out = Vec::with_capacity(lines.len());
    for (host, ip, span) in lines {
        if host.is_empty() || host.contains([':', '=']) {
            return Err(Error::invalid(span, path, format!("bad host name '{host}'")));
        }
        let ip = if ip.len() > 2 && ip.starts_with('[') && ip.ends_with(']') { &ip[1..ip.len() - 1] } else { &ip };
        out.push(Node::string(format!("{host}={ip}"), span));
    }
    out.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    Ok(Value::List(out))
}

fn ssh(node: &Node, path: &Path) -> Result<Value, Error> {
    let mut out = Vec::new();
    for (id, value) in node.as_map().into_iter().flatten() {
        let line = if value.is_null() { id.clone() } else { format!("{id}={}", text(value, &path.key(id))?) };
        out.push(Node::string(line, value.span));
    }
    Ok(Value::List(out))
}

fn ulimit(node: &Node, path: &Path) -> Result<Value, Error> {
    let Value::Map(map) = &node.value else { return integer(node, path).map(int) };
    let mut out = Map::new();
    for (key, value) in map {
        let number = if key.starts_with("x-") { value.value.clone() } else { int(integer(value, &path.key(key))?) };
        out.insert(key.clone(), Node { value: number, ..value.clone() });
    }
    Ok(Value::Map(out))
}

/// `all` is -1.
fn device_count(node: &Node, path: &Path) -> Result<Value, Error> {
    match &node.value {
        Value::String(word) if word.eq_ignore_ascii_case("all") => Ok(Value::Int(-1)),
        Value::String(text) => text.parse().map(int).map_err(|_| {
            Error::invalid(
                node.span,
                path,
                format!("invalid value {text:?}, the only value allowed is 'all' or a number"),
            )
        }),
        _ => integer(node, path).map(int),
    }
}
