//! Splitting a command into words as the reference loader does: a shell's quotes, without running one.

/// Words of `line`. Quotes group, a backslash takes the next character as it is, but not within single quotes; text in
/// `` `…` `` and `$(…)` stays together. At `;`, `&`, `|`, `<` and `>` the command ends, as they mean something only to a shell.
///
/// # Errors
/// A quote, bracket or backslash that nothing follows, and a bracket without `$`.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let invalid = || format!("invalid command line string {line:?}");
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut open: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (open, c) {
            (Some('\''), '\'') | (Some('"'), '"') => open = None,
            (Some('`'), '`') | (Some('('), ')') => {
                open = None;
                word.get_or_insert_default().push(c);
            }
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => {
                let next = chars.next().ok_or_else(invalid)?;
                word.get_or_insert_default().push(next);
            }
            (Some(_), _) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                open = Some(c);
                word.get_or_insert_default();
            }
            (None, '`') => {
                open = Some(c);
                word.get_or_insert_default().push(c);
            }
            (None, '(') if word.as_deref().is_some_and(|word| word.ends_with('$')) => {
                open = Some(c);
                word.get_or_insert_default().push(c);
            }
            (None, '(' | ')') => return Err(invalid()),
            (None, ' ' | '\t' | '\r' | '\n') => words.extend(word.take()),
            (None, ';' | '&' | '|' | '<' | '>') => {
                let descriptor =
                    c == '>' && word.as_deref().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
                words.extend(word.take().filter(|_| !descriptor));
                return Ok(words);
            }
            (None, _) => word.get_or_insert_default().push(c),
        }
    }
    if open.is_some() {
        return Err(invalid());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        for (line, expected) in [
            ("sh -c 'a b'  \"c \\\" d\" e\\ f ''", &["sh", "-c", "a b", "c \" d", "e f", ""][..]),
            ("", &[]),
            ("echo $(date +%s) `a b`", &["echo", "$(date +%s)", "`a b`"]),
            ("a 'x\\y' && b", &["a", "x\\y"]),
            ("run 2> log", &["run"]),
        ] {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
        for line in ["a 'b", "a \\", "a(b)", "a)", "$(a", "`a"] {
            assert!(split(line).is_err(), "{line}");
        }
    }
}
