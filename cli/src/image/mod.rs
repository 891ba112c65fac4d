//! `orca image import|load|ls|inspect|rm`.

mod list;
mod upload;

pub use list::{InspectArgs, ListArgs, RemoveArgs, inspect, list, remove};
pub use upload::{ImportArgs, LoadArgs, import, load};
