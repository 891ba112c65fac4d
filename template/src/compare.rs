//! `eq ne lt le gt ge`.

use std::cmp::Ordering;

use super::value::{Shape, Value};

/// Calls a comparison.
pub fn call(name: &str, args: &[Value]) -> Result<Value, String> {
    let (first, rest) = args.split_first().ok_or_else(|| missing(name, args))?;
    if name == "eq" {
        if rest.is_empty() {
            return Err("missing argument for comparison".into());
        }
        for other in rest {
            if equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    let [second] = rest else { return Err(missing(name, args)) };
    let result = match name {
        "ne" => !equal(first, second)?,
        "lt" => order(first, second)? == Some(Ordering::Less),
        "le" => matches!(order(first, second)?, Some(Ordering::Less | Ordering::Equal)),
        "gt" => order(first, second)? == Some(Ordering::Greater),
        _ => matches!(order(first, second)?, Some(Ordering::Greater | Ordering::Equal)),
    };
    Ok(Value::Bool(result))
}

fn missing(name: &str, args: &[Value]) -> String {
    let (least, wanted) = if name == "eq" { ("at least ", 1) } else { ("", 2) };
    format!("wrong number of args for {name}: want {least}{wanted} got {}", args.len())
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Integer(a), Value::Integer(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::None | Value::Null(Shape::Pointer), Value::None | Value::Null(Shape::Pointer)) => Ok(true),
        (Value::None | Value::Null(Shape::Pointer), _) | (_, Value::None | Value::Null(Shape::Pointer)) => Ok(false),
        (a, b) if a.is_basic() && b.is_basic() => Err("incompatible types for comparison".into()),
        (a, b) => {
            let culprit = if a.is_basic() { b } else { a };
            Err(format!("non-comparable type {}: {}", culprit.print(), culprit.type_name()))
        }
    }
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (a, b) if a.is_basic() && b.is_basic() && std::mem::discriminant(a) != std::mem::discriminant(b) => {
            Err("incompatible types for comparison".into())
        }
        _ => Err("invalid type for comparison".into()),
    }
}

impl Value {
    fn is_basic(&self) -> bool {
        matches!(self, Self::Bool(_) | Self::Integer(_) | Self::Float(_) | Self::Text(_))
    }
}
