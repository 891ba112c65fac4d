//! `orca compose logs`, and how the lines of many containers are shown together.

use std::collections::BTreeMap;
use std::io::Write;

use api::node::{Container, LogRun, LogsRequest};
use clap::Args;
use tokio::sync::mpsc;

use super::project::ProjectArgs;
use super::ps;
use crate::client::{Client, Host};
use crate::container::logs::LogsFlags;
use crate::error::Result;
use crate::output::manner;
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
    let (sender, mut runs) = mpsc::channel(16);
    let mut printer = Printer::new(!args.no_log_prefix, !args.no_color);
    for container in &containers {
        printer.add(label(container, &name));
        follow(&client, args.flags.request(container.id.clone())?, label(container, &name), sender.clone());
    }
    drop(sender);
    while let Some((label, run)) = runs.recv().await {
        if !printer.print(&label, &run) {
            return Ok(());
        }
    }
    printer.finish();
    Ok(())
}

/// A container's name without the project's: `web-1`.
pub fn label(container: &Container, project: &str) -> String {
    let name = container.name.strip_prefix(project).and_then(|rest| rest.strip_prefix('-'));
    name.unwrap_or(&container.name).to_owned()
}

/// Sends a container's output, each piece with the label, until it ends.
pub fn follow(client: &Client, request: LogsRequest, label: String, runs: mpsc::Sender<(String, LogRun)>) {
    let mut node = client.node.clone();
    tokio::spawn(async move {
        let mut batches = match node.read_logs(request).await {
            Ok(batches) => batches.into_inner(),
            Err(status) => {
                eprintln!("orca: no logs of {label}: {}", status.message());
                return;
            }
        };
        loop {
            match batches.message().await {
                Ok(Some(batch)) => {
                    for run in batch.runs {
                        if runs.send((label.clone(), run)).await.is_err() {
                            return;
                        }
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    eprintln!("orca: the logs of {label} broke off: {}", status.message());
                    return;
                }
            }
        }
    });
}

/// Docker Compose's order of colours: cyan, yellow, green, magenta, blue, and their bright ones.
const COLOURS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// A line without an end is kept up to this size, then it is shown as one.
const LONGEST_LINE: usize = 1 << 20;

/// Prints lines with the name of their container in front.
#[derive(Debug)]
pub struct Printer {
    prefix: bool,
    colour: bool,
    colours: BTreeMap<String, u8>,
    width: usize,
    /// What has no newline yet, by container and stream.
    unfinished: BTreeMap<(String, bool), Vec<u8>>,
}

impl Printer {
    /// A printer that knows no container yet.
    pub fn new(prefix: bool, colour: bool) -> Self {
        let colour = colour && manner::is_coloured(terminal::stdout_is_terminal());
        Self { prefix, colour, colours: BTreeMap::new(), width: 0, unfinished: BTreeMap::new() }
    }

    /// Gives a container its colour.
    pub fn add(&mut self, label: String) {
        self.width = self.width.max(label.len());
        let next = COLOURS[self.colours.len() % COLOURS.len()];
        self.colours.entry(label).or_insert(next);
    }

    /// Prints whole lines; `false` when nobody reads any more.
    pub fn print(&mut self, label: &str, run: &LogRun) -> bool {
        let key = (label.to_owned(), run.stderr);
        let text = match self.unfinished.remove(&key) {
            None => std::borrow::Cow::Borrowed(&run.text[..]),
            Some(mut begun) => {
                begun.extend_from_slice(&run.text);
                std::borrow::Cow::Owned(begun)
            }
        };
        let whole = match text.iter().rposition(|byte| *byte == b'\n') {
            Some(last) if text.len() - last <= LONGEST_LINE => last + 1,
            None if text.len() <= LONGEST_LINE => 0,
            _ => text.len(),
        };
        let (now, later) = text.split_at(whole);
        if !later.is_empty() {
            self.unfinished.insert(key, later.to_vec());
        }
        self.write(label, now)
    }

    /// Prints what never got its newline.
    pub fn finish(&mut self) {
        for ((label, _), text) in std::mem::take(&mut self.unfinished) {
            self.write(&label, &text);
        }
    }

    fn write(&self, label: &str, lines: &[u8]) -> bool {
        let front = self.front(label);
        let mut out = Vec::with_capacity(lines.len() + front.len());
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            out.extend_from_slice(front.as_bytes());
            out.extend_from_slice(line);
        }
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.push(b'\n');
        }
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&out).and_then(|()| stdout.flush()).is_ok()
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
