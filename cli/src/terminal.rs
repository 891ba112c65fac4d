//! The terminal of this process: raw mode, size, who it is.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::termios::{self, OptionalActions, Termios};

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

fn set(fd: BorrowedFd<'_>, termios: &Termios) -> rustix::io::Result<()> {
    termios::tcsetattr(fd, OptionalActions::Drain, termios)
}
