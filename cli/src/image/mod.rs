//! `orca image import|load|save|ls|inspect|history|tag|rm|prune`.

mod history;
mod inspect;
mod list;
mod names;
mod prune;
mod remove;
mod save;
mod upload;

pub use history::{HistoryArgs, history};
pub use inspect::{InspectArgs, find, inspect};
pub use list::{ListArgs, list};
pub use names::{TagArgs, tag};
pub use prune::{PruneArgs, prune, prune_now};
pub use remove::{RemoveArgs, remove};
pub use save::{SaveArgs, save};
pub use upload::{ImportArgs, LoadArgs, import, load};
