//! Walking the tree.

use std::collections::BTreeMap;

use super::functions::{self, Parameter};
use super::lexer::line;
use super::node::{Branch, Command, Node, Operand, OperandKind, Pipe};
use super::quote::quote;
use super::value::{Record, Shape, Value};
use super::{DEPTH_MAX, Error, Lookup, OUTPUT_MAX, STEPS_MAX};

/// What is said of a field that a struct does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// As `docker inspect`: `map has no entry for key "X"`.
    Key,
    /// As Docker's listings: `can't evaluate field X in type *formatter.ContainerContext`.
    Field(&'static str),
}

/// What Docker's functions do.
#[derive(Clone, Copy)]
pub enum Functions<'a> {
    /// What they say.
    Values,
    /// What they say; and functions that are not Docker's find what this does.
    Lookup(Lookup<'a>),
    /// Nothing: the header of a table is made with the template of its rows.
    Headers,
}

/// Carries out the template without a name.
pub fn execute<'a>(
    text: &'a str,
    blocks: &'a BTreeMap<String, Vec<Node>>,
    data: &Value,
    missing: Missing,
    functions: Functions<'a>,
) -> Result<String, Error> {
    let mut walk = Walk {
        text,
        blocks,
        missing,
        functions,
        name: "",
        variables: Vec::new(),
        out: String::new(),
        depth: 0,
        steps: 0,
    };
    walk.variables.push(("$".into(), data.clone()));
    walk.list(blocks.get("").map_or(&[][..], Vec::as_slice), data)?;
    Ok(walk.out)
}

/// How a list ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

struct Walk<'a> {
    text: &'a str,
    blocks: &'a BTreeMap<String, Vec<Node>>,
    missing: Missing,
    functions: Functions<'a>,
    /// Of the template that is carried out.
    name: &'a str,
    variables: Vec<(String, Value)>,
    out: String,
    depth: usize,
    steps: usize,
}

impl<'a> Walk<'a> {
    fn error<T>(&self, at: usize, what: &str, reason: &str) -> Result<T, Error> {
        let before = self.text.get(..at).unwrap_or(self.text);
        let column = at - before.rfind('\n').map_or(0, |newline| newline + 1);
        let name = quote(self.name);
        Err(Error(format!(":{}:{column}: executing {name} at <{what}>: {reason}", line(self.text, at))))
    }

