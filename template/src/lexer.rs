//! From text to words.

use super::Error;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Outside of actions.
    Text,
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// `.Name`
    Field,
    /// `.`
    Dot,
    /// `$name`
    Variable,
    /// A function, keyword, `true`, `false` or `nil`.
    Word,
    /// With its quotes.
    Quoted,
    /// Between backquotes, with them.
    Raw,
    /// `'a'`
    Character,
    /// As written.
    Number,
    /// Blanks within an action, which tell `a .b` from `a.b`.
    Space,
    /// `|`
    Pipe,
    /// `(`
    Left,
    /// `)`
    Right,
    /// `,`
    Comma,
    /// `=`
    Assign,
    /// `:=`
    Declare,
    /// Anything else that can be printed; no template has it.
    Other,
}

/// A word and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// In bytes from the beginning of the template.
    pub at: usize,
    /// As written; without what trim markers take away.
    pub text: String,
}

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const BLANKS: &[char] = &[' ', '\t', '\r', '\n'];

/// The line of a place, from 1.
pub fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

/// An error of syntax at a place.
pub fn error_at(text: &str, at: usize, reason: &str) -> Error {
    Error(format!(":{}: {reason}", line(text, at)))
}

/// Cuts a template into words.
pub fn tokens(text: &str) -> Result<Vec<Token>, Error> {
    let mut lexer = Lexer { text, at: 0, tokens: Vec::new(), parentheses: 0 };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    parentheses: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn error<T>(&self, reason: &str) -> Result<T, Error> {
        Err(error_at(self.text, self.at, reason))
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let text = self.rest()[..length].to_owned();
        self.tokens.push(Token { kind, at: self.at, text });
        self.at += length;
    }

    fn run(&mut self) -> Result<(), Error> {
        let mut trim = false;
        while !self.rest().is_empty() {
            let length = self.rest().find(OPEN).unwrap_or(self.rest().len());
            let behind = &self.rest()[length..];
            let trims_left = has_left_trim(behind);
            let mut text = &self.rest()[..length];
            if trim {
                text = text.trim_start_matches(BLANKS);
            }
            if trims_left {
                text = text.trim_end_matches(BLANKS);
            }
            if !text.is_empty() {
                self.tokens.push(Token { kind: Kind::Text, at: self.at, text: text.to_owned() });
            }
            self.at += length;
            if behind.is_empty() {
                return Ok(());
            }
            trim = self.action(if trims_left { "{{-".len() } else { OPEN.len() })?;
        }
        Ok(())
    }

    /// One action; whether the text behind it is trimmed.
    fn action(&mut self, open: usize) -> Result<bool, Error> {
        let inside = &self.rest()[open..];
        let comment = inside.trim_start_matches(BLANKS);
        let skipped = inside.len() - comment.len();
        if comment.starts_with("/*") && (skipped == 0 || open > OPEN.len()) {
            return self.comment(open + skipped);
        }
        self.push(Kind::Open, open);
        loop {
            let rest = self.rest();
            if let Some(blanks) = closing_trim(rest) {
                self.at += blanks;
                return self.close(true);
            }
            if rest.starts_with(CLOSE) {
                return self.close(false);
            }
            self.word()?;
        }
    }

    fn close(&mut self, trim: bool) -> Result<bool, Error> {
        if self.parentheses > 0 {
            return self.error("unclosed left paren");
        }
        self.push(Kind::Close, CLOSE.len());
        Ok(trim)
    }

    fn comment(&mut self, skipped: usize) -> Result<bool, Error> {
        let body = &self.rest()[skipped..];
        let Some(end) = body.find("*/") else { return self.error("unclosed comment") };
        let behind = &body[end + 2..];
        let (trim, length) = match closing_trim(behind) {
            Some(blanks) => (true, blanks + CLOSE.len()),
            None if behind.starts_with(CLOSE) => (false, CLOSE.len()),
            None => return self.error("comment ends before closing delimiter"),
        };
        self.at += skipped + end + 2 + length;
        Ok(trim)
    }

    fn word(&mut self) -> Result<(), Error> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return self.error("unclosed action") };
        match first {
            ' ' | '\t' | '\r' | '\n' => {
                let length = rest.len() - rest.trim_start_matches(BLANKS).len();
                // Blanks before `-}}` belong to it.
                let length = if closing_trim(&rest[length - 1..]).is_some() { length - 1 } else { length };
                self.push(Kind::Space, length);
            }
            '=' => self.push(Kind::Assign, 1),
            ':' if rest.starts_with(":=") => self.push(Kind::Declare, 2),
            ':' => return self.error("expected :="),
            '|' => self.push(Kind::Pipe, 1),
            ',' => self.push(Kind::Comma, 1),
            '(' => {
                self.parentheses += 1;
                self.push(Kind::Left, 1);
            }
            ')' => {
                self.parentheses = self.parentheses.saturating_sub(1);
                self.push(Kind::Right, 1);
            }
            '"' => self.quoted('"', Kind::Quoted, "unterminated quoted string")?,
            '\'' => self.quoted('\'', Kind::Character, "unterminated character constant")?,
            '`' => match rest[1..].find('`') {
                Some(end) => self.push(Kind::Raw, end + 2),
                None => return self.error("unterminated raw quoted string"),
            },
            '$' => self.name(Kind::Variable)?,
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
            '.' if rest[1..].starts_with(is_name) => self.name(Kind::Field)?,
            '.' => self.push(Kind::Dot, 1),
            '+' | '-' | '0'..='9' => self.number(),
            c if is_name(c) => self.name(Kind::Word)?,
            c if c.is_ascii_graphic() => self.push(Kind::Other, 1),
            c => return self.error(&format!("unrecognized character in action: {}", unicode(c))),
        }
        Ok(())
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Result<(), Error> {
        let mut escaped = false;
        for (index, c) in self.rest().char_indices().skip(1) {
            match c {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == quote => {
                    self.push(kind, index + 1);
                    return Ok(());
                }
                _ => {}
            }
        }
        self.error(unterminated)
    }

    fn name(&mut self, kind: Kind) -> Result<(), Error> {
        let rest = self.rest();
        let mark = usize::from(kind != Kind::Word);
        let length = mark + rest[mark..].find(|c: char| !is_name(c)).unwrap_or(rest.len() - mark);
        if let Some(c) = rest[length..].chars().next()
            && !ends_name(c)
            && !rest[length..].starts_with(CLOSE)
        {
            return self.error(&format!("bad character {}", unicode(c)));
        }
        self.push(kind, length);
        Ok(())
    }

    fn number(&mut self) {
        let rest = self.rest();
        let (mut before, mut points) = (' ', 0);
        let end = rest.char_indices().find(|(index, c)| {
            let sign = matches!(c, '+' | '-') && (*index == 0 || matches!(before, 'e' | 'E' | 'p' | 'P'));
            points += usize::from(*c == '.');
            before = *c;
            !(c.is_alphanumeric() || *c == '_' || (*c == '.' && points == 1) || sign)
        });
        self.push(Kind::Number, end.map_or(rest.len(), |(index, _)| index).max(1));
    }
}

/// `{{- ` before an action takes the blanks before it away.
fn has_left_trim(behind: &str) -> bool {
    behind.strip_prefix("{{-").is_some_and(|rest| rest.starts_with(BLANKS))
}

/// How many bytes are before the `}}` of ` -}}`.
fn closing_trim(rest: &str) -> Option<usize> {
    let first = rest.chars().next().filter(|c| BLANKS.contains(c))?;
    rest[first.len_utf8()..].starts_with("-}}").then_some(first.len_utf8() + 1)
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn ends_name(c: char) -> bool {
    BLANKS.contains(&c) || matches!(c, '.' | ',' | '|' | ':' | ')' | '(' | '=')
}

/// Go's `%#U`: `U+0025 '%'`.
fn unicode(c: char) -> String {
    format!("U+{:04X} '{c}'", c as u32)
}
