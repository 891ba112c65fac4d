//! Dockerfiles, and the instructions of `--change`. Pure.
//!
//! Syntax and meaning are those of the Dockerfile reference (<https://docs.docker.com/reference/dockerfile/>), where that is
//! silent BuildKit's.
//!
//! [`lines`] text into instructions' lines · [`instruction`] one line into an [`Instruction`] · [`file`] the whole into stages ·
//! [`expand`] and [`glob`] variables and patterns · [`apply`] what instructions make of an image's config · [`graph`] which
//! stages a target needs, in which order · [`scope`] variables of a stage · [`ignore`] `.dockerignore`

mod apply;
mod excerpt;
mod expand;
mod file;
mod glob;
mod graph;
mod healthcheck;
mod ignore;
mod instruction;
mod lines;
mod mount;
mod scope;
mod suggest;
#[cfg(test)]
mod tests;

pub use apply::{apply, clean, set_working_dir, shell_form};
pub use excerpt::excerpt;
pub use expand::Expander;
pub use file::{Dockerfile, Stage};
pub use glob::{is_pattern, matches};
pub use graph::{Base, Graph, Options, Planned, SourceOf};
pub use ignore::{Ignore, SIZE_LIMIT as IGNORE_SIZE_LIMIT};
pub use instruction::{Arg, Command, Copy, Instruction, Kind, Run, parse_trigger};
pub use lines::{Directives, Heredoc, SIZE_LIMIT};
pub use mount::{Mount, MountKind, Sharing};
pub use scope::{Scope, platform_args};

use crate::error::{Error, Result};
use crate::manifest::{Healthcheck, RunConfig};

/// The instructions that `--change` takes.
const CHANGES: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR";
/// The longest instruction of `--change`, in bytes.
const LENGTH_LIMIT: usize = 64 << 10;

/// Why an instruction can't be taken, without its text, which the caller adds.
pub type Reason = String;

/// Lines of a Dockerfile, from 1, the last one included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// The first.
    pub first: usize,
    /// The last.
    pub last: usize,
}

impl Span {
    /// One line.
    pub fn line(line: usize) -> Span {
        Span { first: line, last: line }
    }
}

/// What is wrong with a Dockerfile, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dockerfile parse error on line {}: {message}", span.first)]
pub struct ParseError {
    /// The lines of the instruction.
    pub span: Span,
    /// What is wrong with it.
    pub message: String,
}

impl ParseError {
    pub(crate) fn at(span: Span, message: impl Into<String>) -> ParseError {
        ParseError { span, message: message.into() }
    }
}

/// Applies one instruction, such as `ENV A=1`, to `config`.
///
/// # Errors
/// [`Error::InvalidChange`] quoting the instruction, with what is wrong with it.
pub fn apply_change(config: &mut RunConfig, text: &str) -> Result<()> {
    let instruction = text.trim();
    change(config, instruction).map_err(|reason| Error::InvalidChange { text: instruction.to_owned(), reason })
}

fn change(config: &mut RunConfig, text: &str) -> Result<(), Reason> {
    if text.len() > LENGTH_LIMIT {
        return Err(format!("it is longer than {LENGTH_LIMIT} bytes"));
    }
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    let name = lines::command(text).0.to_ascii_uppercase();
    if !CHANGES.split([',', ' ']).any(|known| known == name) {
        return Err(format!("{name} is not a valid change command: only {CHANGES} are"));
    }
    let kind = instruction::parse(text, Vec::new(), '\\')?;
    let before = config.clone();
    let lookup = |name: &str| before.env_value(name).map(str::to_owned);
    apply(config, &kind, &Expander::new(&lookup, '\\'))
}
