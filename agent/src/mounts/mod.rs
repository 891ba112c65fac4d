//! What is mounted into containers: volumes, binds, secrets, configs, and the files that Orca writes for each.
//!
//! - [`Volumes`]: the node's volumes, of the kinds that `driver` knows · [`HeldMounts`]: what is mounted for them
//! - [`text`]: hosts and resolv.conf, pure · `contents`: secrets and configs on disk · `filled`: those that are templates
//! - [`ready`]: everything of one container made ready, as [`MountPoint`]s for its bundle

mod contents;
mod declared;
mod driver;
mod filled;
mod held;
mod init;
mod points;
mod relabel;
pub mod text;
mod volumes;

pub use contents::{Contents, mount_secrets};
pub use held::HeldMounts;
pub use init::{INIT, init};
pub use points::{Images, Names, Sources, hand_over, hostname, lasting, ready, rename};
pub use relabel::{has_selinux, label_layers};
pub use volumes::{VolumeOwner, VolumeRecord, Volumes, anonymous_name};

#[allow(unused_imports)] // for the docs
use crate::bundle::MountPoint;
