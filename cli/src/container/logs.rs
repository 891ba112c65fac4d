//! `orca logs`.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use api::node::LogsRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::clock;
use crate::elsewhere;
use crate::error::{Error, Result};

/// Which lines.
#[derive(Debug, Clone, Args)]
pub struct LogsFlags {
    /// Go on until the container ends
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines: a number, or all
    #[arg(short = 'n', long, default_value = "all")]
    pub tail: String,
    /// Only lines since a time, or since a duration ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only lines until a time, or until a duration ago
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show when each line was written
    #[arg(short, long)]
    pub timestamps: bool,
}

/// Arguments of `orca logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    flags: LogsFlags,
    /// Show the labels, variables and tag that belong to each line
    #[arg(long)]
    details: bool,
    /// Container
    container: String,
}

impl LogsFlags {
    /// The request for one container.
    pub fn request(&self, container: String) -> Result<LogsRequest> {
        let now = clock::now();
        let time = |flag, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match clock::parse(text, now) {
                Ok(at) => Ok(Some(at.0)),
                Err(reason) => Err(Error::Flag { flag, value: text.clone(), reason }),
            },
        };
        let tail = match self.tail.as_str() {
            "all" | "-1" => None,
            number => match number.parse() {
                Ok(lines) => Some(lines),
                Err(_) => {
                    let reason = "expected a number of lines, or all".into();
                    return Err(Error::Flag { flag: "--tail", value: number.into(), reason });
                }
            },
        };
        Ok(LogsRequest {
            container,
            follow: self.follow,
            tail,
            since: time("--since", &self.since)?,
            until: time("--until", &self.until)?,
            stdout: true,
            stderr: true,
            timestamps: self.timestamps,
            details: false,
        })
    }
}

/// Prints the output of one container, each stream on its own.
pub async fn logs(host: &Host, args: LogsArgs) -> Result<()> {
    let request = LogsRequest { details: args.details, ..args.flags.request(String::new())? };
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    let request = LogsRequest { container, ..request };
    let mut batches = client.node.read_logs(request).await?.into_inner();
    // Not through std's handles: standard output would look for lines in what is whole lines already.
    let (mut stdout, mut stderr) = (file(std::io::stdout())?, file(std::io::stderr())?);
    while let Some(batch) = batches.message().await? {
        for run in batch.runs {
            let output = if run.stderr { &mut stderr } else { &mut stdout };
            if output.write_all(&run.text).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// A standard stream as a file.
fn file(stream: impl AsFd) -> Result<File> {
    let owned = stream.as_fd().try_clone_to_owned();
    owned.map(File::from).map_err(|source| Error::Terminal { action: "write the container's output", source })
}
