//! `orca image import|load|ls|inspect|rm`.

mod inspect;
mod list;
mod remove;
mod upload;

pub use inspect::{InspectArgs, find, inspect};
pub use list::{ListArgs, list};
pub use remove::{RemoveArgs, remove};
pub use upload::{ImportArgs, LoadArgs, import, load};
