//! The binary as a user has it: real daemons on network namespaces of their own, real containers, real Debian software.
//! Needs root; a missing privilege fails.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod compose;
mod containers;
mod files;
mod images;
mod kill_daemon;
mod local_networks;
mod networks;
mod real_app;
mod storage;
mod support;
mod unified;
mod verbs;
mod watching;
