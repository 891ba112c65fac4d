//! What a registry says when it refuses: the error document of the distribution specification. Pure.

use serde::Deserialize;

/// Most characters of a message that are shown.
const MESSAGE_MAX: usize = 500;

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    errors: Vec<Entry>,
    /// Token servers have one of these instead.
    #[serde(alias = "details", alias = "detail", alias = "error_description")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// What a body of an error says, in one line that is safe to print; empty if it says nothing.
pub fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Document>(body) {
        Ok(document) => {
            let entry = |Entry { code, message }: &Entry| match (code.as_str(), message.as_str()) {
                ("", message) => message.to_owned(),
                (code, "") => code.to_lowercase().replace('_', " "),
                (code, message) => format!("{}: {message}", code.to_lowercase().replace('_', " ")),
            };
            document.errors.iter().map(entry).chain(document.message).collect::<Vec<_>>().join("; ")
        }
        // Proxies answer in forms of their own.
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let line = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(MESSAGE_MAX).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_printable_line() {
        let body =
            br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{}},{"code":"DENIED"}]}"#;
        assert_eq!(message(body), "manifest unknown: manifest unknown; denied");
        assert_eq!(message(b"<html>\x1b[2J\nno</html>"), "<html> [2J no</html>");
        assert_eq!(message(b"{}"), "");
        assert_eq!(message(br#"{"details":"incorrect username or password"}"#), "incorrect username or password");
        assert_eq!(message(&[0xff; 3]).chars().count(), 3);
        assert!(message("x".repeat(10_000).as_bytes()).len() <= MESSAGE_MAX);
    }
}
