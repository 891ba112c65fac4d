//! The tree every stage works on: YAML values that remember where they were written.

use std::sync::Arc;

use indexmap::IndexMap;

/// Index of a file in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// The names of the files of one load, in the order they were opened.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Arc<str>>);

impl Sources {
    /// Registers a file and returns its index.
    pub fn add(&mut self, name: &str) -> SourceId {
        self.0.push(Arc::from(name));
        SourceId(self.0.len() as u32)
    }

    /// The file's name; `None` for nodes that the loader itself made.
    pub fn name(&self, id: SourceId) -> Option<Arc<str>> {
        (id.0 as usize).checked_sub(1).and_then(|at| self.0.get(at)).cloned()
    }
}

/// A place in a source file. Line and column count from 1; line 0 means "made by the loader".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// What the tags `!reset` and `!override` ask the merge to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Remove the key that earlier files set.
    Reset,
    /// Replace instead of merging.
    Override,
}

/// A moment that YAML's timestamp syntax names, in the two ways in which it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// RFC 3339, where the value is data.
    pub rfc3339: String,
    /// Go's own form, where the value becomes a string, such as a variable's.
    pub text: String,
}

/// A mapping with its keys in the order of the file.
pub type Map = IndexMap<String, Node>;

/// A YAML value after go-yaml's scalar rules.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `~`, `null` or nothing.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any integer form that has 64 bits, with or without a sign.
    Int(i128),
    /// Any float form, and integers beyond 64 bits.
    Float(f64),
    /// A date, with or without a time.
    Time(Box<Timestamp>),
    /// Everything else.
    String(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// A value, where it stands, and where its key stands.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where the value begins.
    pub span: Span,
    /// Where the key that holds this value begins; equal to `span` in a sequence.
    pub key: Span,
    /// `!reset` or `!override`, if tagged so.
    pub directive: Option<Directive>,
}

/// Nodes are equal when their values are; places don't count.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A node whose key and value stand at one place.
    pub fn new(value: Value, span: Span) -> Self {
        Self { value, span, key: span, directive: None }
    }

    /// A string node.
    pub fn string(text: impl Into<String>, span: Span) -> Self {
        Self::new(Value::String(text.into()), span)
    }

    /// An empty mapping.
    pub fn map(span: Span) -> Self {
        Self::new(Value::Map(Map::new()), span)
    }

    /// A boolean node.
    pub fn bool(value: bool, span: Span) -> Self {
        Self::new(Value::Bool(value), span)
    }

    /// Whether the value is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The value of an integer.
    pub fn as_int(&self) -> Option<i64> {
        match self.value {
            Value::Int(value) => i64::try_from(value).ok(),
            _ => None,
        }
    }

    /// The value of a number of either kind.
    pub fn as_float(&self) -> Option<f64> {
        match self.value {
            Value::Int(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The entry `key` of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map()?.get(key)
    }

    /// The entry `key` of a mapping.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.as_map_mut()?.get_mut(key)
    }

    /// The entry at the end of a chain of keys.
    pub fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// How many nodes the subtree has, itself included.
    pub fn size(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::size).sum::<usize>(),
            Value::Map(map) => 1 + map.values().map(Node::size).sum::<usize>(),
            _ => 1,
        }
    }

    /// How many levels the subtree has; a scalar has one.
    pub fn depth(&self) -> usize {
        match &self.value {
            Value::List(items) => 1 + items.iter().map(Node::depth).max().unwrap_or(0),
            Value::Map(map) => 1 + map.values().map(Node::depth).max().unwrap_or(0),
            _ => 1,
        }
    }

    /// The subtree as JSON, keys sorted.
    pub fn to_json(&self) -> serde_json::Value {
        crate::config::json::value(self)
    }

    /// What the node is, in the words of error messages.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Time(_) => "a date",
            Value::String(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// A scalar as text, the way Go prints it: `1.10` is `1.1`, `1e3` is `1000`. `None` for null, lists and mappings.
    pub fn scalar_text(&self) -> Option<String> {
        match &self.value {
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(float_text(*value)),
            Value::Time(time) => Some(time.text.clone()),
            Value::String(text) => Some(text.clone()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

/// A float in Go's `%v` form: shortest digits; an exponent from a million up and below 1e-4.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((text.as_str(), "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}
