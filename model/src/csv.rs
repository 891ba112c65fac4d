//! Options of several fields in one word, as Docker's commands and files have them.

/// One line of comma-separated values (RFC 4180): a field in quotes may have commas, and quotes that are doubled.
///
/// # Errors
/// A quote that is out of place or not closed.
pub fn fields(line: &str) -> Result<Vec<String>, String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(field) = fields.last_mut() else { continue };
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err("a quote must be the first of its field".into()),
            ',' if !quoted => fields.push(String::new()),
            other => field.push(other),
        }
    }
    if quoted { Err("a quote is not closed".into()) } else { Ok(fields) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_commas() {
        assert_eq!(fields("a=1,,b").unwrap(), ["a=1", "", "b"]);
        assert_eq!(fields("\"a=1,2\",\"say \"\"b\"\"\"").unwrap(), ["a=1,2", "say \"b\""]);
        assert!(fields("a\"b").is_err() && fields("\"open").is_err());
    }
}
