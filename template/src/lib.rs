//! Templates of `--format`, and of secrets and configs: Go's `text/template` with Docker's functions, over values that know Go's structs from its maps.
//!
//! - [`lexer`] cuts the text into words, [`parser`] makes a tree of [`node`]s
//! - [`evaluate`] walks the tree; [`functions`], [`compare`], [`printf`] and [`escape`] are what can be called
//! - [`value`] is what is walked, and Go's way to print it
//!
//! Texts of errors are Go's, for scripts that look for them. Pure: text and values in, text out.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(missing_docs)]

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

/// What a function of one text finds: its name, and the text.
pub type Lookup<'a> = &'a dyn Fn(&str, &str) -> Result<String, String>;

pub use evaluate::{Functions, Missing};
pub use value::Value;

use std::collections::BTreeMap;

/// Deepest nesting of parentheses and blocks, and of templates that call templates.
const DEPTH_MAX: usize = 100;

/// Most nodes that are carried out, so that templates which call each other come to an end.
const STEPS_MAX: usize = 1_000_000;

/// Most bytes that one template makes.
const OUTPUT_MAX: usize = 64 << 20;

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
        Ok(Self { text: text.to_owned(), blocks: parser::parse(text, &[])? })
    }

    /// Reads a template that may call further functions, each with one text: [`Functions::Lookup`] tells what they find.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn parse_with(text: &str, lookups: &[&str]) -> Result<Self, Error> {
        Ok(Self { text: text.to_owned(), blocks: parser::parse(text, lookups)? })
    }

    /// Carries it out on a value.
    ///
    /// # Errors
    /// Of fields that there are not, and of functions.
    pub fn execute(&self, data: &Value, missing: Missing, functions: Functions<'_>) -> Result<String, Error> {
        evaluate::execute(&self.text, &self.blocks, data, missing, functions)
    }
}
