//! YAML as vendors' tools write it, to JSON: no anchors, no tags, one document.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Deeper and larger than any device specification.
const DEPTH: usize = 32;
const NODES: usize = 200_000;

/// A collection whose end hasn't come yet.
enum Frame {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

/// Reads the first document.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser::new_from_str(text);
    let mut stack: Vec<Frame> = Vec::new();
    let mut nodes = 0;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| format!("not valid YAML: {}", error.info()))?;
        let at = |reason: &str| format!("line {}: {reason}", span.start.line());
        nodes += 1;
        if nodes > NODES || stack.len() > DEPTH {
            return Err(at("the file is too large or too deep"));
        }
        let value = match event {
            Event::Scalar(text, style, 0, None) => match stack.last_mut() {
                Some(Frame::Map(map, key @ None)) => {
                    if map.contains_key(text.as_ref()) {
                        return Err(at(&format!("the key {text:?} is there twice")));
                    }
                    *key = Some(text.into_owned());
                    continue;
                }
                _ if style == ScalarStyle::Plain => plain(&text),
                _ => Value::String(text.into_owned()),
            },
            Event::SequenceStart(0, None) => {
                stack.push(Frame::List(Vec::new()));
                continue;
            }
            Event::MappingStart(0, None) => {
                if let Some(Frame::Map(_, None)) = stack.last() {
                    return Err(at("a key must be a word"));
                }
                stack.push(Frame::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Frame::List(list)) => Value::Array(list),
                Some(Frame::Map(map, _)) => Value::Object(map),
                None => return Err(at("an end without a beginning")),
            },
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => {
                return Err(at("anchors, aliases and tags have no place in a device specification"));
            }
            Event::StreamEnd => break,
            _ => continue,
        };
        match stack.last_mut() {
            None => return Ok(value),
            Some(Frame::List(list)) => list.push(value),
            Some(Frame::Map(map, key)) => match key.take() {
                Some(key) => drop(map.insert(key, value)),
                None => return Err(at("a key must be a word")),
            },
        }
    }
    Err("there is nothing in it".into())
}

/// YAML 1.2's core schema, and octal modes with a leading zero as Go's library reads them.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let octal = text.strip_prefix("0o").or_else(|| text.strip_prefix('0').filter(|digits| !digits.is_empty()));
    let number = match (octal, text.strip_prefix("0x")) {
        (_, Some(digits)) => i64::from_str_radix(digits, 16).ok(),
        (Some(digits), None) => i64::from_str_radix(digits, 8).ok(),
        (None, None) => text.parse().ok(),
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_becomes_json() {
        let text = "a: 1\nb: ['x', \"2\", true, 0660, 0x10]\nc:\n- d: e f\n  g:\n- ~\n";
        let value = parse(text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({"a": 1, "b": ["x", "2", true, 432, 16], "c": [{"d": "e f", "g": null}, null]})
        );
        for bad in ["", "a: &x 1", "a: *x", "a: !t 1", "a: 1\na: 2", "? {}\n: 1", "[", &"[".repeat(100)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}:,a0&*!\" \n-]{0,60}") {
            let _ = parse(&text);
        }
    }
}
