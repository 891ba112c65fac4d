//! Applies a [`Rule`] to a tree.

use std::collections::HashSet;

use super::rule::{BOOL, Check, INT, NULL, NUM, Names, Object, Rule, STR, Types};
use crate::error::{Error, Errors};
use crate::node::{Map, Node, Value};
use crate::path::Path;
use crate::suggest;

/// Most errors that one check reports.
const ERROR_LIMIT: usize = 50;

/// Checks `node` and everything below it.
pub fn check(node: &Node, rule: &'static Rule) -> Result<(), Errors> {
    let mut errors = Vec::new();
    value(node, rule, &Path::ROOT, &mut errors);
    errors.truncate(ERROR_LIMIT);
    Errors(errors).into_result()
}

fn value(node: &Node, rule: &'static Rule, path: &Path, errors: &mut Vec<Error>) {
    match (rule, &node.value) {
        (Rule::Any, _) => {}
        (Rule::Same(rule), _) => value(node, rule, path, errors),
        (Rule::OneOf(rules), _) => match rules.iter().find(|rule| accepts(rule, node)) {
            Some(rule) => value(node, rule, path, errors),
            None => errors.push(Error::mistyped(node, display(path), expected(rule))),
        },
        (Rule::Scalar(_, wanted), _) if accepts(rule, node) => scalar(node, wanted, path, errors),
        (Rule::List { items: rule, unique }, Value::List(items)) => {
            for (index, item) in items.iter().enumerate() {
                value(item, rule, &path.index(index), errors);
            }
            if *unique {
                repeated(items, path, errors);
            }
        }
        (Rule::Map { values, names }, Value::Map(map)) => free_keys(map, values, *names, path, errors),
        (Rule::Object(object), Value::Map(map)) => fixed_keys(node, map, object, path, errors),
        _ => errors.push(Error::mistyped(node, display(path), expected(rule))),
    }
}

/// Whether the node is of a kind that the rule is about.
fn accepts(rule: &Rule, node: &Node) -> bool {
    match rule {
        Rule::Any => true,
        Rule::Same(rule) => accepts(rule, node),
        Rule::OneOf(rules) => rules.iter().any(|rule| accepts(rule, node)),
        Rule::List { .. } => matches!(node.value, Value::List(_)),
        Rule::Map { .. } | Rule::Object(_) => matches!(node.value, Value::Map(_)),
        Rule::Scalar(types, _) => match node.value {
            Value::Null => types.has(NULL),
            Value::Bool(_) => types.has(BOOL),
            Value::Int(_) => types.has(INT) || types.has(NUM),
            Value::Float(float) => types.has(NUM) || (types.has(INT) && float.fract() == 0.0),
            Value::String(_) | Value::Time(_) => types.has(STR),
            Value::List(_) | Value::Map(_) => false,
        },
    }
}

fn display(path: &Path) -> String {
    let path = path.to_string();
    if path.is_empty() { "the top level".into() } else { path }
}

/// What the rule wants, in words: `a string or a list`.
fn expected(rule: &Rule) -> String {
    let mut kinds = Vec::new();
    kinds_of(rule, &mut kinds);
    match kinds.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "something else".into(),
    }
}

fn kinds_of(rule: &Rule, kinds: &mut Vec<&'static str>) {
    match rule {
        Rule::Any => kinds.push("anything"),
        Rule::Same(rule) => kinds_of(rule, kinds),
        Rule::OneOf(rules) => rules.iter().for_each(|rule| kinds_of(rule, kinds)),
        Rule::List { .. } => kinds.push("a list"),
        Rule::Map { .. } | Rule::Object(_) => kinds.push("a mapping"),
        Rule::Scalar(types, _) => {
            let words: [(Types, &str); 5] =
                [(STR, "a string"), (INT, "an integer"), (NUM, "a number"), (BOOL, "a boolean"), (NULL, "null")];
            kinds.extend(words.iter().filter(|(kind, _)| types.has(*kind)).map(|(_, word)| *word));
        }
    }
}

