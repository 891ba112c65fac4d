//! The variables that a model names, with the defaults that it gives them.

use std::collections::BTreeMap;

use super::template::{braced, name};
use crate::node::{Node, Value};

/// Deepest nesting of defaults that are looked into.
const DEPTH_LIMIT: usize = 32;

/// One variable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether loading fails without it.
    pub required: bool,
    /// `${NAME:-VALUE}`.
    pub default: String,
    /// `${NAME:+VALUE}`.
    pub alternate: String,
}

/// The variables of every value below `node`, sorted by name; of several mentions the last counts.
pub fn of(node: &Node) -> Vec<Variable> {
    let mut found = BTreeMap::new();
    collect(node, &mut found);
    found.into_values().collect()
}

fn collect(node: &Node, found: &mut BTreeMap<String, Variable>) {
    match &node.value {
        Value::String(text) => in_text(text, found, 0),
        Value::List(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Map(map) => map.values().for_each(|child| collect(child, found)),
        _ => {}
    }
}

/// Of several mentions in one text the reference keeps, in this order: nested ones, then earlier ones up to the last brace of
/// the line, then later ones.
fn in_text(text: &str, found: &mut BTreeMap<String, Variable>, depth: usize) {
    if depth > DEPTH_LIMIT {
        return;
    }
    let mut rest = text;
    // Expressions of one line, and where the text after its last brace begins.
    let (mut waiting, mut later) = (Vec::new(), text.len());
    while let Some(dollar) = rest.find('$') {
        let at = text.len() - rest.len() + dollar;
        if at >= later {
            waiting.drain(..).rev().for_each(|expression| in_expression(expression, found, depth));
        }
        let after = &rest[dollar + 1..];
        rest = match after.as_bytes().first() {
            Some(b'$') => &after[1..],
            Some(b'{') => match braced(after) {
                Ok((expression, tail)) => {
                    if waiting.is_empty() {
                        let line = tail.split('\n').next().unwrap_or_default();
                        later = text.len() - tail.len() + line.rfind('}').map_or(0, |at| at + 1);
                    }
                    waiting.push(expression);
                    tail
                }
                Err(_) => &after[1..],
            },
            _ => {
                let name = name(after);
                if !name.is_empty() {
                    found.insert(name.to_owned(), Variable { name: name.to_owned(), ..Variable::default() });
                }
                &after[name.len()..]
            }
        };
    }
    waiting.drain(..).rev().for_each(|expression| in_expression(expression, found, depth));
}

fn in_expression(expression: &str, found: &mut BTreeMap<String, Variable>, depth: usize) {
    let name = name(expression);
    if name.is_empty() {
        return;
    }
    let rest = &expression[name.len()..];
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let mut variable = Variable { name: name.to_owned(), ..Variable::default() };
    let word = rest.get(1..).unwrap_or_default();
    match rest.as_bytes().first() {
        Some(b'?') => variable.required = true,
        Some(b'-') => variable.default = word.to_owned(),
        Some(b'+') => variable.alternate = word.to_owned(),
        _ => {}
    }
    let nested = !variable.required;
    found.insert(name.to_owned(), variable);
    if nested {
        in_text(word, found, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Span;

    #[test]
    fn names_defaults_and_nesting() {
        let text = "$A ${B:-b} ${C?why} ${D+d} $$E ${F:-${G:-g}} ${H";
        let found = of(&Node::string(text, Span::default()));
        let row = |v: &Variable| format!("{}|{}|{}|{}", v.name, v.required, v.default, v.alternate);
        let rows: Vec<String> = found.iter().map(row).collect();
        assert_eq!(rows, ["A|false||", "B|false|b|", "C|true||", "D|false||d", "F|false|${G:-g}|", "G|false|g|"]);
    }
}
