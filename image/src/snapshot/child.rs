//! Unpacking in a process of its own: both ends.
//!
//! A hostile or broken layer can then cost the daemon neither memory nor a stuck thread. The child writes only into the
//! staging directory it is given, says how it went as one JSON line, and dies with the thread that started it.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

use super::unpack::unpack_layer;
use super::{Layer, Unpacked};
use crate::archive::Limits;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::manifest::{parse_json, to_json};

/// The most bytes of the report that are read.
const REPORT_LIMIT: u64 = 64 << 10;

/// What the child is asked to do, as its one argument; parent and child are always the same program.
#[derive(Serialize, Deserialize)]
struct Order {
    parent_pid: u32,
    blob: PathBuf,
    digest: Digest,
    size: u64,
    diff_id: Digest,
    chain_id: Digest,
    parents: Vec<PathBuf>,
    into: PathBuf,
    entry_limit: u64,
    byte_limit: u64,
}

/// How it went.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Report {
    Unpacked { entries: u64, bytes: u64 },
    Failed(String),
}

/// The `unpack` subcommand: unpacks one layer as its single argument (JSON) says, reports as one JSON line on stdout, and
/// exits 0 if the layer is whole, else 1. `args` don't include the program and subcommand names.
pub fn unpack_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (report, code) = match obey(args) {
        Ok(Unpacked { entries, bytes }) => (Report::Unpacked { entries, bytes }, ExitCode::SUCCESS),
        Err(error) => (Report::Failed(error.to_string()), ExitCode::FAILURE),
    };
    match to_json("report", &report) {
        Ok(line) => println!("{}", String::from_utf8_lossy(&line)),
        Err(error) => eprintln!("orca unpack: {error}"),
    }
    code
}

fn obey(args: impl IntoIterator<Item = OsString>) -> Result<Unpacked> {
    let args: Vec<OsString> = args.into_iter().collect();
    let [order] = args.as_slice() else {
        return Err(Error::document("unpack order", "one argument is needed"));
    };
    let order: Order = parse_json("unpack order", order.as_encoded_bytes())?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| Error::io("set", "the parent death signal", error))?;
    let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if parent != Some(order.parent_pid) {
        return Err(Error::document("unpack order", "the process that gave it is gone"));
    }
    let layer = Layer {
        blob: order.blob,
        digest: order.digest,
        size: order.size,
        diff_id: order.diff_id,
        chain_id: order.chain_id,
        parents: &order.parents,
    };
    unpack_layer(&layer, &order.into, Limits { entries: order.entry_limit, bytes: order.byte_limit })
}

/// Starts `program unpack …` for `layer` and waits for its report.
pub(super) fn run(program: &Path, layer: &Layer<'_>, into: &Path, limits: Limits) -> Result<Unpacked> {
    let failed = |reason: String| Error::Unpack { layer: layer.diff_id, reason };
    let order = Order {
        parent_pid: std::process::id(),
        blob: layer.blob.clone(),
        digest: layer.digest,
        size: layer.size,
        diff_id: layer.diff_id,
        chain_id: layer.chain_id,
        parents: layer.parents.to_vec(),
        into: into.to_owned(),
        entry_limit: limits.entries,
        byte_limit: limits.bytes,
    };
    let order = String::from_utf8_lossy(&to_json("unpack order", &order)?).into_owned();
    let mut child = Command::new(program)
        .arg("unpack")
        .arg(order)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Error::io("start", program.display(), error))?;
    let mut line = Vec::new();
    let read = child.stdout.take().map(|stdout| stdout.take(REPORT_LIMIT).read_to_end(&mut line));
    let status = child.wait().map_err(|error| Error::io("wait for", program.display(), error))?;
    if let Some(Err(error)) = read {
        return Err(failed(format!("its report can't be read: {error}")));
    }
    match serde_json::from_slice(&line) {
        Ok(Report::Unpacked { entries, bytes }) if status.success() => Ok(Unpacked { entries, bytes }),
        Ok(Report::Failed(reason)) => Err(failed(reason)),
        _ => Err(failed(format!("the process that unpacked it ended with {status}"))),
    }
}
