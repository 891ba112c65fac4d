//! `orca image import|load|save|ls|inspect|history|tag|rm|prune`.

mod history;
mod list;
mod names;
mod prune;
mod save;
mod upload;

pub use history::{HistoryArgs, history};
pub use list::{InspectArgs, ListArgs, RemoveArgs, inspect, list, remove};
pub use names::{TagArgs, tag};
pub use prune::{PruneArgs, prune};
pub use save::{SaveArgs, save};
pub use upload::{ImportArgs, LoadArgs, import, load};
