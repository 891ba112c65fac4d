//! What runs inside the image `orca/demo`, which is this very binary as a root file system.
//!
//! `whoami` serves a page that names its task, node and peer · `counter` counts visits and keeps the number in a file ·
//! `echo` sends datagrams back · `health` asks an address and exits 0 when it answers · `load` asks an address many times and prints what came back.

mod counter;
mod echo;
mod http;
mod load;
mod probe;
mod resolve;
mod whoami;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "orca demo", about = "Small programs to try Orca with", disable_help_subcommand = true)]
struct Demo {
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Serve a page that names this task, its node and who asks
    Whoami {
        /// Port to listen on
        #[arg(long, env = "PORT", default_value_t = 80)]
        port: u16,
        /// A counter to show the visits of, such as http://counter:8000/
        #[arg(long, env = "COUNTER")]
        counter: Option<String>,
    },
    /// Count visits, and keep the number in a file
    Counter {
        /// Port to listen on
        #[arg(long, env = "PORT", default_value_t = 8000)]
        port: u16,
        /// Where the number is kept
        #[arg(long, env = "DATA", default_value = "/data/count")]
        file: PathBuf,
    },
    /// Send every UDP datagram back to where it came from
    Echo {
        /// Port to listen on
        #[arg(long, env = "PORT", default_value_t = 7)]
        port: u16,
    },
    /// Exit 0 when the address answers with success, 1 otherwise
    Health {
        /// Such as http://127.0.0.1/health
        url: String,
    },
    /// Ask an address again and again
    Load {
        /// Such as http://web/
        url: String,
        /// How often
        #[arg(short = 'n', long, default_value_t = 100)]
        requests: u32,
        /// How many at once
        #[arg(short, long, default_value_t = 4)]
        concurrency: u32,
    },
}

/// Runs one of the programs.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let demo = match Demo::try_parse_from(std::iter::once(OsString::from("orca demo")).chain(args)) {
        Ok(demo) => demo,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    end_on_sigterm();
    let result = match demo.mode {
        Mode::Whoami { port, counter } => whoami::serve(listen(port), counter),
        Mode::Counter { port, file } => counter::serve(listen(port), &file),
        Mode::Echo { port } => echo::serve(listen(port)),
        Mode::Health { url } => probe::probe(&url),
        Mode::Load { url, requests, concurrency } => load::run(&url, requests, concurrency),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orca demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn listen(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

/// The first process of a pid namespace ignores signals that it has no handler for (pid_namespaces(7)), so it needs one to end
/// when it is asked to.
fn end_on_sigterm() {
    extern "C" fn end(_signal: libc::c_int) {
        // SAFETY: _exit(2) is async-signal-safe.
        unsafe { libc::_exit(0) }
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler is a function with the signature that signal(2) asks for, and only calls _exit(2).
        unsafe { libc::signal(signal, end as *const () as libc::sighandler_t) };
    }
}