fn scalar(node: &Node, wanted: &Check, path: &Path, errors: &mut Vec<Error>) {
    let reason = match (wanted, &node.value) {
        (Check::Words(words), Value::String(text)) if !words.contains(&text.as_str()) => {
            let likely = suggest::did_you_mean(suggest::closest(text, words.iter().copied()));
            format!("value must be one of {}, not {text:?}{likely}", words.join(", "))
        }
        (Check::Range(low, high), Value::Float(number)) if *number < *low as f64 || *number > *high as f64 => {
            format!("must be from {low} to {high}, not {number}")
        }
        (Check::Range(low, high), Value::Int(number)) if !(i128::from(*low)..=i128::from(*high)).contains(number) => {
            if *high == i64::MAX {
                format!("must be at least {low}, not {number}")
            } else {
                format!("must be from {low} to {high}, not {number}")
            }
        }
        (Check::ContainerName, Value::String(text)) if !container_name(text) => {
            format!("{text:?} does not match pattern '[a-zA-Z0-9][a-zA-Z0-9_.-]+'")
        }
        (Check::PullPolicy, Value::String(text)) if !pull_policy(text) => {
            format!(
                "{text:?} is none of always, never, build, if_not_present, missing, daily, weekly, every_<duration>"
            )
        }
        _ => return,
    };
    errors.push(Error::invalid(node.span, path, reason));
}

/// `[a-zA-Z0-9][a-zA-Z0-9_.-]+` somewhere in the text.
fn container_name(text: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.as_bytes().windows(2).any(|pair| pair[0].is_ascii_alphanumeric() && rest(pair[1]))
}

fn pull_policy(text: &str) -> bool {
    let words = ["always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    words.iter().any(|word| text.contains(word))
        || text.split_once("every_").is_some_and(|(_, every)| {
            let digits = every.bytes().take_while(u8::is_ascii_digit).count();
            digits > 0 && every.as_bytes().get(digits).is_some_and(|unit| b"wdhms".contains(unit))
        })
}

fn repeated(items: &[Node], path: &Path, errors: &mut Vec<Error>) {
    let mut seen = HashSet::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        // The number 80 and the text "80" are the same item.
        let text = item.scalar_text().unwrap_or_else(|| crate::config::json::value(item).to_string());
        if !seen.insert(text) {
            errors.push(Error::invalid(
                item.span,
                path,
                format!("items must be unique, but item {index} repeats an earlier one"),
            ));
        }
    }
}

fn free_keys(map: &Map, values: &'static Rule, names: Names, path: &Path, errors: &mut Vec<Error>) {
    for (key, child) in map {
        let resource = !key.is_empty()
            && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        let (allowed, checked) = match names {
            Names::Any => (!key.is_empty(), true),
            Names::Resource => (resource, true),
            Names::ResourceOrAny => (true, resource),
            Names::Ulimit => (true, key.bytes().any(|byte| byte.is_ascii_lowercase())),
        };
        if !allowed {
            let hint = match names {
                Names::Any => String::new(),
                _ => ": a name has letters, digits, '.', '_' and '-'".into(),
            };
            unknown(key, child, hint, path, errors);
        } else if checked {
            value(child, values, &path.key(key), errors);
        }
    }
}

fn fixed_keys(node: &Node, map: &Map, object: &'static Object, path: &Path, errors: &mut Vec<Error>) {
    for (key, child) in map {
        match object.fields.iter().find(|(name, _)| name == key) {
            Some((_, rule)) => value(child, rule, &path.key(key), errors),
            None if object.extensions && key.starts_with("x-") => {}
            None => {
                let names = object.fields.iter().map(|(name, _)| *name);
                let hint = match misplaced_service(child, path) {
                    true => ": services belong below \"services:\"".into(),
                    false => suggest::did_you_mean(suggest::closest(key, names)),
                };
                unknown(key, child, hint, path, errors);
            }
        }
    }
    for name in object.required.iter().filter(|name| !map.contains_key(**name)) {
        errors.push(Error::invalid(node.span, display(path), format!("missing property '{name}'")));
    }
}

/// Whether a key of the top level holds what looks like a service.
fn misplaced_service(node: &Node, path: &Path) -> bool {
    path.to_string().is_empty() && ["image", "build"].iter().any(|key| node.get(key).is_some())
}

fn unknown(key: &str, child: &Node, hint: String, path: &Path, errors: &mut Vec<Error>) {
    let place = path.to_string();
    let place = if place.is_empty() { place } else { format!("{place} ") };
    errors.push(Error::UnknownKey { at: child.key.into(), path: place, key: key.to_owned(), hint });
}
