//! The grammar of `$NAME` and `${NAME…}`.
//!
//! ```text
//! $$ → $     $NAME   ${NAME}
//! ${NAME:-w} ${NAME-w}  default     ${NAME:?w} ${NAME?w}  error     ${NAME:+w} ${NAME+w}  replacement
//! ```
//! `w` is itself interpolated, but only when it is used; a `$` before anything else is literal.

use super::Lookup;

/// Deepest nesting of `${A:-${B:-…}}`.
const DEPTH_LIMIT: usize = 32;

/// Why a template has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` that begins no substitution.
    Invalid,
    /// `:?` or `?` of a variable without value; the reason may be empty.
    Required { name: String, reason: String },
    /// Nested beyond [`DEPTH_LIMIT`].
    TooDeep,
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Invalid => f.write_str("invalid template"),
            Self::Required { name, reason } if reason.is_empty() => {
                write!(f, "required variable {name} is missing a value")
            }
            Self::Required { name, reason } => write!(f, "required variable {name} is missing a value: {reason}"),
            Self::TooDeep => write!(f, "nested deeper than {DEPTH_LIMIT} levels"),
        }
    }
}

/// Substitutes all variables of `text`. Names of unset variables that became blank are added to `missing`.
pub fn substitute(text: &str, lookup: &Lookup, missing: &mut Vec<String>) -> Result<String, TemplateError> {
    at_depth(text, lookup, missing, 0)
}

fn at_depth(text: &str, lookup: &Lookup, missing: &mut Vec<String>, depth: usize) -> Result<String, TemplateError> {
    if depth > DEPTH_LIMIT {
        return Err(TemplateError::TooDeep);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        rest = match after.as_bytes().first() {
            Some(b'$') => {
                out.push('$');
                &after[1..]
            }
            Some(b'{') => {
                let (expression, tail) = braced(after)?;
                out.push_str(&evaluate(expression, lookup, missing, depth)?);
                tail
            }
            _ => {
                let name = name(after);
                if name.is_empty() {
                    out.push('$');
                } else {
                    out.push_str(&plain(name, lookup, missing));
                }
                &after[name.len()..]
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

fn plain(name: &str, lookup: &Lookup, missing: &mut Vec<String>) -> String {
    lookup(name).unwrap_or_else(|| {
        missing.push(name.to_owned());
        String::new()
    })
}

/// The longest name that `text` begins with; empty if none.
pub(super) fn name(text: &str) -> &str {
    let bytes = text.as_bytes();
    if !bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_') {
        return "";
    }
    let end = bytes.iter().position(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_')).unwrap_or(bytes.len());
    &text[..end]
}

/// Splits `{…}…` into what is between the braces and what follows.
///
/// The reference finds the end in its own way, and so does this: braces balance, but the character after an opening one
/// is not looked at; where they don't balance, the last closing brace of the line ends the expression.
pub(super) fn braced(text: &str) -> Result<(&str, &str), TemplateError> {
    let line = text.split('\n').next().unwrap_or_default();
    let last = line.rfind('}').ok_or(TemplateError::Invalid)?;
    let after_name = 1 + name(&text[1..]).len();
    if text.as_bytes().get(after_name) == Some(&b'}') {
        return Ok((&text[1..after_name], &text[after_name + 1..]));
    }
    let mut open = 0usize;
    let mut end = last;
    let mut bytes = text.bytes().enumerate().take(last + 1);
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'{' => {
                open += 1;
                bytes.next();
            }
            b'}' => {
                open -= 1;
                if open == 0 {
                    end = at;
                    break;
                }
            }
            _ => {}
        }
    }
    Ok((&text[1..end], &text[end + 1..]))
}

fn evaluate(
    expression: &str,
    lookup: &Lookup,
    missing: &mut Vec<String>,
    depth: usize,
) -> Result<String, TemplateError> {
    let name = name(expression);
    if name.is_empty() {
        return Err(TemplateError::Invalid);
    }
    let rest = &expression[name.len()..];
    if rest.is_empty() {
        return Ok(plain(name, lookup, missing));
    }
    let (blank_is_unset, operation) = match rest.strip_prefix(':') {
        Some(operation) => (true, operation),
        None => (false, rest),
    };
    let (operator, word) = operation.split_at_checked(1).ok_or(TemplateError::Invalid)?;
    let value = lookup(name).filter(|value| !(blank_is_unset && value.is_empty()));
    match (operator, value) {
        ("-", Some(value)) | ("?", Some(value)) => Ok(value),
        ("-", None) | ("+", Some(_)) => at_depth(word, lookup, missing, depth + 1),
        ("+", None) => Ok(String::new()),
        ("?", None) => {
            let reason = at_depth(word, lookup, missing, depth + 1)?;
            Err(TemplateError::Required { name: name.to_owned(), reason })
        }
        _ => Err(TemplateError::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "FOO" => Some("first".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn sub(text: &str) -> Result<String, TemplateError> {
        substitute(text, &env, &mut Vec::new())
    }

    #[test]
    fn the_grammar() {
        for (text, expected) in [
            ("$$", "$"),
            ("$FOO-x", "first-x"),
            ("${FOO}", "first"),
            ("a $ b ^R$", "a $ b ^R$"),
            ("${U:-d}", "d"),
            ("${EMPTY:-d}", "d"),
            ("${EMPTY-d}", ""),
            ("${U:-${V:-x}}", "x"),
            ("${A:-{}}", "{}"),
            ("${C-x:-y}", "x:-y"),
            ("${FOO:+r}|${EMPTY:+r}|${EMPTY+r}|${U+r}", "r||r|"),
            ("${U:-a} ${FOO}", "a first"),
            ("${FOO:-${}}", "first"),
            ("$1", "$1"),
            ("é$FOOé", "éfirsté"),
        ] {
            assert_eq!(sub(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn the_errors() {
        for text in ["${", "${}", "${ x}", "${x!}", "${U:-${}}", "${FOO:}", "${FOO:é}", "${U:-a\n}", "${A:-{}}${FOO}"]
        {
            assert_eq!(sub(text), Err(TemplateError::Invalid), "{text}");
        }
        assert_eq!(sub("${U?why $FOO}").unwrap_err().to_string(), "required variable U is missing a value: why first");
        assert_eq!(sub(&("${U-".repeat(99) + &"}".repeat(99))), Err(TemplateError::TooDeep));
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[\PC\n]{0,40}", braces in r"[${}:?+\-FOU é]{0,40}") {
            let _ = sub(&text);
            let _ = sub(&braces);
        }
    }
}
