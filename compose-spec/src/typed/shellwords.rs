//! Splitting a command into words as a shell does, without running one.

/// Words of `line`; quotes group, a backslash takes the next character as it is.
///
/// # Errors
/// A quote or backslash that nothing follows.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                let next = chars.next().ok_or("invalid command line string: it ends in a backslash")?;
                word.get_or_insert_default().push(next);
            }
            (Some(open), _) if c == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, ';' | '&' | '|' | '<' | '>' | '(' | ')') if ends_command(c) => {
                words.extend(word.take());
                return Ok(words);
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(format!("invalid command line string: a quote in {line:?} is not closed"));
    }
    words.extend(word);
    Ok(words)
}

/// Docker Compose ends a command at these; they mean something only to a shell.
fn ends_command(c: char) -> bool {
    matches!(c, ';' | '&' | '|' | '<' | '>')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(split("sh -c 'a b'  \"c \\\" d\" e\\ f ''").unwrap(), ["sh", "-c", "a b", "c \" d", "e f", ""]);
        assert!(split("a 'b").is_err());
        assert!(split("a \\").is_err());
        assert!(split("").unwrap().is_empty());
    }
}
