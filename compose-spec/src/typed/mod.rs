//! One representation per attribute: sizes as byte strings, durations as Go prints them, mappings of strings.
//!
//! [`shape`] and [`service`] say which attribute has which representation, [`coerce`] brings a model into it, and leaves
//! out what has its zero value. What stands in the tree afterwards is what `config` prints and what `translate` reads.

mod coerce;
mod scalars;
mod service;
mod shape;
mod shellwords;
pub mod units;

pub use coerce::{coerce, without_extensions};
pub use service::PROJECT;
pub use shape::Shape;

pub use shellwords::split as shell_words;
