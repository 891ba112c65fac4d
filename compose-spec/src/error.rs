//! Everything that can be wrong with a Compose file, each error at its file, line and column.

use std::fmt;
use std::sync::Arc;

use crate::node::{Sources, Span};
use crate::suggest;

/// A [`Span`] together with its file's name once that is known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The place.
    pub span: Span,
    file: Option<Arc<str>>,
}

impl Position {
    /// The file's name, if the place is in a file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }
}

impl From<Span> for Position {
    fn from(span: Span) -> Self {
        Self { span, file: None }
    }
}

/// `FILE:LINE:COLUMN: `, or nothing for a node that no file holds.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.span.line) {
            (_, 0) => Ok(()),
            (Some(file), line) => write!(f, "{file}:{line}:{}: ", self.span.column),
            (None, line) => write!(f, "line {line}:{}: ", self.span.column),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not YAML, or YAML that Compose forbids.
    #[error("{at}{reason}")]
    Yaml { at: Position, reason: String },
    /// A mapping names a key twice.
    #[error("{at}mapping key {key:?} already defined at line {first}")]
    DuplicateKey { at: Position, key: String, first: u32 },
    /// A key that is a number, a boolean or null.
    #[error("{at}non-string key {place}: {key}")]
    NonStringKey { at: Position, place: String, key: String },
    /// A `$` that is no substitution.
    #[error("{at}invalid interpolation format for {path}: {template:?}; to write a literal $, double it: $$")]
    InvalidTemplate { at: Position, path: String, template: String },
    /// A substitution that fails, or whose result has the wrong type.
    #[error("{at}error while interpolating {path}: {reason}")]
    Interpolation { at: Position, path: String, reason: String },
    /// A key that the specification doesn't have.
    #[error("{at}{path}additional properties '{key}' not allowed{hint}")]
    UnknownKey { at: Position, path: String, key: String, hint: String },
    /// A value of the wrong type.
    #[error("{at}{path} must be {expected}, not {found}{hint}")]
    Type { at: Position, path: String, expected: String, found: &'static str, hint: String },
    /// A value of the right type that makes no sense.
    #[error("{at}{path}: {reason}")]
    Invalid { at: Position, path: String, reason: String },
    /// A name that nothing defines.
    #[error("{at}service {service:?} {relation} {name:?}{hint}")]
    Undefined { at: Position, service: String, relation: &'static str, name: String, hint: String },
    /// An attribute that Orca can't carry out.
    #[error("{at}{path}: not supported by orca{}", .hint.map(|hint| format!(": {hint}")).unwrap_or_default())]
    Unsupported { at: Position, path: String, hint: Option<&'static str> },
    /// Two files give one key values that don't merge.
    #[error("{at}cannot override {path}: {earlier} can't be merged with {later}")]
    Unmergeable { at: Position, path: String, earlier: &'static str, later: &'static str },
    /// Services that wait for each other.
    #[error("{at}dependency cycle detected: {}", .chain.join(" -> "))]
    DependencyCycle { at: Position, chain: Vec<String> },
    /// A service that extends itself through others.
    #[error("{at}Circular reference:\n  {}", .chain.join("\n  extends "))]
    ExtendsCycle { at: Position, chain: Vec<String> },
    /// A file that includes itself through others.
    #[error("{at}include cycle detected:\n{}", .chain.join("\n include "))]
    IncludeCycle { at: Position, chain: Vec<String> },
    /// A file that can't be read.
    #[error("{at}{what} {file}: {reason}")]
    Read { at: Position, what: &'static str, file: String, reason: String },
    /// A line of an env file.
    #[error("failed to read {file}: line {line}: {reason}")]
    EnvFile { file: String, line: usize, reason: String },
    /// A project name that was given and doesn't fit.
    #[error(
        "invalid project name {name:?}: must consist only of lowercase alphanumeric characters, hyphens, and underscores \
         as well as start with a letter or number"
    )]
    ProjectName { name: String },
    /// No name is left after normalising.
    #[error("project name must not be empty: set `name:`, COMPOSE_PROJECT_NAME or -p")]
    NoProjectName,
    /// No Compose file in the directory or above.
    #[error(
        "no configuration file provided: not found: none of compose.yaml, compose.yml, docker-compose.yml, docker-compose.yaml in {directory} or above it"
    )]
    NoFile { directory: String },
    /// The files hold nothing.
    #[error("empty compose file: {file}")]
    Empty { file: String },
    /// A service was asked for that the project doesn't have.
    #[error("no such service: {name}")]
    NoSuchService { name: String },
}

impl Error {
    fn position_mut(&mut self) -> Option<&mut Position> {
        match self {
            Error::Yaml { at, .. }
            | Error::DuplicateKey { at, .. }
            | Error::NonStringKey { at, .. }
            | Error::InvalidTemplate { at, .. }
            | Error::Interpolation { at, .. }
            | Error::UnknownKey { at, .. }
            | Error::Type { at, .. }
            | Error::Invalid { at, .. }
            | Error::Undefined { at, .. }
            | Error::Unsupported { at, .. }
            | Error::Unmergeable { at, .. }
            | Error::DependencyCycle { at, .. }
            | Error::ExtendsCycle { at, .. }
            | Error::IncludeCycle { at, .. }
            | Error::Read { at, .. } => Some(at),
            Error::EnvFile { .. }
            | Error::ProjectName { .. }
            | Error::NoProjectName
            | Error::NoFile { .. }
            | Error::Empty { .. }
            | Error::NoSuchService { .. } => None,
        }
    }

    /// Where the error is, if it is at a place in a file.
    pub fn position(&self) -> Option<Position> {
        self.clone().position_mut().map(|at| at.clone())
    }

    pub(crate) fn invalid(at: Span, path: impl fmt::Display, reason: impl Into<String>) -> Self {
        Error::Invalid { at: at.into(), path: path.to_string(), reason: reason.into() }
    }

    /// The same error with more to say about what to do.
    pub(crate) fn with_hint(mut self, more: impl Into<String>) -> Self {
        if let Error::Type { hint, .. } = &mut self {
            *hint = more.into();
        }
        self
    }

    pub(crate) fn mistyped(node: &crate::node::Node, path: impl fmt::Display, expected: impl Into<String>) -> Self {
        let (at, path, expected, found) = (node.span.into(), path.to_string(), expected.into(), node.kind());
        let hint = suggest::right_type(&expected, node);
        Error::Type { at, path, expected, found, hint }
    }
}

/// All errors that one stage found; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Errors(pub Vec<Error>);

impl Errors {
    /// Fills in the files' names.
    pub(crate) fn locate(mut self, sources: &Sources) -> Self {
        for at in self.0.iter_mut().filter_map(Error::position_mut) {
            at.file = sources.name(at.span.source);
        }
        self
    }

    /// `Ok` when no error was found.
    pub(crate) fn into_result(self) -> Result<(), Errors> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Error> for Errors {
    fn from(error: Error) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// Something that works but that the user should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where, when it is at a place in a file.
    pub at: Position,
    /// What, and what to do about it.
    pub message: String,
}

impl Warning {
    pub(crate) fn new(at: Span, message: impl Into<String>) -> Self {
        Self { at: at.into(), message: message.into() }
    }

    pub(crate) fn locate(mut self, sources: &Sources) -> Self {
        self.at.file = sources.name(self.at.span.source);
        self
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.at, self.message)
    }
}
