//! A whole Dockerfile: variables before the first FROM, and stages.

use super::instruction::{self, Instruction, Kind};
use super::lines::{self, Directives};
use super::{ParseError, Span};

/// The most instructions of one file.
const INSTRUCTION_LIMIT: usize = 10_000;

/// A Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// What the comments at its top say.
    pub directives: Directives,
    /// ARG before the first FROM.
    pub arguments: Vec<Instruction>,
    /// Its stages, at least one.
    pub stages: Vec<Stage>,
}

/// One FROM and what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Where its FROM is.
    pub span: Span,
    /// Its FROM, lines joined.
    pub text: String,
    /// What it begins with, variables not expanded.
    pub base: String,
    /// `--platform`, variables not expanded.
    pub platform: Option<String>,
    /// `AS`, in lower case.
    pub name: Option<String>,
    /// What follows.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// Reads a Dockerfile.
    ///
    /// # Errors
    /// The first instruction that is wrong, with its lines.
    pub fn parse(text: &str) -> Result<Dockerfile, ParseError> {
        let (directives, lines) = lines::split(text)?;
        if lines.len() > INSTRUCTION_LIMIT {
            let message = format!("the Dockerfile has more than {INSTRUCTION_LIMIT} instructions");
            return Err(ParseError::at(lines[INSTRUCTION_LIMIT].span, message));
        }
        let mut file = Dockerfile { directives, arguments: Vec::new(), stages: Vec::new() };
        for line in lines {
            let (span, text) = (line.span, line.text);
            let kind = instruction::parse(&text, line.heredocs, file.directives.escape);
            let kind = kind.map_err(|message| ParseError::at(span, message))?;
            file.take(Instruction { span, text, kind })?;
        }
        if file.stages.is_empty() {
            let what = if file.arguments.is_empty() { "file with no instructions" } else { "no FROM" };
            return Err(ParseError::at(Span::line(1), what));
        }
        Ok(file)
    }

    fn take(&mut self, instruction: Instruction) -> Result<(), ParseError> {
        let span = instruction.span;
        match (instruction.kind, self.stages.last_mut()) {
            (Kind::From { image, platform, name }, _) => {
                if let Some(name) = &name
                    && self.stages.iter().any(|stage| stage.name.as_ref() == Some(name))
                {
                    return Err(ParseError::at(span, format!("duplicate name of a build stage: {name}")));
                }
                let (text, instructions) = (instruction.text, Vec::new());
                self.stages.push(Stage { span, text, base: image, platform, name, instructions });
            }
            (kind @ Kind::Arg(_), None) => self.arguments.push(Instruction { span, text: instruction.text, kind }),
            (_, None) => {
                let name = lines::command(&instruction.text).0.to_ascii_uppercase();
                let message = format!("no build stage in current context: {name} comes before the first FROM");
                return Err(ParseError::at(span, message));
            }
            (kind, Some(stage)) => stage.instructions.push(Instruction { span, text: instruction.text, kind }),
        }
        Ok(())
    }

    /// The stage that a name or number means.
    pub fn stage(&self, text: &str) -> Option<usize> {
        let wanted = text.to_ascii_lowercase();
        let named = self.stages.iter().position(|stage| stage.name.as_deref() == Some(&wanted));
        named.or_else(|| text.parse().ok().filter(|index| *index < self.stages.len()))
    }
}
