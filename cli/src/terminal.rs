//! The terminal of this process: raw mode, size, who it is.

use std::io::{IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::termios::{self, OptionalActions, Termios};

use crate::detach_keys::{self, DetachKeys};
use crate::error::{Error, Result};

/// Whether standard input is a terminal.
pub fn stdin_is_terminal() -> bool {
    std::io::stdin().is_terminal()
}

/// Whether standard output is a terminal.
pub fn stdout_is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Whether standard error, where progress goes, is a terminal.
pub fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Rows and columns of the terminal, if there is one.
pub fn size() -> Option<api::node::TerminalSize> {
    let size = termios::tcgetwinsize(std::io::stdout()).or_else(|_| termios::tcgetwinsize(std::io::stdin())).ok()?;
    Some(api::node::TerminalSize { rows: size.ws_row.into(), columns: size.ws_col.into() })
}

/// Refuses a container's terminal without one at this end.
pub fn check_input() -> Result<()> {
    if stdin_is_terminal() {
        return Ok(());
    }
    Err(Error::Unsupported {
        what: "-t with an input that is not a terminal".into(),
        instead: "leave out -t, or run the command in a terminal".into(),
    })
}

/// The keys that let go of a container: those of the flag, of Docker's configuration file, or Docker's own.
pub fn detach_keys(flag: Option<&str>) -> Result<DetachKeys> {
    let text = flag.map(str::to_owned).or_else(configured_keys);
    let text = text.as_deref().unwrap_or(detach_keys::DEFAULT);
    DetachKeys::parse(text).map_err(|reason| Error::Flag { flag: "--detach-keys", value: text.into(), reason })
}

/// `detachKeys` of Docker's configuration file, if there is one that can be read.
fn configured_keys() -> Option<String> {
    let dir = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let dir = dir.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")))?;
    let text = std::fs::read_to_string(dir.join("config.json")).ok()?;
    let config: serde_json::Value = serde_json::from_str(&text).ok()?;
    config.get("detachKeys")?.as_str().filter(|keys| !keys.is_empty()).map(str::to_owned)
}

/// Asks a question on standard output, as Docker does; no answer is a no.
pub fn confirm(question: &str) -> Result<bool> {
    let failed = |source| Error::Terminal { action: "ask for confirmation", source };
    let mut output = std::io::stdout();
    output.write_all(format!("{question} [y/N] ").as_bytes()).and_then(|()| output.flush()).map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Asks whether what `kind` prunes (`container`, `system`) may go: a word on it, or a list with a line for each.
pub fn confirm_pruning(kind: &str, what: &str, filters: &[String]) -> Result<()> {
    let is_list = what.starts_with('\n');
    let mut question = format!("WARNING! This will remove{}{what}\n", if is_list { ":" } else { " " });
    if !filters.is_empty() {
        question.push_str("\n  Items to be pruned will be filtered with:\n");
        question.extend(filters.iter().map(|filter| format!("  - {filter}\n")));
    }
    if is_list || !filters.is_empty() {
        question.push('\n');
    }
    question.push_str("Are you sure you want to continue?");
    if confirm(&question)? { Ok(()) } else { Err(Error::NotConverged(format!("{kind} prune has been cancelled"))) }
}

/// While it lives, the terminal passes every key on; dropping it gives the terminal back as it was.
#[derive(Debug)]
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Puts standard input into raw mode (cfmakeraw(3)).
    pub fn enter() -> Result<Self> {
        let error =
            |error: rustix::io::Errno| Error::Terminal { action: "set the terminal's mode", source: error.into() };
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(stdin.as_fd()).map_err(error)?;
        let mut raw = before.clone();
        raw.make_raw();
        set(stdin.as_fd(), &raw).map_err(error)?;
        Ok(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = set(std::io::stdin().as_fd(), &self.before);
    }
}

/// While it lives, what is typed is not shown; dropping it gives the terminal back as it was.
#[derive(Debug)]
pub struct HiddenInput {
    before: Termios,
}

impl HiddenInput {
    /// Turns the echo off (termios(3)).
    pub fn enter() -> Result<Self> {
        let error = |error: rustix::io::Errno| Error::Terminal { action: "hide what is typed", source: error.into() };
        let stdin = std::io::stdin();
        let before = termios::tcgetattr(stdin.as_fd()).map_err(error)?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(termios::LocalModes::ECHO);
        set(stdin.as_fd(), &hidden).map_err(error)?;
        Ok(Self { before })
    }
}

impl Drop for HiddenInput {
    fn drop(&mut self) {
        let _ = set(std::io::stdin().as_fd(), &self.before);
    }
}

fn set(fd: BorrowedFd<'_>, termios: &Termios) -> rustix::io::Result<()> {
    termios::tcsetattr(fd, OptionalActions::Drain, termios)
}
