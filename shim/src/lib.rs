//! `orca shim`: one small process per container, which outlives the daemon.
//!
//! It has one thread (libcontainer forks, and a fork of a process with threads may not allocate), and must be started
//! before any runtime exists. The daemon executes it from a [`sealed`] copy and talks to it with the plain data of
//! [`model::shim`]; nothing else of this crate concerns the daemon.
//!
//! From the outside in:
//! - [`main`] reads the arguments; [`run`] is a shim's life, [`cleanup`] what is done after its violent death
//! - [`bundle`] the directory shared with the agent · [`config`] what config.json must and must not say
//! - [`isolate`] leaving the daemon · [`namespaces`] what it joins · [`overlay`] mounting the snapshot · [`users`] for users who are not the host's
//! - [`rootfs`], [`user`] looking into it
//! - [`runtime`] the seam in front of libcontainer · [`report`] how a process says why it could not execute
//! - [`serve`] the loop: exit, output, socket, execs · [`log`] the log file · [`terminal`] pseudo-terminals
//! - [`init`] the first process of containers that want one
//! - [`selinux`] labels beyond options of mounts
//! - [`cgroup`] freezing, signalling, reading and removing cgroups · [`time`] clocks · [`error`] what goes wrong
#![cfg_attr(test, allow(clippy::unwrap_used))]
#![warn(missing_docs)]

pub mod bundle;
pub mod cgroup;
mod cleanup;
pub mod config;
pub mod error;
mod init;
mod isolate;
mod log;
mod namespaces;
mod overlay;
mod report;
mod rootfs;
mod run;
mod runtime;
pub mod sealed;
mod selinux;
mod serve;
mod shared;
mod terminal;
mod time;
mod user;
mod users;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

pub use error::{Result, ShimError};
pub use init::main as init_main;
pub use sealed::SealedBinary;

/// What the command line asks.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    bundle: PathBuf,
    cleanup: bool,
}

/// Runs `shim` with the arguments after the program's name (a leading `shim` is skipped). Must be called before any thread
/// is started.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(args) {
        Ok(Arguments { bundle, cleanup: false }) => ExitCode::from(run::run(&bundle)),
        Ok(Arguments { bundle, cleanup: true }) => conclude(cleanup::cleanup(&bundle)),
        Err(error) => conclude(Err(error)),
    }
}

fn conclude(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error may be closed; the exit code still says it.
            let _ = writeln!(std::io::stderr(), "orca shim: {error}");
            ExitCode::from(error.class().exit_code())
        }
    }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments> {
    let mut args = args.into_iter().peekable();
    args.next_if(|first| first == "shim");
    let (mut bundle, mut cleanup) = (None, false);
    while let Some(arg) = args.next() {
        match arg.to_str() {
            Some("--cleanup") => cleanup = true,
            Some("--bundle") => bundle = args.next().map(PathBuf::from),
            _ => return Err(ShimError::Usage),
        }
    }
    bundle.map(|bundle| Arguments { bundle, cleanup }).ok_or(ShimError::Usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_all_understood_or_refused() {
        let parse = |args: &[&str]| super::parse(args.iter().map(OsString::from));
        let expected = Arguments { bundle: "/b".into(), cleanup: true };
        assert_eq!(parse(&["shim", "--cleanup", "--bundle", "/b"]).unwrap(), expected);
        for bad in [&[][..], &["--bundle"], &["--bundle", "/b", "--verbose"]] {
            assert!(matches!(parse(bad), Err(ShimError::Usage)), "{bad:?}");
        }
    }
}
