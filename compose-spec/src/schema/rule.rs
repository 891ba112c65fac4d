//! The notation of the schema.

/// Scalar types, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types(pub u8);

pub const STR: Types = Types(1);
pub const INT: Types = Types(2);
/// Any number, integers included.
pub const NUM: Types = Types(4);
pub const BOOL: Types = Types(8);
pub const NULL: Types = Types(16);

impl Types {
    pub const fn or(self, other: Types) -> Types {
        Types(self.0 | other.0)
    }

    pub const fn has(self, other: Types) -> bool {
        self.0 & other.0 != 0
    }
}

/// What a scalar must satisfy beyond its type.
#[derive(Debug, Clone, Copy)]
pub enum Check {
    None,
    /// One of these words.
    Words(&'static [&'static str]),
    /// An integer in this range.
    Range(i64, i64),
    /// Contains two characters that begin a container name.
    ContainerName,
    /// Contains one of the pull policies.
    PullPolicy,
}

/// Which keys a mapping with free keys may have.
#[derive(Debug, Clone, Copy)]
pub enum Names {
    /// Any but the empty one.
    Any,
    /// Names of services, volumes and so on: letters, digits, `.`, `_`, `-`.
    Resource,
    /// As `Resource`, but other names go unchecked.
    ResourceOrAny,
    /// Lower-case letters; other names go unchecked.
    Ulimit,
}

/// A mapping with fixed keys.
#[derive(Debug)]
pub struct Object {
    pub fields: &'static [(&'static str, Rule)],
    pub required: &'static [&'static str],
    /// Whether `x-…` keys are allowed.
    pub extensions: bool,
}

/// What a value must be.
#[derive(Debug)]
pub enum Rule {
    Any,
    Scalar(Types, Check),
    List {
        items: &'static Rule,
        unique: bool,
    },
    Map {
        values: &'static Rule,
        names: Names,
    },
    Object(Object),
    /// Fits one of these; they differ in kind, so the value's kind chooses.
    OneOf(&'static [Rule]),
    /// The same rule in another place.
    Same(&'static Rule),
}

pub const fn of(types: Types) -> Rule {
    Rule::Scalar(types, Check::None)
}

pub const fn object(fields: &'static [(&'static str, Rule)]) -> Rule {
    Rule::Object(Object { fields, required: &[], extensions: true })
}

pub const fn requiring(required: &'static [&'static str], fields: &'static [(&'static str, Rule)]) -> Rule {
    Rule::Object(Object { fields, required, extensions: true })
}

pub const fn list(items: &'static Rule) -> Rule {
    Rule::List { items, unique: false }
}

pub const fn set(items: &'static Rule) -> Rule {
    Rule::List { items, unique: true }
}

pub static STRING: Rule = of(STR);
pub static STRINGS: Rule = list(&STRING);
pub static STRING_SET: Rule = set(&STRING);
pub static STRING_OR_LIST: Rule = Rule::OneOf(&[of(STR), set(&STRING)]);
pub static FLAG: Rule = of(BOOL.or(STR));
pub static INTEGER: Rule = of(INT.or(STR));
pub static NUMBER: Rule = of(NUM.or(STR));
pub static LIST_OR_DICT: Rule = Rule::OneOf(&[Rule::Map { values: &SCALAR, names: Names::Any }, set(&STRING)]);
static SCALAR: Rule = of(STR.or(NUM).or(BOOL).or(NULL));
pub static OPTIONS: Rule = Rule::Map { values: &NUMBER, names: Names::Any };
pub static COMMAND: Rule = Rule::OneOf(&[of(NULL.or(STR)), list(&STRING)]);
pub static EXTRA_HOSTS: Rule = Rule::OneOf(&[Rule::Map { values: &HOST_ADDRESSES, names: Names::Any }, set(&STRING)]);
static HOST_ADDRESSES: Rule = Rule::OneOf(&[of(STR), list(&STRING)]);
pub static ULIMITS: Rule = Rule::Map { values: &ULIMIT, names: Names::Ulimit };
static ULIMIT: Rule = Rule::OneOf(&[
    of(INT.or(STR)),
    requiring(&["soft", "hard"], &[("hard", of(INT.or(STR))), ("soft", of(INT.or(STR)))]),
]);
pub static FILE_MOUNTS: Rule = list(&FILE_MOUNT);
static FILE_MOUNT: Rule = Rule::OneOf(&[
    of(STR),
    object(&[("source", of(STR)), ("target", of(STR)), ("uid", of(STR)), ("gid", of(STR)), ("mode", of(NUM.or(STR)))]),
]);
