//! `orca build`, and the builds of Compose files.
//!
//! [`args`] the command line · [`job`] what is asked of the daemon, and the answers to what it asks · [`context`] the files of
//! a directory or an archive · [`show`] how it comes along · [`output`] where the result goes · [`cache`] what was kept

mod args;
mod builders;
mod cache;
mod context;
mod job;
mod output;
mod show;

pub use args::{BuildArgs, build};
pub use builders::{BuilderVerb, BuildxVerb, builder, buildx};
pub use cache::{entries as cache_entries, prune_cache};
pub use context::{Tree, ignore_rules};
pub use job::{Dockerfile, Job, execute, read_dockerfile};
pub use output::Output;
pub use show::{Mode, Show};
