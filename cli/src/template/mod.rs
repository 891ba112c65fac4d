//! Templates of `--format`: Go's `text/template` with Docker's functions, over values that know Go's structs from its maps.
//!
//! - [`lexer`] cuts the text into words, [`parser`] makes a tree of [`node`]s
//! - [`evaluate`] walks the tree; [`functions`], [`compare`], [`printf`] and [`escape`] are what can be called
//! - [`value`] is what is walked, and Go's way to print it
//!
//! Texts of errors are Go's, for scripts that look for them. Pure: text and values in, text out.

mod compare;
mod escape;
mod evaluate;
mod functions;
mod lexer;
mod node;
mod parser;
mod printf;
mod quote;
#[cfg(test)]
mod tests;
mod value;

pub use evaluate::{Functions, Missing};
pub use value::Value;

use std::collections::BTreeMap;

/// Deepest nesting of parentheses and blocks, and of templates that call templates.
const DEPTH_MAX: usize = 100;

/// Why a template cannot be read or carried out, in Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template: {0}")]
pub struct Error(String);

/// A template that has been read.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    /// By name; the whole text is the one without a name.
    blocks: BTreeMap<String, Vec<node::Node>>,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Of syntax, and of functions and variables that there are not.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self { text: text.to_owned(), blocks: parser::parse(text)? })
    }

    /// Carries it out on a value.
    ///
    /// # Errors
    /// Of fields that there are not, and of functions.
    pub fn execute(&self, data: &Value, missing: Missing, functions: Functions) -> Result<String, Error> {
        evaluate::execute(&self.text, &self.blocks, data, missing, functions)
    }
}
