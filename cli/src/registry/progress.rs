//! How layers come along: one line a layer, redrawn on a terminal; elsewhere a line a change, without bytes.

use std::io::Write;

use api::image::{LayerProgress, LayerState, Progress, progress};
use tonic::Streaming;

use crate::error::Result;
use crate::output::human;
use crate::output::manner::{self, Style};
use crate::output::table::printable;
use crate::terminal;

/// Width of the bar.
const BAR: usize = 50;

/// Where progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Out {
    Stdout,
    Stderr,
}

/// Lines of layers.
#[derive(Debug)]
pub struct Bars {
    out: Out,
    redraw: bool,
    json: bool,
    quiet: bool,
    push: bool,
    /// Between what a line is about and how far it is.
    separator: &'static str,
    lines: Vec<(String, String)>,
    drawn: usize,
}

/// The end of one tag.
pub type Done = api::image::TransferDone;

impl Bars {
    /// Of a pull or push, on standard output.
    pub fn stdout(quiet: bool, push: bool) -> Self {
        Self::new(Out::Stdout, terminal::stdout_is_terminal(), quiet, push)
    }

    /// Of a pull that another command needs, on standard error.
    pub fn stderr(quiet: bool) -> Self {
        Self::new(Out::Stderr, terminal::stderr_is_terminal(), quiet, false)
    }

    /// Of several pulls or pushes at once, in the form of Compose, on standard error.
    pub fn compose(quiet: bool, push: bool) -> Self {
        let style = manner::style();
        let quiet = quiet || style == Style::Quiet;
        let bars = Self::new(Out::Stderr, style == Style::Redrawn, quiet, push);
        Self { separator: " ", json: style == Style::Json, ..bars }
    }

    fn new(out: Out, redraw: bool, quiet: bool, push: bool) -> Self {
        Self { out, redraw, json: false, quiet, push, separator: ": ", lines: Vec::new(), drawn: 0 }
    }

    /// Shows what comes; returns the tags that are done.
    pub async fn follow(&mut self, mut stream: Streaming<Progress>) -> Result<Vec<Done>> {
        let mut done = Vec::new();
        while let Some(Progress { event }) = stream.message().await? {
            match event {
                Some(progress::Event::Message(message)) => self.say(&message),
                Some(progress::Event::Layer(layer)) => self.layer(&layer),
                Some(progress::Event::Done(tag)) => {
                    self.done(&tag);
                    done.push(tag);
                }
                None => {}
            }
        }
        Ok(done)
    }

    /// A line of its own.
    pub fn say(&mut self, message: &str) {
        if !self.quiet {
            self.settle();
            self.write(&format!("{}\n", printable(message)));
        }
    }

    fn done(&mut self, tag: &Done) {
        if self.push {
            let name = tag.reference.rsplit(':').next().unwrap_or_default();
            self.say(&format!("{name}: digest: {} size: {}", tag.digest, tag.size));
        } else {
            self.say(&format!("Digest: {}", tag.digest));
        }
    }

    /// What is drawn stays; the next lines are new ones.
    fn settle(&mut self) {
        self.lines.clear();
        self.drawn = 0;
    }

    /// How far a layer is; of several images at once only a terminal shows it.
    pub fn layer(&mut self, layer: &LayerProgress) {
        let id: String = layer.digest.trim_start_matches("sha256:").chars().take(12).collect();
        let moves = matches!(layer.state(), LayerState::Downloading | LayerState::Pushing);
        self.line(&id, words(layer, self.push), !moves && self.separator != " ");
    }

    /// How far anything is; `plain` if it is worth a line where nothing is redrawn.
    pub fn line(&mut self, id: &str, text: String, plain: bool) {
        if self.quiet {
            return;
        }
        match self.lines.iter_mut().find(|(known, _)| known == id) {
            Some((_, before)) if *before == text => return,
            Some((_, before)) => before.clone_from(&text),
            None => self.lines.push((id.to_owned(), text.clone())),
        }
        if self.redraw {
            self.draw();
        } else if plain && self.json {
            let object = serde_json::json!({ "id": id, "status": "Working", "text": printable(&text) });
            self.write(&format!("{object}\n"));
        } else if plain {
            self.write(&format!("{}{id}{}{}\n", self.margin(), self.separator, printable(&text)));
        }
    }

    /// Compose's lines begin with a space.
    fn margin(&self) -> &'static str {
        if self.separator == " " { " " } else { "" }
    }

    fn draw(&mut self) {
        let columns = terminal::size().map_or(80, |size| size.columns as usize).max(30);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        for (id, words) in &self.lines {
            let line = format!("{}{id}{}{}", self.margin(), self.separator, printable(words));
            let line: String = line.chars().take(columns - 1).collect();
            text.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.drawn = self.lines.len();
        self.write(&text);
    }

    /// A reader that has gone away doesn't stop the work.
    fn write(&self, text: &str) {
        let _ = match self.out {
            Out::Stdout => std::io::stdout().lock().write_all(text.as_bytes()),
            Out::Stderr => std::io::stderr().lock().write_all(text.as_bytes()),
        };
    }
}

/// Docker's words.
fn words(layer: &LayerProgress, push: bool) -> String {
    let detail = layer.detail.as_deref().unwrap_or_default();
    match layer.state() {
        LayerState::Preparing => "Preparing".into(),
        LayerState::Waiting => "Pulling fs layer".into(),
        LayerState::Downloading => format!("Downloading {}", bar(layer.current, layer.total)),
        LayerState::Downloaded => "Download complete".into(),
        LayerState::Extracting => "Extracting".into(),
        LayerState::Pulled => "Pull complete".into(),
        LayerState::Exists if push => "Layer already exists".into(),
        LayerState::Exists => "Already exists".into(),
        LayerState::Pushing => format!("Pushing {}", bar(layer.current, layer.total)),
        LayerState::Pushed => "Pushed".into(),
        LayerState::Mounted => format!("Mounted from {detail}"),
        LayerState::Retrying => format!("Retrying: {detail}"),
    }
}

fn bar(current: u64, total: u64) -> String {
    let share = current.min(total).saturating_mul(BAR as u64).checked_div(total).unwrap_or(0);
    let filled = usize::try_from(share).unwrap_or(BAR);
    let arrow = if filled < BAR { ">" } else { "" };
    let line = "=".repeat(filled);
    format!("[{:BAR$}]  {}/{}", line + arrow, human::size(current), human::size(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_as_docker_draws_them() {
        assert_eq!(bar(0, 100), format!("[>{}]  0B/100B", " ".repeat(49)));
        assert_eq!(bar(50, 100), format!("[{}>{}]  50B/100B", "=".repeat(25), " ".repeat(24)));
        assert_eq!(bar(100, 100), format!("[{}]  100B/100B", "=".repeat(50)));
        assert_eq!(bar(1, 0), format!("[>{}]  1B/0B", " ".repeat(49)));
    }
}