    fn list(&mut self, nodes: &'a [Node], dot: &Value) -> Result<Flow, Error> {
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &'a Node, dot: &Value) -> Result<Flow, Error> {
        self.steps += 1;
        if self.steps > STEPS_MAX || self.out.len() > OUTPUT_MAX {
            return Err(Error(format!("{}: exceeded maximum work", quote(self.name))));
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.out.push_str(&value.print());
                }
            }
            Node::If(branch) => return self.branch(branch, dot, false),
            Node::With(branch) => return self.branch(branch, dot, true),
            Node::Range(branch) => return self.range(branch, dot),
            Node::Template { at, name, pipe } => self.template(*at, name, pipe.as_ref(), dot)?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, moves: bool) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let flow = match value.is_true() {
            true => self.list(&branch.list, if moves { &value } else { dot }),
            false => self.list(&branch.otherwise, dot),
        };
        self.variables.truncate(scope);
        flow
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipe(&branch.pipe, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => (0..).map(Value::Integer).zip(items).collect(),
            Value::Map(map) => map.into_iter().map(|(key, value)| (Value::Text(key), value)).collect(),
            Value::Integer(count) => return self.count(branch, count, dot, scope),
            Value::None | Value::Null(_) => Vec::new(),
            other => {
                let reason = format!("range can't iterate over {}", other.print());
                return self.error(branch.pipe.at, &branch.pipe.to_string(), &reason);
            }
        };
        if items.is_empty() {
            let flow = self.list(&branch.otherwise, dot);
            self.variables.truncate(scope);
            return flow;
        }
        for (key, item) in items {
            if self.turn(branch, scope, key, item)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Next)
    }

    /// Ranges over the numbers below `count`.
    fn count(&mut self, branch: &'a Branch, count: i64, dot: &Value, scope: usize) -> Result<Flow, Error> {
        if count <= 0 {
            let flow = self.list(&branch.otherwise, dot);
            self.variables.truncate(scope);
            return flow;
        }
        for number in (0..count).map(Value::Integer) {
            if self.turn(branch, scope, number.clone(), number)? == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Next)
    }

    /// One element of a range.
    fn turn(&mut self, branch: &'a Branch, scope: usize, key: Value, item: Value) -> Result<Flow, Error> {
        let pipe = &branch.pipe;
        let values = match pipe.variables.len() {
            0 | 1 => vec![item.clone()],
            _ => vec![key, item.clone()],
        };
        if !pipe.assigns {
            self.variables.truncate(scope);
        }
        for (name, value) in pipe.variables.iter().zip(values) {
            self.bind(name, value, pipe.assigns);
        }
        let inner = self.variables.len();
        let flow = self.list(&branch.list, &item)?;
        self.variables.truncate(inner);
        Ok(flow)
    }

    fn template(&mut self, at: usize, name: &'a str, pipe: Option<&'a Pipe>, dot: &Value) -> Result<(), Error> {
        let call = Node::call(name, pipe);
        let Some(nodes) = self.blocks.get(name) else {
            return self.error(at, &call, &format!("template {} not defined", quote(name)));
        };
        if self.depth == DEPTH_MAX {
            return self.error(at, &call, &format!("exceeded maximum template depth ({DEPTH_MAX})"));
        }
        let dot = pipe.map_or(Ok(Value::None), |pipe| self.pipe(pipe, dot))?;
        let outer = std::mem::replace(&mut self.variables, vec![("$".into(), dot.clone())]);
        let before = std::mem::replace(&mut self.name, name);
        self.depth += 1;
        self.list(nodes, &dot)?;
        self.depth -= 1;
        self.name = before;
        self.variables = outer;
        Ok(())
    }

    fn bind(&mut self, name: &str, value: Value, assigns: bool) {
        match self.variables.iter_mut().rev().find(|(own, _)| assigns && own == name) {
            Some((_, old)) => *old = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, Error> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::None);
        // A range declares its variables itself, for each element.
        if let [name] = pipe.variables.as_slice() {
            self.bind(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    /// `last` is the value of the command before.
    fn command(&mut self, command: &Command, dot: &Value, last: Option<Value>) -> Result<Value, Error> {
        let Some((first, args)) = command.args.split_first() else { return Ok(Value::None) };
        match &first.kind {
            OperandKind::Field(names) => self.fields(first, dot.clone(), names, args, last, dot),
            OperandKind::Variable(names) => {
                let value = self.variable(&names[0]);
                if names.len() == 1 {
                    self.not_a_function(first, args, last.as_ref())?;
                }
                self.fields(first, value, &names[1..], args, last, dot)
            }
            OperandKind::Chain(operand, names) => {
                let value = self.operand(operand, dot)?;
                self.fields(first, value, names, args, last, dot)
            }
            OperandKind::Function(name) => self.function(command, first, name, args, dot, last),
            OperandKind::Nil => self.error(first.at, &command.to_string(), "nil is not a command"),
            OperandKind::Dot | OperandKind::Constant(..) | OperandKind::Pipe(_) => {
                self.not_a_function(first, args, last.as_ref())?;
                self.operand(first, dot)
            }
        }
    }

    fn not_a_function(&self, first: &Operand, args: &[Operand], last: Option<&Value>) -> Result<(), Error> {
        match args.is_empty() && last.is_none() {
            true => Ok(()),
            false => self.error(first.at, &first.to_string(), &format!("can't give argument to non-function {first}")),
        }
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(own, _)| own == name);
        found.map_or(Value::None, |(_, value)| value.clone())
    }

    /// An argument, or the only word of a command.
    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Error> {
        match &operand.kind {
            OperandKind::Dot => Ok(dot.clone()),
            OperandKind::Nil => Ok(Value::None),
            OperandKind::Constant(value, _) => Ok(value.clone()),
            OperandKind::Pipe(pipe) => self.pipe(pipe, dot),
            OperandKind::Field(names) => self.fields(operand, dot.clone(), names, &[], None, dot),
            OperandKind::Variable(names) => self.fields(operand, self.variable(&names[0]), &names[1..], &[], None, dot),
            OperandKind::Chain(inner, names) => {
                let value = self.operand(inner, dot)?;
                self.fields(operand, value, names, &[], None, dot)
            }
            OperandKind::Function(name) => {
                let command = Command { at: operand.at, args: vec![operand.clone()] };
                self.function(&command, operand, name, &[], dot, None)
            }
        }
    }

    fn function(
        &mut self,
        command: &Command,
        word: &Operand,
        name: &str,
        args: &[Operand],
        dot: &Value,
        last: Option<Value>,
    ) -> Result<Value, Error> {
        let count = args.len() + usize::from(last.is_some());
        if let Err(reason) = functions::check_count(name, count) {
            return self.error(word.at, &word.to_string(), &reason);
        }
        if name == "and" || name == "or" {
            return self.and_or(name == "or", args, dot, last);
        }
        let mut values = Vec::new();
        for (index, arg) in args.iter().enumerate() {
            let value = self.operand(arg, dot)?;
            let constant = match &arg.kind {
                OperandKind::Constant(_, text) => Some(text.as_str()),
                OperandKind::Nil => Some("nil"),
                _ => None,
            };
            self.check(name, index, &value, constant, arg)?;
            values.push(value);
        }
        if let Some(value) = last {
            self.check(name, args.len(), &value, None, word)?;
            values.push(value);
        }
        functions::call(name, &values, self.functions)
            .or_else(|reason| self.error(command.at, &command.to_string(), &format!("error calling {name}: {reason}")))
    }

    /// Whether an argument is what the function wants. Where functions do nothing, they want nothing.
    fn check(
        &self,
        name: &str,
        index: usize,
        value: &Value,
        constant: Option<&str>,
        at: &Operand,
    ) -> Result<(), Error> {
        if matches!(self.functions, Functions::Headers) && *value != Value::None && name != "printf" {
            return Ok(());
        }
        Parameter::of(name, index).check(value, constant).or_else(|reason| self.error(at.at, &at.to_string(), &reason))
    }

    /// The first argument that decides; those behind it are not looked at.
    fn and_or(&mut self, decides: bool, args: &[Operand], dot: &Value, last: Option<Value>) -> Result<Value, Error> {
        let mut value = Value::None;
        for arg in args {
            value = self.operand(arg, dot)?;
            if value.is_true() == decides {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    fn fields(
        &mut self,
        operand: &Operand,
        receiver: Value,
        names: &[String],
        args: &[Operand],
        last: Option<Value>,
        dot: &Value,
    ) -> Result<Value, Error> {
        let Some((final_name, before)) = names.split_last() else { return Ok(receiver) };
        let mut value = receiver;
        for name in before {
            value = self.field(operand, value, name, false)?;
        }
        if let Value::Struct(record) = &value
            && (record.labels.is_some() || record.is_header)
            && final_name == "Label"
        {
            let mut values = args.iter().map(|arg| self.operand(arg, dot)).collect::<Result<Vec<_>, _>>()?;
            values.extend(last);
            return match values.as_slice() {
                [Value::Text(key)] => Ok(Value::Text(match &record.labels {
                    Some(labels) => labels.get(key).cloned().unwrap_or_default(),
                    None => header_of_label(key),
                })),
                [other] => {
                    let reason = format!("expected string; found {}", other.print());
                    self.error(operand.at, &operand.to_string(), &reason)
                }
                other => {
                    let reason = format!("wrong number of args for Label: want 1 got {}", other.len());
                    self.error(operand.at, &operand.to_string(), &reason)
                }
            };
        }
        self.field(operand, value, final_name, !args.is_empty() || last.is_some())
    }

    fn field(&self, operand: &Operand, value: Value, name: &str, has_args: bool) -> Result<Value, Error> {
        let header = matches!(&value, Value::Struct(record) if record.is_header);
        let reason = match value {
            Value::None => return Ok(Value::None),
            Value::Struct(record) => match take(*record, name) {
                Some(_) if has_args => format!("{name} has arguments but cannot be invoked as function"),
                Some(value) => return Ok(value),
                None if header => return Ok(Value::Text(header_of(name))),
                None => match self.missing {
                    Missing::Key => format!("map has no entry for key {}", quote(name)),
                    Missing::Field(kind) => format!("can't evaluate field {name} in type {kind}"),
                },
            },
            Value::Map(_) if has_args => format!("{name} is not a method but has arguments"),
            Value::Map(mut map) => return Ok(map.remove(name).unwrap_or(Value::None)),
            Value::Null(Shape::Map) => return Ok(Value::None),
            Value::Null(_) if self.missing == Missing::Key => format!("nil data; no entry for key {}", quote(name)),
            Value::Null(_) => format!("nil pointer evaluating .{name}"),
            _ if self.missing == Missing::Key => format!("can't evaluate field {name} in type interface {{}}"),
            other => format!("can't evaluate field {name} in type {}", other.type_name()),
        };
        self.error(operand.at, &operand.to_string(), &reason)
    }
}

/// The field of a name. Docker's templates know Go's names of fields (`.ID`) as well as those of its JSON (`Id`), which differ in case.
fn take(record: Record, name: &str) -> Option<Value> {
    let mut fields = record.fields;
    let exact = fields.iter().position(|(own, _)| own == name);
    let at = exact.or_else(|| fields.iter().position(|(own, _)| own.eq_ignore_ascii_case(name)))?;
    Some(fields.swap_remove(at).1)
}

/// The header of a field that has none of its own: `CreatedAt` is `CREATED AT`.
fn header_of(field: &str) -> String {
    let mut header = String::new();
    let mut before = ' ';
    for c in field.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            header.push(' ');
        }
        header.extend(c.to_uppercase());
        before = c;
    }
    header
}

/// The header of a label: `com.example.my-team` is `MY TEAM`.
fn header_of_label(key: &str) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    last.replace(['-', '_'], " ").to_uppercase()
}
