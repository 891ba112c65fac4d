//! `orca files`: the process that works on a container's files. One thread, one task.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::process::ExitCode;

use image::tree::{self, Change, Conflicts, ExtractOptions, Owner, Within};

use super::order::{Answer, Failure, Order, Report, Site, Stat, Task};
use super::site::{Place, open};

/// The longest order in bytes: room for an image of 500 layers.
const ORDER_MAX: u64 = 1 << 20;
const OUTPUT_BUFFER: usize = 256 << 10;

/// The `files` subcommand. `args` don't include the program and subcommand names; there are none.
pub fn main(_args: impl IntoIterator<Item = OsString>) -> ExitCode {
    // New files have the modes that they are made with.
    rustix::process::umask(rustix::fs::Mode::empty());
    let (report, code) = match obey() {
        Ok(answer) => (Report::Done(answer), ExitCode::SUCCESS),
        Err(failure) => (Report::Failed(failure), ExitCode::FAILURE),
    };
    let line = serde_json::to_string(&report).unwrap_or_default();
    // The daemon may be gone; then nobody wants to know.
    let _ = writeln!(io::stderr(), "{line}");
    code
}

fn obey() -> Result<Answer, Failure> {
    let mut input = BufReader::with_capacity(OUTPUT_BUFFER, io::stdin().lock());
    let mut line = Vec::new();
    input.by_ref().take(ORDER_MAX).read_until(b'\n', &mut line).map_err(broken)?;
    let order: Order = serde_json::from_slice(&line).map_err(|error| broken(error.into()))?;
    let mut place = open(&order.site)?;
    if matches!(order.task, Task::Extract { .. }) {
        place.enter_users()?;
    }
    let mut output = BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock());
    let answer = carry_out(&order, &place, input, &mut output)?;
    output.flush().map_err(broken)?;
    Ok(answer)
}

fn carry_out(order: &Order, place: &Place, input: impl Read, output: &mut impl Write) -> Result<Answer, Failure> {
    match (&order.task, &order.site) {
        (Task::Stat { path }, _) => Ok(Answer::Stat(Stat::from(place.root()?.stat(path)?))),
        (Task::Pack { path, name }, _) => {
            let stat = Stat::from(place.root()?.stat(path)?);
            json_line(output, &stat)?;
            Ok(Answer::Packed(tree::pack(place.root()?, path, name, &place.ids, output)?))
        }
        (Task::Extract { path, keep_owners, replace, keep_directories, remove }, _) => {
            for gone in remove {
                tree::remove(place.root()?, &[path.as_slice(), b"/", gone].concat())?;
            }
            let owner = if *keep_owners { Owner::Kept(place.ids.clone()) } else { place.superuser() };
            let conflicts = if *replace { Conflicts::Replaced } else { Conflicts::Refused };
            let keep_directories = *keep_directories;
            let options = ExtractOptions { owner, conflicts, keep_directories, within: Within::Root, rename: None };
            let extracted = tree::extract(input, place.root()?, path, options)?;
            Ok(Answer::Extracted(extracted))
        }
        (Task::Changes, Site::Layers { lower, upper }) => {
            let mut tell = |change: Change| json_line(output, &(change.kind, change.path)).map_err(into_image);
            tree::changes(upper, lower, &mut tell)?;
            Ok(Answer::Told)
        }
        (Task::Layer { mount_points, newest }, Site::Layers { lower, upper }) => {
            let rules = tree::LayerRules { mount_points: mount_points.clone(), newest: *newest };
            Ok(Answer::Packed(tree::layer(upper, lower, &place.ids, &rules, output)?))
        }
        (Task::Changes | Task::Layer { .. }, _) => Err(broken(io::ErrorKind::InvalidInput.into())),
    }
}

fn json_line(output: &mut impl Write, value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_vec(value).map_err(|error| broken(error.into()))?;
    line.push(b'\n');
    output.write_all(&line).map_err(broken)
}

fn into_image(failure: Failure) -> image::Error {
    image::Error::Io { action: "tell", what: "a change".into(), source: io::Error::other(failure.message) }
}

fn broken(error: io::Error) -> Failure {
    Failure { not_found: false, invalid: false, message: format!("the daemon broke off: {error}") }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Self {
        use image::Error as E;
        let read_only = matches!(&error, E::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem);
        let invalid = matches!(
            &error,
            E::InvalidArchive { .. } | E::InvalidEntry { .. } | E::LimitExceeded { .. } | E::Rootfs { .. }
        );
        let message = if read_only {
            format!("{error}: the container's root file system, or the volume there, is mounted read-only")
        } else {
            error.to_string()
        };
        Self { not_found: matches!(error, E::NoSuchPath { .. }), invalid: invalid || read_only, message }
    }
}
