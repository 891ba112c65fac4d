//! From words to trees.

use std::collections::BTreeMap;

use super::lexer::{Kind, Token, error_at, tokens};
use super::node::{Branch, Command, Node, Operand, OperandKind, Pipe};
use super::quote::{quote, unquote};
use super::value::Value;
use super::{DEPTH_MAX, Error, functions};

/// Reads a template and those that it defines, by name.
pub fn parse(text: &str, lookups: &[&str]) -> Result<BTreeMap<String, Vec<Node>>, Error> {
    let mut parser = Parser {
        text,
        lookups,
        tokens: tokens(text)?,
        next: 0,
        variables: vec!["$".into()],
        blocks: BTreeMap::new(),
        ranges: 0,
        depth: 0,
    };
    let (nodes, end) = parser.list()?;
    if let Some(end) = end {
        return parser.error(&format!("unexpected {}", end.tag()));
    }
    let mut blocks = parser.blocks;
    blocks.insert(String::new(), nodes);
    Ok(blocks)
}

/// What a list of nodes ends with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    End,
    Else,
}

impl End {
    fn tag(&self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    /// Functions that there are besides.
    lookups: &'a [&'a str],
    tokens: Vec<Token>,
    next: usize,
    variables: Vec<String>,
    blocks: BTreeMap<String, Vec<Node>>,
    ranges: usize,
    depth: usize,
}

