//! The `orca` binary: Docker's verbs for people, the daemon, and the hidden processes that the daemon consists of.
//!
//! - `container/ image/ registry/ volume/ compose/ system` are verbs, each a conversation with a daemon through [`client`]
//! - [`daemon`] composes a node: agent and manager, joined only by their API
//! - [`surface`] is Docker's whole command line, and why some of it is not here
//! - [`template`] is Go's `text/template`, for `--format`
//! - [`demo`] is what runs inside the image `orca/demo`
#![cfg_attr(test, allow(clippy::unwrap_used))]
// `orca info` is one large JSON object.
#![recursion_limit = "256"]

/// As std's, which panics where nobody reads standard error any more: that fails no command.
macro_rules! eprintln {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}

mod build;
mod client;
mod clock;
mod commands;
mod compose;
mod container;
mod contents;
mod context;
mod daemon;
mod demo;
mod detach_keys;
mod docker_config;
mod elsewhere;
mod error;
mod filter;
mod image;
mod info;
mod inspect;
mod logging;
mod manifest;
mod manual;
mod network;
mod node;
mod output;
mod registry;
mod service;
mod stack;
mod stream;
mod surface;
mod swarm;
mod system;
mod terminal;
mod volume;
mod why;

use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("orca: {panic}\nThis is a defect of Orca: please report it, with these lines and with what you did.");
    }));
    let mut args = std::env::args_os();
    let _program = args.next();
    // These begin before there is any thread or runtime: a shim must have one thread only.
    match args.next().as_deref().and_then(|word| word.to_str()) {
        Some("shim") => shim::main(args),
        Some("init") => shim::init_main(args),
        Some("netd") => net::netd::main(args),
        Some("unpack") => ::image::unpack_main(args),
        Some("files") => agent::files::main(args),
        Some("demo") => demo::main(args),
        _ => commands::main(),
    }
}
