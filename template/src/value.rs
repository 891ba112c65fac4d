//! What a template walks: JSON, with Go's structs told from its maps.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value as Json;

/// A value as Go has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// No value at all, as of a map's key that is not there.
    None,
    /// A null, and what it could have been.
    Null(Shape),
    /// `true`
    Bool(bool),
    /// `1`
    Integer(i64),
    /// `1.5`
    Float(f64),
    /// `"a"`
    Text(String),
    /// `[1 2]`
    List(Vec<Value>),
    /// Keys are data, and sorted; another key is no error.
    Map(BTreeMap<String, Value>),
    /// Keys are the program's; another key is an error.
    Struct(Box<Record>),
}

/// What a null stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// An empty list.
    List,
    /// An empty map.
    Map,
    /// Nothing of a type that has no empty value.
    Pointer,
}

/// A struct.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record {
    /// In the order of the program.
    pub fields: Vec<(String, Value)>,
    /// What the method `.Label` finds, of the rows of listings.
    pub labels: Option<BTreeMap<String, String>>,
    /// A listing's header has every field.
    pub is_header: bool,
}

/// Fields of Docker's that are maps even if all keys look like fields.
const MAPS: &[&str] = &[
    "Annotations",
    "Attributes",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields of Docker's that are lists when there is none.
const LISTS: &[&str] = &[
    "Aliases",
    "Args",
    "Binds",
    "BlkioDeviceReadBps",
    "BlkioDeviceReadIOps",
    "BlkioDeviceWriteBps",
    "BlkioDeviceWriteIOps",
    "BlkioWeightDevice",
    "CapAdd",
    "CapDrop",
    "Cmd",
    "DNSNames",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "Entrypoint",
    "Env",
    "ExecIDs",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "Mounts",
    "OnBuild",
    "RepoDigests",
    "RepoTags",
    "SecurityOpt",
    "Shell",
    "Ulimits",
    "VolumesFrom",
];

impl From<&Json> for Value {
    fn from(json: &Json) -> Self {
        Self::named("", json)
    }
}

impl Value {
    /// The row of a listing, whose `.Label "key"` looks into these.
    pub fn row(json: &Json, labels: BTreeMap<String, String>) -> Self {
        match Self::from(json) {
            Self::Struct(mut record) => {
                record.labels = Some(labels);
                Self::Struct(record)
            }
            other => other,
        }
    }

    /// The header of a listing: words for fields, and for `.Label "a.b"` the last word of the label.
    pub fn header(words: BTreeMap<String, Value>) -> Self {
        let fields = words.into_iter().collect();
        Self::Struct(Box::new(Record { fields, labels: None, is_header: true }))
    }

    /// The value of a field of this name.
    fn named(name: &str, json: &Json) -> Self {
        match json {
            Json::Null if LISTS.contains(&name) => Self::Null(Shape::List),
            Json::Null if MAPS.contains(&name) => Self::Null(Shape::Map),
            Json::Null => Self::Null(Shape::Pointer),
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Json::Object(object) => {
                let is_map = object.is_empty() || MAPS.contains(&name) || !object.keys().all(|key| is_field(key));
                let fields = object.iter().map(|(key, value)| (key.clone(), Self::named(key, value)));
                match is_map {
                    true => Self::Map(fields.collect()),
                    false => Self::Struct(Box::new(Record { fields: fields.collect(), ..Record::default() })),
                }
            }
        }
    }

    /// As JSON: structs in their order, maps sorted.
    pub fn to_json(&self) -> Json {
        match self {
            Self::None | Self::Null(_) => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Integer(value) => Json::from(*value),
            Self::Float(value) => Json::from(*value),
            Self::Text(text) => Json::String(text.clone()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Map(map) => Json::Object(map.iter().map(|(key, value)| (key.clone(), value.to_json())).collect()),
            Self::Struct(record) => {
                Json::Object(record.fields.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    /// What counts as true: all but zero, empty and absent values; a struct always does.
    pub fn is_true(&self) -> bool {
        match self {
            Self::None | Self::Null(_) => false,
            Self::Bool(value) => *value,
            Self::Integer(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Struct(_) => true,
        }
    }

    /// Go's name of the type, as far as errors need it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None => "<nil>",
            Self::Null(Shape::Pointer) => "nil",
            Self::Bool(_) => "bool",
            Self::Integer(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(items) if !items.iter().all(Self::is_text) => "[]interface {}",
            Self::List(_) | Self::Null(Shape::List) => "[]string",
            Self::Map(map) if !map.values().all(Self::is_text) => "map[string]interface {}",
            Self::Map(_) | Self::Null(Shape::Map) => "map[string]string",
            Self::Struct(_) => "struct",
        }
    }

    /// As Go prints it by itself: `%v`.
    pub fn print(&self) -> String {
        match self {
            Self::None => "<no value>".into(),
            Self::Null(Shape::Pointer) => "<nil>".into(),
            Self::Null(Shape::List) => "[]".into(),
            Self::Null(Shape::Map) => "map[]".into(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => float(*value),
            Self::Text(text) => text.clone(),
            Self::List(items) => format!("[{}]", words(items.iter().map(Self::print_inside))),
            Self::Map(map) => {
                format!("map[{}]", words(map.iter().map(|(key, value)| format!("{key}:{}", value.print_inside()))))
            }
            Self::Struct(record) => {
                format!("{{{}}}", words(record.fields.iter().map(|(_, value)| value.print_inside())))
            }
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    /// Within another value nothing is `<nil>`.
    fn print_inside(&self) -> String {
        if *self == Self::None { "<nil>".into() } else { self.print() }
    }
}

fn words(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(" ")
}

/// Go's exported names: those that structs have in templates.
fn is_field(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_uppercase()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Go's `%v` of a float, which has an exponent below 1e-4 and from 1e6.
pub fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) { exponent(&format!("{value:e}")) } else { value.to_string() }
}

/// From Rust's exponents to Go's, of two digits at least and with a sign.
pub fn exponent(text: &str) -> String {
    let Some((digits, power)) = text.split_once('e') else { return text.to_owned() };
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    let mut out = digits.to_owned();
    let _ = write!(out, "e{sign}{power:0>2}");
    out
}
