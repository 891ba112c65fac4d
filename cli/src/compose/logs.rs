//! `orca compose logs`, and how the lines of many containers are shown together.

use std::collections::BTreeMap;
use std::io::Write;

use api::node::{Container, LogRecord, LogsRequest};
use clap::Args;
use tokio::sync::mpsc;

use super::project::ProjectArgs;
use super::ps;
use crate::client::{Client, Host};
use crate::container::logs::{LogsFlags, stamp};
use crate::error::Result;
use crate::terminal;

/// Arguments of `orca compose logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    flags: LogsFlags,
    /// Without the containers' names
    #[arg(long)]
    no_log_prefix: bool,
    /// Without colour
    #[arg(long)]
    no_color: bool,
    /// Only this container of each service
    #[arg(long, value_name = "NUMBER")]
    index: Option<u32>,
    /// Services; none means all
    services: Vec<String>,
}

/// Shows the output of a project's containers, interleaved as it comes.
pub async fn logs(host: &Host, project: &ProjectArgs, args: LogsArgs) -> Result<()> {
    let name = project.name()?;
    let mut client = Client::connect(host).await?;
    let mut containers = ps::containers(&mut client, &name, &args.services, true).await?;
    if let Some(index) = args.index {
        containers.retain(|container| container.task.as_ref().is_some_and(|task| task.slot == index));
    }
    let (sender, mut records) = mpsc::channel(256);
    let mut printer = Printer::new(!args.no_log_prefix, !args.no_color, args.flags.timestamps);
    for container in &containers {
        printer.add(label(container, &name));
        follow(&client, args.flags.request(container.id.clone())?, label(container, &name), sender.clone());
    }
    drop(sender);
    while let Some((label, record)) = records.recv().await {
        if !printer.print(&label, &record) {
            break;
        }
    }
    Ok(())
}

/// A container's name without the project's: `web-1`.
pub fn label(container: &Container, project: &str) -> String {
    let name = container.name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    name.unwrap_or(&container.name).to_owned()
}

/// Sends a container's lines, each with the label, until they end.
pub fn follow(client: &Client, request: LogsRequest, label: String, lines: mpsc::Sender<(String, LogRecord)>) {
    let mut node = client.node.clone();
    tokio::spawn(async move {
        let mut records = match node.logs(request).await {
            Ok(records) => records.into_inner(),
            Err(status) => {
                eprintln!("orca: no logs of {label}: {}", status.message());
                return;
            }
        };
        while let Ok(Some(record)) = records.message().await {
            if lines.send((label.clone(), record)).await.is_err() {
                return;
            }
        }
    });
}

/// Docker Compose's order of colours: cyan, yellow, green, magenta, blue, and their bright ones.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// Prints lines with the name of their container in front.
#[derive(Debug)]
pub struct Printer {
    prefix: bool,
    colour: bool,
    timestamps: bool,
    colours: BTreeMap<String, u8>,
    width: usize,
}

impl Printer {
    /// A printer that knows no container yet. Colour only goes to a terminal, and not with NO_COLOR (no-color.org).
    pub fn new(prefix: bool, colour: bool, timestamps: bool) -> Self {
        let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let colour = colour && allowed && terminal::stdout_is_terminal();
        Self { prefix, colour, timestamps, colours: BTreeMap::new(), width: 0 }
    }

    /// Gives a container its colour.
    pub fn add(&mut self, label: String) {
        self.width = self.width.max(label.len());
        let next = COLOURS[self.colours.len() % COLOURS.len()];
        self.colours.entry(label).or_insert(next);
    }

    /// Prints one line; `false` when nobody reads any more.
    pub fn print(&mut self, label: &str, record: &LogRecord) -> bool {
        let stamp = if self.timestamps { stamp(record) } else { String::new() };
        let mut line = self.front(label).into_bytes();
        line.extend_from_slice(stamp.as_bytes());
        line.extend_from_slice(&record.line);
        if !line.ends_with(b"\n") {
            line.push(b'\n');
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&line).and_then(|()| stdout.flush()).is_ok()
    }

    /// Prints a remark of Orca's own about a container.
    pub fn remark(&mut self, label: &str, words: &str) {
        let colour = self.colours.get(label).copied().unwrap_or(0);
        let text =
            if self.colour { format!("\x1b[{colour}m{label} {words}\x1b[0m\n") } else { format!("{label} {words}\n") };
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    fn front(&self, label: &str) -> String {
        let colour = self.colours.get(label).copied().unwrap_or(0);
        match (self.prefix, self.colour) {
            (false, _) => String::new(),
            (true, false) => format!("{label:width$}  | ", width = self.width),
            (true, true) => format!("\x1b[{colour}m{label:width$}  | \x1b[0m", width = self.width),
        }
    }
}
