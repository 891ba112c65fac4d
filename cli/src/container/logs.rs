//! `orca logs`.

use std::io::Write;

use api::node::{LogRecord, LogsRequest};
use clap::Args;
use model::Timestamp;

use crate::client::{Client, Host};
use crate::clock;
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
        })
    }
}

/// Prints the output of one container, each stream on its own.
pub async fn logs(host: &Host, args: LogsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let request = args.flags.request(args.container)?;
    let mut records = client.node.logs(request).await?.into_inner();
    let (mut stdout, mut stderr) = (std::io::stdout().lock(), std::io::stderr().lock());
    while let Some(record) = records.message().await? {
        let output: &mut dyn Write = if record.stderr { &mut stderr } else { &mut stdout };
        let stamp = if args.flags.timestamps { stamp(&record) } else { String::new() };
        if output.write_all(stamp.as_bytes()).and_then(|()| output.write_all(&record.line)).is_err() {
            return Ok(());
        }
    }
    let _ = stdout.flush();
    Ok(())
}

/// The time of a line, and a space.
pub fn stamp(record: &LogRecord) -> String {
    Timestamp(record.at).to_rfc3339() + " "
}
