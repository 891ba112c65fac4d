//! What happens to each container: lines that are redrawn on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use model::{ContainerPhase, Health, Task, TaskId, TaskState};

use super::manner::{self, Style};
use super::table::printable;
use crate::terminal;

/// Shows how tasks come along, on standard error.
#[derive(Debug)]
pub struct Progress {
    started: Instant,
    style: Style,
    drawn: usize,
    shown: BTreeMap<String, Line>,
}

/// What is shown of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    words: String,
    settled: bool,
    failed: bool,
    /// Tenths of a second since the command began.
    tenths: u64,
}

impl Progress {
    /// Begins.
    pub fn new() -> Self {
        Self { started: Instant::now(), style: manner::style(), drawn: 0, shown: BTreeMap::new() }
    }

    /// Shows what has changed.
    pub fn show(&mut self, tasks: &[Task], waiting: &BTreeMap<TaskId, String>) {
        let tenths = u64::try_from(self.started.elapsed().as_millis() / 100).unwrap_or(u64::MAX);
        let mut changed = Vec::new();
        for task in tasks {
            let (words, settled, failed) = words(task, waiting);
            let line = Line { words, settled, failed, tenths };
            let before = self.shown.get(&task.name);
            if before.is_none_or(|before| before.words != line.words) {
                changed.push((task.name.clone(), line.clone()));
                self.shown.insert(task.name.clone(), line);
            }
        }
        self.forget(tasks, tenths, &mut changed);
        match self.style {
            Style::Redrawn => self.draw(),
            _ => changed.iter().for_each(|(name, line)| say(self.style, "Container", name, line)),
        }
    }

    /// Containers whose task is gone have been removed.
    fn forget(&mut self, tasks: &[Task], tenths: u64, changed: &mut Vec<(String, Line)>) {
        for (name, line) in &mut self.shown {
            if line.words != "Removed" && !tasks.iter().any(|task| task.name == *name) {
                *line = Line { words: "Removed".into(), settled: true, failed: false, tenths };
                changed.push((name.clone(), line.clone()));
            }
        }
    }

    fn draw(&mut self) {
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        let width = self.shown.keys().map(String::len).max().unwrap_or(0);
        let columns = terminal::size().map_or(80, |size| size.columns as usize).max(20);
        for (name, line) in &self.shown {
            let mark = match (line.settled, line.failed) {
                (_, true) => "\x1b[31m✘\x1b[0m",
                (true, _) => "\x1b[32m✔\x1b[0m",
                _ => "\x1b[33m⠿\x1b[0m",
            };
            let words: String = printable(&line.words).chars().take(columns.saturating_sub(width + 24)).collect();
            let seconds = format!("{}.{}s", line.tenths / 10, line.tenths % 10);
            text.push_str(&format!("\x1b[2K {mark} Container {name:width$}  {words:24} {seconds}\n"));
        }
        self.drawn = self.shown.len();
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }

    /// Ends; what is drawn stays.
    pub fn finish(self) {}
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells of one thing that is done, such as a volume that was removed.
pub fn done(kind: &str, name: &str, words: &str) {
    let line = Line { words: words.into(), settled: true, failed: false, tenths: 0 };
    say(manner::style(), kind, name, &line);
}

fn say(style: Style, kind: &str, name: &str, line: &Line) {
    let words = printable(&line.words);
    let text = match style {
        Style::Quiet => return,
        Style::Json => {
            let status = match (line.settled, line.failed) {
                (_, true) => "Error",
                (true, _) => "Done",
                _ => "Working",
            };
            serde_json::json!({ "id": format!("{kind} {name}"), "status": status, "text": words }).to_string()
        }
        Style::Redrawn | Style::Plain => format!(" {kind} {name}  {words}"),
    };
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// What a task does in Docker's words, whether it has come to rest, and whether it failed.
fn words(task: &Task, waiting: &BTreeMap<TaskId, String>) -> (String, bool, bool) {
    let status = &task.status;
    let container = status.container.as_ref();
    if task.desired == TaskState::Remove {
        return if status.state.is_terminal() {
            ("Removing".into(), false, false)
        } else {
            ("Stopping".into(), false, false)
        };
    }
    let wait = waiting.get(&task.id);
    match status.state {
        TaskState::New | TaskState::Pending => (wait.cloned().unwrap_or_else(|| "Pending".into()), false, false),
        TaskState::Assigned | TaskState::Accepted | TaskState::Preparing => ("Creating".into(), false, false),
        TaskState::Ready => (wait.map_or_else(|| "Created".into(), |why| format!("Created, {why}")), false, false),
        TaskState::Starting => ("Starting".into(), false, false),
        TaskState::Running => match container.map(|container| (container.phase, container.health)) {
            Some((ContainerPhase::Running, Health::Healthy)) => ("Healthy".into(), true, false),
            Some((ContainerPhase::Running, Health::Unhealthy)) => ("Unhealthy".into(), true, true),
            Some((ContainerPhase::Exited, _)) if task.intent.stopped => ("Stopped".into(), true, false),
            Some((ContainerPhase::Restarting, _)) => ("Restarting".into(), false, false),
            Some(_) if task.intent.stopped => ("Stopping".into(), false, false),
            _ => ("Started".into(), true, false),
        },
        TaskState::Complete => ("Exited".into(), true, false),
        TaskState::Failed => {
            let code = container.and_then(|container| container.exit_code).unwrap_or(1);
            (format!("Exited ({code})"), true, true)
        }
        TaskState::Rejected => (format!("Error: {}", status.error.as_deref().unwrap_or("refused")), true, true),
        TaskState::Shutdown | TaskState::Remove => ("Stopped".into(), true, false),
        TaskState::Orphaned => ("Lost".into(), true, true),
    }
}