impl Parser<'_> {
    fn at(&self) -> usize {
        self.tokens.get(self.next).map_or(self.text.len(), |token| token.at)
    }

    fn error<T>(&self, reason: &str) -> Result<T, Error> {
        let last = self.next.checked_sub(1).and_then(|index| self.tokens.get(index));
        Err(error_at(self.text, last.map_or(0, |token| token.at), reason))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn peek_kind(&self) -> Option<Kind> {
        self.peek().map(|token| token.kind)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn skip_space(&mut self) {
        if self.peek_kind() == Some(Kind::Space) {
            self.next += 1;
        }
    }

    fn is_word(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.kind == Kind::Word && token.text == word)
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { self.error("nested too deeply") } else { Ok(()) }
    }

    fn expect_close(&mut self, context: &str) -> Result<(), Error> {
        self.skip_space();
        match self.take() {
            Some(token) if token.kind == Kind::Close => Ok(()),
            other => self.unexpected(other.as_ref(), context),
        }
    }

    fn unexpected<T>(&self, token: Option<&Token>, context: &str) -> Result<T, Error> {
        match token {
            None => self.error("unexpected EOF"),
            Some(token) => {
                let keyword = token.kind == Kind::Word && KEYWORDS.contains(&token.text.as_str());
                let text =
                    if keyword || token.kind == Kind::Dot { format!("<{}>", token.text) } else { quote(&token.text) };
                self.error(&format!("unexpected {text} in {context}"))
            }
        }
    }

    /// Nodes up to an `end` or `else`, whose word is consumed but not what follows it.
    fn list(&mut self) -> Result<(Vec<Node>, Option<End>), Error> {
        self.enter()?;
        let mut nodes = Vec::new();
        while let Some(token) = self.take() {
            if token.kind == Kind::Text {
                nodes.push(Node::Text(token.text));
                continue;
            }
            self.skip_space();
            let word = self.peek().filter(|token| token.kind == Kind::Word).map(|token| token.text.clone());
            let end = match word.as_deref() {
                Some("end") => Some(End::End),
                Some("else") => Some(End::Else),
                _ => None,
            };
            if end.is_some() {
                self.next += 1;
                self.depth -= 1;
                return Ok((nodes, end));
            }
            nodes.extend(self.action(word.as_deref().unwrap_or_default())?);
        }
        self.depth -= 1;
        Ok((nodes, None))
    }

    fn action(&mut self, word: &str) -> Result<Option<Node>, Error> {
        let keyword = KEYWORDS.contains(&word);
        self.next += usize::from(keyword);
        match word {
            "if" => Ok(Some(Node::If(self.branch("if")?))),
            "with" => Ok(Some(Node::With(self.branch("with")?))),
            "range" => {
                self.ranges += 1;
                let branch = self.branch("range");
                self.ranges -= 1;
                Ok(Some(Node::Range(branch?)))
            }
            "template" => self.template().map(Some),
            "block" => self.block().map(Some),
            "define" => self.define().map(|()| None),
            "break" | "continue" if self.ranges == 0 => self.error(&format!("{{{{{word}}}}} outside {{{{range}}}}")),
            "break" => self.expect_close("{{break}}").map(|()| Some(Node::Break)),
            "continue" => self.expect_close("{{continue}}").map(|()| Some(Node::Continue)),
            _ => {
                let pipe = self.pipe("command", Kind::Close)?;
                Ok(Some(Node::Action(pipe)))
            }
        }
    }

    /// `if`, `with` and `range`, behind their word.
    fn branch(&mut self, word: &'static str) -> Result<Branch, Error> {
        let scope = self.variables.len();
        let pipe = self.pipe(word, Kind::Close)?;
        let (list, end) = self.list()?;
        let otherwise = match end {
            None => return self.error("unexpected EOF"),
            Some(End::End) => {
                self.expect_close("end")?;
                Vec::new()
            }
            Some(End::Else) => self.otherwise(word)?,
        };
        self.variables.truncate(scope);
        Ok(Branch { pipe, list, otherwise })
    }

    /// What follows `else`: another `if` or `with` of the same end, or a list.
    fn otherwise(&mut self, word: &'static str) -> Result<Vec<Node>, Error> {
        self.skip_space();
        if word != "range" && self.is_word(word) {
            self.next += 1;
            self.enter()?;
            let branch = self.branch(word)?;
            self.depth -= 1;
            return Ok(vec![if word == "if" { Node::If(branch) } else { Node::With(branch) }]);
        }
        self.expect_close("else")?;
        match self.list()? {
            (nodes, Some(End::End)) => {
                self.expect_close("end")?;
                Ok(nodes)
            }
            (_, Some(End::Else)) => self.error("expected end; found {{else}}"),
            (_, None) => self.error("unexpected EOF"),
        }
    }

    fn name(&mut self, context: &str) -> Result<(usize, String), Error> {
        self.skip_space();
        match self.take() {
            Some(Token { kind: Kind::Quoted | Kind::Raw, at, text }) => match unquote(&text) {
                Some(name) => Ok((at, name)),
                None => self.error("invalid syntax"),
            },
            other => self.unexpected(other.as_ref(), context),
        }
    }

    fn template(&mut self) -> Result<Node, Error> {
        let (at, name) = self.name("template clause")?;
        self.skip_space();
        let pipe = if self.peek_kind() == Some(Kind::Close) {
            self.next += 1;
            None
        } else {
            Some(self.pipe("template clause", Kind::Close)?)
        };
        Ok(Node::Template { at, name, pipe })
    }

    fn block(&mut self) -> Result<Node, Error> {
        let (at, name) = self.name("block clause")?;
        let pipe = self.pipe("block clause", Kind::Close)?;
        self.body(&name)?;
        Ok(Node::Template { at, name, pipe: Some(pipe) })
    }

    fn define(&mut self) -> Result<(), Error> {
        let (_, name) = self.name("define clause")?;
        self.expect_close("define clause")?;
        self.body(&name)
    }

    /// The nodes of a template of its own, which knows no variable of those around it.
    fn body(&mut self, name: &str) -> Result<(), Error> {
        let variables = std::mem::replace(&mut self.variables, vec!["$".into()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (nodes, end) = self.list()?;
        match end {
            Some(End::End) => self.expect_close("end")?,
            Some(End::Else) => return self.error("unexpected {{else}} in define clause"),
            None => return self.error("unexpected EOF"),
        }
        self.variables = variables;
        self.ranges = ranges;
        self.blocks.insert(name.to_owned(), nodes);
        Ok(())
    }

    fn pipe(&mut self, context: &str, end: Kind) -> Result<Pipe, Error> {
        self.enter()?;
        self.skip_space();
        let mut pipe = Pipe { at: self.at(), variables: Vec::new(), assigns: false, commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            self.skip_space();
            match self.peek_kind() {
                Some(kind) if kind == end => {
                    self.next += 1;
                    break;
                }
                Some(
                    Kind::Pipe | Kind::Close | Kind::Right | Kind::Comma | Kind::Assign | Kind::Declare | Kind::Other,
                )
                | None => {
                    let token = self.take();
                    return self.unexpected(token.as_ref(), context);
                }
                Some(_) => pipe.commands.push(self.command(end)?),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(&format!("missing value for {context}"));
        }
        for (index, command) in pipe.commands.iter().enumerate().skip(1) {
            let first = command.args.first().map(|arg| &arg.kind);
            if matches!(first, Some(OperandKind::Constant(..) | OperandKind::Dot | OperandKind::Nil)) {
                return self.error(&format!("non executable command in pipeline stage {}", index + 1));
            }
        }
        self.depth -= 1;
        Ok(pipe)
    }

    /// `$x :=`, `$x =` and, of a range, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<(), Error> {
        let begin = self.next;
        let mut names = Vec::new();
        while self.peek_kind() == Some(Kind::Variable) {
            names.push(self.take().map(|token| token.text).unwrap_or_default());
            self.skip_space();
            match self.peek_kind() {
                Some(Kind::Assign | Kind::Declare) => {
                    pipe.assigns = self.peek_kind() == Some(Kind::Assign);
                    if pipe.assigns
                        && let Some(name) = names.iter().find(|name| !self.variables.contains(name))
                    {
                        return self.error(&format!("undefined variable {}", quote(name)));
                    }
                    self.next += 1;
                    if !pipe.assigns {
                        self.variables.extend(names.iter().cloned());
                    }
                    pipe.variables = names;
                    return Ok(());
                }
                Some(Kind::Comma) if context == "range" && names.len() < 2 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(Kind::Comma) => return self.error(&format!("too many declarations in {context}")),
                _ => break,
            }
        }
        self.next = begin;
        Ok(())
    }

    /// Operands up to a `|` or the end of the pipeline, which stays.
    fn command(&mut self, end: Kind) -> Result<Command, Error> {
        let mut command = Command { at: self.at(), args: Vec::new() };
        loop {
            self.skip_space();
            command.args.extend(self.operand()?);
            match self.peek().cloned() {
                Some(token) if token.kind == Kind::Space => {}
                Some(token) if matches!(token.kind, Kind::Close | Kind::Right) => break,
                Some(token) if token.kind == Kind::Pipe => {
                    self.next += 1;
                    self.skip_space();
                    if self.peek_kind().is_none_or(|kind| kind == end) {
                        return self.error("missing value for command");
                    }
                    break;
                }
                other => {
                    self.next += 1;
                    return self.unexpected(other.as_ref(), "operand");
                }
            }
        }
        if command.args.is_empty() { self.error("empty command") } else { Ok(command) }
    }

    /// A term and the fields behind it; none where the command ends.
    fn operand(&mut self) -> Result<Option<Operand>, Error> {
        let Some(term) = self.term()? else { return Ok(None) };
        if self.peek_kind() != Some(Kind::Field) {
            return Ok(Some(term));
        }
        let at = self.at();
        let mut names = Vec::new();
        while self.peek_kind() == Some(Kind::Field) {
            names.push(self.take().map(|token| token.text[1..].to_owned()).unwrap_or_default());
        }
        let kind = match term.kind {
            OperandKind::Field(mut first) => {
                first.extend(names);
                OperandKind::Field(first)
            }
            OperandKind::Variable(mut first) => {
                first.extend(names);
                OperandKind::Variable(first)
            }
            OperandKind::Constant(..) | OperandKind::Nil | OperandKind::Dot => {
                return self.error(&format!("unexpected . after term {}", quote(&term.to_string())));
            }
            _ => OperandKind::Chain(Box::new(term), names),
        };
        Ok(Some(Operand { at, kind }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Error> {
        let Some(token) = self.peek().cloned() else { return Ok(None) };
        self.next += 1;
        let kind = match token.kind {
            Kind::Word => self.word(&token.text)?,
            Kind::Dot => OperandKind::Dot,
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Variable if self.variables.contains(&token.text) => OperandKind::Variable(vec![token.text]),
            Kind::Variable => return self.error(&format!("undefined variable {}", quote(&token.text))),
            Kind::Quoted | Kind::Raw => match unquote(&token.text) {
                Some(text) => OperandKind::Constant(Value::Text(text), token.text),
                None => return self.error("invalid syntax"),
            },
            Kind::Character => match unquote(&token.text).map(|text| text.chars().collect::<Vec<_>>()).as_deref() {
                Some([c]) => OperandKind::Constant(Value::Integer(i64::from(*c as u32)), token.text),
                _ => return self.error(&format!("malformed character constant: {}", token.text)),
            },
            Kind::Number => match number(&token.text) {
                Some(value) => OperandKind::Constant(value, token.text),
                None => return self.error(&format!("bad number syntax: {}", quote(&token.text))),
            },
            Kind::Left => OperandKind::Pipe(Box::new(self.pipe("parenthesized pipeline", Kind::Right)?)),
            _ => {
                self.next -= 1;
                return Ok(None);
            }
        };
        Ok(Some(Operand { at: token.at, kind }))
    }

    fn word(&self, word: &str) -> Result<OperandKind, Error> {
        match word {
            "true" | "false" => Ok(OperandKind::Constant(Value::Bool(word == "true"), word.to_owned())),
            "nil" => Ok(OperandKind::Nil),
            _ if KEYWORDS.contains(&word) || word == "end" || word == "else" => {
                self.error(&format!("unexpected <{word}> in operand"))
            }
            _ if functions::exists(word) || self.lookups.contains(&word) => Ok(OperandKind::Function(word.to_owned())),
            _ => self.error(&format!("function {} not defined", quote(word))),
        }
    }
}

const KEYWORDS: &[&str] = &["if", "with", "range", "template", "block", "define", "break", "continue"];

/// A number as Go writes them.
fn number(text: &str) -> Option<Value> {
    let (negative, digits) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    let lower = plain.to_ascii_lowercase();
    let mut prefixed = [("0x", 16), ("0o", 8), ("0b", 2)].into_iter();
    let prefixed = prefixed.find_map(|(prefix, radix)| Some((lower.strip_prefix(prefix)?, radix)));
    let octal = lower.strip_prefix('0').filter(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
    let integer = match (prefixed, octal) {
        (Some((rest, radix)), _) => {
            return Some(Value::Integer(signed(i64::from_str_radix(rest, radix).ok()?, negative)));
        }
        (None, Some(rest)) => i64::from_str_radix(rest, 8).ok(),
        (None, None) => lower.parse().ok(),
    };
    if let Some(integer) = integer {
        return Some(Value::Integer(signed(integer, negative)));
    }
    let float: f64 = lower.parse().ok().filter(|_| lower.starts_with(|c: char| c.is_ascii_digit() || c == '.'))?;
    let float = if negative { -float } else { float };
    Some(Value::Float(float))
}

fn signed(value: i64, negative: bool) -> i64 {
    if negative { value.wrapping_neg() } else { value }
}
