//! YAML text to [`Node`] trees, with go-yaml's scalar rules and Compose's own: string keys only, no key twice,
//! merge keys, `!reset` and `!override`, and a budget that alias bombs can't exceed.

mod compose;
mod scalar;
#[cfg(test)]
mod tests;
mod timestamp;

use crate::error::Error;
use crate::node::{Node, SourceId, Span};

/// Most nodes a document may have, and most that aliases may copy.
pub const NODE_BUDGET: usize = 400_000;
/// Deepest nesting a document may have.
pub const DEPTH_LIMIT: usize = 100;

/// The documents of a file, in order. None for an empty file.
///
/// # Errors
/// [`Error::Yaml`], [`Error::DuplicateKey`] and [`Error::NonStringKey`], at their place.
pub fn parse(bytes: &[u8], source: SourceId) -> Result<Vec<Node>, Error> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = 1 + bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
            let at = Span { source, line: line as u32, column: 1 };
            return Err(Error::Yaml { at: at.into(), reason: "not UTF-8 text".into() });
        }
    };
    compose::Composer::new(source).documents(text)
}

/// Whether `text`, written as a plain scalar, is a string.
pub fn plain_is_string(text: &str) -> bool {
    matches!(scalar::resolve(text), crate::node::Value::String(same) if same == text)
}
