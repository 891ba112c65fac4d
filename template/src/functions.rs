//! What can be called: Go's functions and Docker's.

use super::evaluate::Functions;
use super::value::{Shape, Value};
use super::{compare, escape, printf};

/// Each function, the least number of its arguments, and the most.
const TABLE: &[(&str, usize, usize)] = &[
    ("and", 1, MANY),
    ("or", 1, MANY),
    ("not", 1, 1),
    ("call", 1, MANY),
    ("eq", 1, MANY),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("html", 0, MANY),
    ("js", 0, MANY),
    ("urlquery", 0, MANY),
    ("index", 1, MANY),
    ("slice", 1, MANY),
    ("len", 1, 1),
    ("print", 0, MANY),
    ("printf", 1, MANY),
    ("println", 0, MANY),
    ("json", 1, 1),
    ("split", 2, 2),
    ("join", 2, 2),
    ("title", 1, 1),
    ("lower", 1, 1),
    ("upper", 1, 1),
    ("pad", 3, 3),
    ("truncate", 2, 2),
];

const MANY: usize = usize::MAX;

/// Longest that `pad` makes a text on each side.
const PAD_MAX: i64 = 10_000;

/// Whether there is a function of this name.
pub fn exists(name: &str) -> bool {
    TABLE.iter().any(|(own, ..)| *own == name)
}

/// Complains of a wrong number of arguments.
pub fn check_count(name: &str, count: usize) -> Result<(), String> {
    // One that is not here takes one text.
    let known = TABLE.iter().find(|(own, ..)| *own == name);
    let (_, least, most) = known.unwrap_or(&("", 1, 1));
    let wanted = if *most == MANY { format!("at least {least}") } else { least.to_string() };
    if count < *least || count > *most {
        return Err(format!("wrong number of args for {name}: want {wanted} got {count}"));
    }
    Ok(())
}

/// Calls a function; `and` and `or` are the evaluator's, which leaves out what they do not need.
pub fn call(name: &str, args: &[Value], functions: Functions<'_>) -> Result<Value, String> {
    match name {
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare::call(name, args),
        "not" => Ok(Value::Bool(!args.first().is_some_and(Value::is_true))),
        "len" => length(&args[0]),
        "index" => args[1..].iter().try_fold(args[0].clone(), |value, key| index(&value, key)),
        "slice" => slice(&args[0], &args[1..]),
        "print" => Ok(Value::Text(printf::print(args))),
        "println" => Ok(Value::Text(printf::println(args))),
        "printf" => Ok(Value::Text(printf::printf(&args[0].print(), &args[1..]))),
        "html" => Ok(Value::Text(escape::html(&joined(args)))),
        "js" => Ok(Value::Text(escape::js(&joined(args)))),
        "urlquery" => Ok(Value::Text(escape::urlquery(&joined(args)))),
        "call" => Err(format!("non-function {} of type {}", args[0].print(), args[0].type_name())),
        _ => match (functions, args) {
            (Functions::Headers, _) => Ok(args[0].clone()),
            (Functions::Lookup(find), [Value::Text(text)]) if !exists(name) => find(name, text).map(Value::Text),
            _ => docker(name, args),
        },
    }
}

/// What a function wants of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Whatever there is.
    Any,
    /// A text.
    Text,
    /// A number without a fraction.
    Integer,
    /// A list of texts.
    Texts,
}

impl Parameter {
    /// What the argument of this number must be.
    pub fn of(name: &str, index: usize) -> Self {
        match (name, index) {
            ("join", 0) => Self::Texts,
            ("truncate", 1) | ("pad", 1 | 2) => Self::Integer,
            ("split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate", _) | ("printf", 0) => Self::Text,
            _ if !exists(name) => Self::Text,
            _ => Self::Any,
        }
    }

    /// Complains of a value that is not so; of a constant Go says another thing.
    pub fn check(self, value: &Value, constant: Option<&str>) -> Result<(), String> {
        let fits = match self {
            Self::Any => true,
            Self::Text => matches!(value, Value::Text(_)),
            Self::Integer => matches!(value, Value::Integer(_)),
            Self::Texts => value.type_name() == "[]string",
        };
        let (short, long) = match self {
            Self::Any | Self::Text => ("string", "string"),
            Self::Integer => ("int", "integer"),
            Self::Texts => ("[]string", "[]string"),
        };
        match (fits, value, constant) {
            (true, ..) => Ok(()),
            (false, _, Some("nil")) => Err(format!("cannot assign nil to {short}")),
            (false, _, Some(constant)) => Err(format!("expected {long}; found {constant}")),
            (false, Value::None, None) => Err(format!("invalid value; expected {short}")),
            (false, value, None) => Err(format!("wrong type for value; expected {short}; got {}", value.type_name())),
        }
    }
}

