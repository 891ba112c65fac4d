//! The tree, and its text as Go writes it in errors.

use std::fmt;

use super::quote::quote;
use super::value::Value;

/// A piece of a template.
#[derive(Debug, Clone)]
pub enum Node {
    /// As it stands.
    Text(String),
    /// Prints a pipeline, unless it declares a variable.
    Action(Pipe),
    /// One way or the other.
    If(Branch),
    /// As `if`, with the value as the dot.
    With(Branch),
    /// For each element.
    Range(Branch),
    /// Carries out another template.
    Template {
        /// Where.
        at: usize,
        /// Its name.
        name: String,
        /// Its dot.
        pipe: Option<Pipe>,
    },
    /// Ends the innermost range.
    Break,
    /// Goes on with its next element.
    Continue,
}

/// A pipeline and what depends on it.
#[derive(Debug, Clone)]
pub struct Branch {
    /// What decides.
    pub pipe: Pipe,
    /// For a true value, or each element.
    pub list: Vec<Node>,
    /// Otherwise.
    pub otherwise: Vec<Node>,
}

/// `$x := a | b`.
#[derive(Debug, Clone)]
pub struct Pipe {
    /// Where.
    pub at: usize,
    /// Variables, with their dollar.
    pub variables: Vec<String>,
    /// Whether they are set rather than declared.
    pub assigns: bool,
    /// Each gets the value of the one before as its last argument.
    pub commands: Vec<Command>,
}

/// `printf "%d" .Size`: at least one operand.
#[derive(Debug, Clone)]
pub struct Command {
    /// Where.
    pub at: usize,
    /// A function and its arguments, or one value.
    pub args: Vec<Operand>,
}

/// A value of a command.
#[derive(Debug, Clone)]
pub struct Operand {
    /// Where.
    pub at: usize,
    /// Which.
    pub kind: OperandKind,
}

/// What a value of a command is.
#[derive(Debug, Clone)]
pub enum OperandKind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// A constant, and its text.
    Constant(Value, String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A`: the variable first.
    Variable(Vec<String>),
    /// A function.
    Function(String),
    /// `(pipeline).A`
    Chain(Box<Operand>, Vec<String>),
    /// `(pipeline)`
    Pipe(Box<Pipe>),
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Dot => f.write_str("."),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Constant(_, text) => f.write_str(text),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Function(name) => f.write_str(name),
            OperandKind::Chain(operand, names) => {
                match operand.kind {
                    OperandKind::Pipe(_) => write!(f, "({operand})")?,
                    _ => write!(f, "{operand}")?,
                }
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            OperandKind::Pipe(pipe) => write!(f, "{pipe}"),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, arg) in self.args.iter().enumerate() {
            let blank = if index == 0 { "" } else { " " };
            match arg.kind {
                OperandKind::Pipe(_) => write!(f, "{blank}({arg})")?,
                _ => write!(f, "{blank}{arg}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(f, "{} {} ", self.variables.join(", "), if self.assigns { "=" } else { ":=" })?;
        }
        let commands: Vec<String> = self.commands.iter().map(ToString::to_string).collect();
        f.write_str(&commands.join(" | "))
    }
}

impl Node {
    /// The text of a call of another template.
    pub fn call(name: &str, pipe: Option<&Pipe>) -> String {
        let pipe = pipe.map(|pipe| format!(" {pipe}")).unwrap_or_default();
        format!("{{{{template {}{pipe}}}}}", quote(name))
    }
}
