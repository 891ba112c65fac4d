//! How a build comes along, as BuildKit shows it: `#5 [2/3] RUN make`, its output with the time before it, `#5 DONE 1.2s`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use api::image::build_output::Output as Told;

use crate::output::table::printable;
use crate::terminal;

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Every line.
    Plain,
    /// One line a step, redrawn.
    Terminal,
    /// Nothing.
    Quiet,
}

impl Mode {
    /// Reads `--progress`.
    pub fn parse(text: &str) -> Result<Mode, String> {
        match text {
            "auto" if terminal::stderr_is_terminal() => Ok(Mode::Terminal),
            "auto" | "plain" => Ok(Mode::Plain),
            "tty" if terminal::stderr_is_terminal() => Ok(Mode::Terminal),
            "tty" => Err("standard error is no terminal".to_owned()),
            "quiet" | "none" => Ok(Mode::Quiet),
            other => Err(format!("{other:?} is none of auto, plain, tty and quiet")),
        }
    }
}

/// A step under way.
#[derive(Debug)]
struct Step {
    name: String,
    began: Instant,
    /// A line that has no end yet.
    partial: Vec<u8>,
    /// What became of it.
    state: Option<String>,
    /// Its last line.
    last: String,
}

/// Shows the steps of one build, on standard error.
#[derive(Debug)]
pub struct Show {
    mode: Mode,
    /// Before each line: which of several builds it is.
    prefix: String,
    steps: BTreeMap<u32, Step>,
    began: Instant,
    drawn: usize,
}

impl Show {
    /// Of a build that has this name among others, if any.
    pub fn new(mode: Mode, name: Option<&str>) -> Show {
        let prefix = name.map(|name| format!("[{name}] ")).unwrap_or_default();
        Show { mode, prefix, steps: BTreeMap::new(), began: Instant::now(), drawn: 0 }
    }

    /// Shows what the daemon tells.
    pub fn tell(&mut self, told: &Told) {
        match told {
            Told::Step(step) => {
                let (name, began) = (step.name.clone(), Instant::now());
                self.plain(&format!("\n#{} {}", step.step, printable(&format!("{}{name}", self.prefix))));
                let step_ = Step { name, began, partial: Vec::new(), state: None, last: String::new() };
                self.steps.insert(step.step, step_);
            }
            Told::Log(log) => self.log(log.step, &log.text),
            Told::Ended(end) => self.end(end.step, end.cached, end.error.as_deref()),
            Told::Warning(text) => self.line(&printable(text)),
            _ => {}
        }
        self.draw();
    }

    fn log(&mut self, number: u32, text: &[u8]) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        step.partial.extend_from_slice(text);
        let seconds = step.began.elapsed().as_secs_f64();
        let mut lines = Vec::new();
        while let Some(end) = step.partial.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = step.partial.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line[..end]);
            lines.push(printable(line.trim_end_matches('\r')));
        }
        if let Some(last) = lines.last() {
            step.last.clone_from(last);
        }
        lines.iter().for_each(|line| self.plain(&format!("#{number} {seconds:.3} {line}")));
    }

    fn end(&mut self, number: u32, cached: bool, error: Option<&str>) {
        let Some(step) = self.steps.get_mut(&number) else { return };
        let seconds = step.began.elapsed().as_secs_f64();
        let rest = String::from_utf8_lossy(&std::mem::take(&mut step.partial)).into_owned();
        let state = match error {
            Some(error) => format!("ERROR: {}", printable(error)),
            None if cached => "CACHED".to_owned(),
            None => format!("DONE {seconds:.1}s"),
        };
        step.state = Some(state.clone());
        if !rest.is_empty() {
            self.plain(&format!("#{number} {seconds:.3} {}", printable(&rest)));
        }
        self.plain(&format!("#{number} {state}"));
    }

    /// A line where every line is shown.
    fn plain(&self, line: &str) {
        if self.mode == Mode::Plain {
            self.write(&format!("{line}\n"));
        }
    }

    /// A line of its own.
    fn line(&mut self, line: &str) {
        if self.mode != Mode::Quiet {
            self.drawn = 0;
            self.write(&format!("{line}\n"));
        }
    }

    /// The lines of all steps, over those before.
    fn draw(&mut self) {
        if self.mode != Mode::Terminal {
            return;
        }
        let size = terminal::size();
        let columns = size.map_or(80, |size| size.columns as usize).max(30);
        let rows = size.map_or(24, |size| size.rows as usize).max(5) - 2;
        let mut lines = vec![format!(
            "[+] Building {:.1}s ({}/{})",
            self.began.elapsed().as_secs_f64(),
            self.finished(),
            self.steps.len()
        )];
        for step in self.steps.values() {
            let state = step.state.clone().unwrap_or_else(|| format!("{:.1}s", step.began.elapsed().as_secs_f64()));
            lines.push(format!(" => {} {}", printable(&format!("{}{}", self.prefix, step.name)), state));
            if step.state.is_none() && !step.last.is_empty() {
                lines.push(format!(" => => # {}", step.last));
            }
        }
        let over = lines.len().saturating_sub(rows);
        lines.drain(1..=over.min(lines.len() - 1));
        let mut text = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        for line in &lines {
            text.push_str(&line.chars().take(columns - 1).collect::<String>());
            text.push('\n');
        }
        self.drawn = lines.len();
        self.write(&text);
    }

    fn finished(&self) -> usize {
        self.steps.values().filter(|step| step.state.is_some()).count()
    }

    /// What is drawn stays.
    pub fn finish(&mut self) {
        self.draw();
        self.drawn = 0;
    }

    /// A reader that has gone away doesn't stop the work.
    fn write(&self, text: &str) {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
