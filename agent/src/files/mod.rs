//! A container's files: copied in and out, compared, exported.
//!
//! All of it happens in a process of its own, `orca files`, so that neither a hostile container nor a file system that hangs
//! costs the daemon memory or a thread, and nothing of it outlives its client. That process opens one directory, the
//! container's root, and does everything below it ([`image::tree`]).
//!
//! - [`Order`], [`Site`], [`Report`]: what is asked, where, and how it went · [`main`]: the process
//! - [`path`]: paths as `cp` takes them, pure · [`Process`]: the daemon's end of it

mod child;
mod order;
pub mod path;
mod process;
mod site;

pub use child::main;
pub use order::{Answer, Failure, Order, Report, Site, Stat, StoppedMount, Task};
pub use process::{Output, Process};
