//! Images on a node: from an archive to the lower directories of a container's overlay mount.
//!
//! Synchronous code, but for [`registry`]: the agent calls it from blocking threads, and layers are unpacked in child processes.
//!
//! | module | | what it is |
//! |---|---|---|
//! | [`reference`] | pure | `name[:tag][@digest]`, Docker's normalisation |
//! | [`manifest`] | pure | OCI and Docker manifests, indexes, configs, platforms |
//! | [`dockerfile`] | pure | Dockerfiles, and the config instructions of `--change` |
//! | [`build`] | shell | what COPY and ADD take and write, and what steps are known by |
//! | [`gc`] | pure | which blobs and snapshots nothing holds |
//! | [`user`] | pure | `USER` resolved with passwd and group texts |
//! | [`catalog`] | pure | names to images: tagging, lookup, Docker's removal rules |
//! | [`content`] | shell | content-addressed blobs, verified on write and read |
//! | `archive` | shell | hostile tars, gzip and zstd, bounded |
//! | [`snapshot`] | shell | layers unpacked into overlayfs lower directories |
//! | [`rootfs`] | shell | the merged view of layers: read a file, copy a tree |
//! | [`tree`] | shell | file trees that others change meanwhile, into archives and back; what differs from layers |
//! | [`store`] | shell | all of it together: import, load, inspect, remove, prepare, collect |
//! | [`registry`] | shell | pull and push, with pure parts of their own |
//! | [`builtin`] | shell | images that the program itself provides |
//!
//! On disk, below the node's data directory (see [`store`] for what each holds):
//!
//! ```text
//! image/lock                      held by the one process that owns the directory
//! image/index.json                names and images, version 1
//! image/blobs/sha256/<hex>        manifests, configs, layers as they came
//! image/snapshots/<chain id>/fs   unpacked layers
//! image/staging/                  what isn't whole yet; emptied on open
//! ```
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod archive;
pub mod build;
pub mod builtin;
pub mod catalog;
pub mod content;
mod digest;
pub mod dockerfile;
mod error;
pub mod gc;
mod links;
pub mod manifest;
pub mod reference;
pub mod registry;
mod rfc3339;
#[cfg(test)]
mod robustness;
pub mod rootfs;
pub mod snapshot;
pub mod store;
pub mod tree;
pub mod user;

pub use archive::Limits;
pub use digest::{Digest, chain_ids};
pub use error::{Error, Result};
pub use reference::Reference;
pub use rfc3339::{format_utc, parse_utc};
pub use rootfs::MergedRoot;
pub use snapshot::{Unpacker, unpack_main};
pub use store::Store;