/// Docker's functions; their arguments have been checked.
fn docker(name: &str, args: &[Value]) -> Result<Value, String> {
    Ok(match (name, args) {
        ("json", [value]) => Value::Text(value.to_json().to_string()),
        ("split", [Value::Text(whole), Value::Text(separator)]) => {
            let parts: Vec<&str> = match separator.as_str() {
                "" => whole.split("").filter(|part| !part.is_empty()).collect(),
                separator => whole.split(separator).collect(),
            };
            Value::List(parts.into_iter().map(|part| Value::Text(part.to_owned())).collect())
        }
        ("join", [list, Value::Text(separator)]) => {
            let items =
                if let Value::List(items) = list { items.iter().map(Value::print).collect() } else { Vec::new() };
            Value::Text(items.join(separator))
        }
        ("title", [Value::Text(text)]) => Value::Text(title(text)),
        ("lower", [Value::Text(text)]) => Value::Text(text.to_lowercase()),
        ("upper", [Value::Text(text)]) => Value::Text(text.to_uppercase()),
        ("pad", [Value::Text(inner), Value::Integer(before), Value::Integer(behind)]) => {
            let blanks = |count: i64| " ".repeat(usize::try_from(count.clamp(0, PAD_MAX)).unwrap_or(0));
            Value::Text(match inner.is_empty() {
                true => String::new(),
                false => format!("{}{inner}{}", blanks(*before), blanks(*behind)),
            })
        }
        ("truncate", [Value::Text(whole), Value::Integer(most)]) => {
            let Ok(count) = usize::try_from(*most) else {
                return Err(format!("runtime error: slice bounds out of range [:{most}]"));
            };
            Value::Text(String::from_utf8_lossy(&whole.as_bytes()[..count.min(whole.len())]).into_owned())
        }
        _ => return Err("its arguments are of the wrong types".into()),
    })
}

/// One text stays as it is, everything else is printed.
fn joined(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => text.clone(),
        args => printf::print(args),
    }
}

/// Go's `strings.Title`: the first letter of each word.
fn title(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.push(c)
        } else {
            out.extend(c.to_uppercase())
        }
        inside = c.is_alphanumeric() || c == '_';
    }
    out
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.len(),
        Value::Null(Shape::List | Shape::Map) => 0,
        Value::None | Value::Null(_) => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Integer(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(value: &Value, key: &Value) -> Result<Value, String> {
    match value {
        Value::List(items) => {
            let at = position(key, items.len())?;
            items.get(at).cloned().ok_or_else(|| "reflect: slice index out of range".into())
        }
        Value::Text(text) => {
            let at = position(key, text.len())?;
            let byte = text.as_bytes().get(at).ok_or("reflect: string index out of range")?;
            Ok(Value::Integer(i64::from(*byte)))
        }
        Value::Null(Shape::List) => {
            position(key, 0)?;
            Err("reflect: slice index out of range".into())
        }
        Value::Map(map) => match key {
            // The zero value of maps of texts, which nearly all are; others have nothing there.
            Value::Text(key) => {
                let texts = map.values().all(|value| matches!(value, Value::Text(_)));
                let zero = if texts { Value::Text(String::new()) } else { Value::None };
                Ok(map.get(key).cloned().unwrap_or(zero))
            }
            Value::None | Value::Null(_) => Err("value is nil; should be of type string".into()),
            other => Err(format!("value has type {}; should be string", other.type_name())),
        },
        Value::Null(Shape::Map) => Ok(Value::Text(String::new())),
        Value::None | Value::Null(Shape::Pointer) => Err("index of untyped nil".into()),
        other => Err(format!("can't index item of type {}", other.type_name())),
    }
}

/// An index up to `length`.
fn position(key: &Value, length: usize) -> Result<usize, String> {
    let Value::Integer(n) = key else {
        return Err(match key {
            Value::None | Value::Null(_) => "cannot index slice/array with nil".into(),
            other => format!("cannot index slice/array with type {}", other.type_name()),
        });
    };
    let fits = usize::try_from(*n).ok().filter(|n| *n <= length);
    fits.ok_or_else(|| format!("index out of range: {n}"))
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::None | Value::Null(_) => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let most = if matches!(value, Value::Text(_)) { 2 } else { 3 };
    if bounds.len() > most {
        return Err(match most {
            2 => "cannot 3-index slice a string".into(),
            _ => format!("too many slice indexes: {}", bounds.len()),
        });
    }
    let begin = bounds.first().map_or(Ok(0), |bound| position(bound, length))?;
    let end = bounds.get(1).map_or(Ok(length), |bound| position(bound, length))?;
    if begin > end {
        return Err(format!("invalid slice index: {begin} > {end}"));
    }
    Ok(match value {
        Value::Text(text) => Value::Text(String::from_utf8_lossy(&text.as_bytes()[begin..end]).into_owned()),
        Value::List(items) => Value::List(items[begin..end].to_vec()),
        _ => Value::None,
    })
}
