//! The binary as a user has it: real daemons on network namespaces of their own, real containers, real Debian software.
//! Needs root; a missing privilege fails.
#![allow(clippy::unwrap_used)]

mod attach;
mod autolock;
mod bad_input;
mod build;
mod cdi;
mod cluster;
mod cluster_faults;
mod cluster_identity;
mod cluster_images;
mod cluster_managers;
mod cluster_reach;
mod compose;
mod compose_flags;
mod compose_git;
mod compose_remains;
mod compose_verbs;
mod compose_volumes;
mod compose_watch;
mod containers;
mod dry_run;
mod faults;
mod files;
mod format;
mod full_disk;
mod hooks;
#[allow(dead_code, reason = "the prompt of chaos-tests uses all of it")]
#[path = "../../../chaos-tests/cluster/mod.rs"]
mod hosts;
mod image_names;
mod images;
mod ingress;
mod ipv6;
mod isolation;
mod kernel;
mod kill_daemon;
mod leaks;
mod links;
mod local_networks;
mod logs;
mod mesh;
mod metrics;
mod networks;
mod programs;
mod prune;
mod real_app;
mod recovery;
mod registry;
mod remains;
mod runtimes;
mod secrets;
mod services;
mod steps;
mod storage;
mod support;
mod syslog_tls;
mod tls;
mod unified;
mod users;
mod verbs;
mod vm;
mod volumes;
mod watching;
