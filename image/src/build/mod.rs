//! From a Dockerfile's steps to layers: what COPY and ADD select and write, and what each step is known by.
//!
//! [`Files`] a tree to copy from or to · [`Context`] the client's files, in memory until their content is needed · [`select`]
//! what a COPY takes · [`write`] the layer that it becomes · [`chmod`] modes · [`Key`] what a step is known by in the cache

mod archive;
mod chmod;
mod context;
mod files;
mod key;
mod select;
#[cfg(test)]
mod tests;
mod write;

pub use archive::{TarFile, hash, read_archive};
pub use chmod::Chmod;
pub use context::{Context, ContextEntry, ContextKind};
pub use files::{Files, Seen, exists, resolve};
pub use key::{Key, KeyWriter};
pub use select::{Item, Selection, select};
pub use write::{CopyTo, Text, make_dirs, pack_tree, write};
