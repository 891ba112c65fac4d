//! How a process that has not executed its command yet tells the shim what went wrong: one pipe per process, closed by
//! the exec itself. No word and end of file means that the command runs.
//!
//! libcontainer's errors lose their causes on the way to its parent; it logs them, though. [`capture_causes`] sends those
//! log events down the same pipe.

use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use model::shim::ErrorClass;
use rustix::pipe::{PipeFlags, pipe_with};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::error::{Result, ShimError};

/// Where log events of this process and those it forks go; -1: nowhere.
static CAUSES: AtomicI32 = AtomicI32::new(-1);
/// A message is cut so that it goes into the pipe at once.
const MAX_MESSAGE: usize = 2048;

/// What is known of a launch.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet.
    Pending,
    /// The command was executed.
    Executed,
    /// It was not.
    Failed(ErrorClass, String),
}

/// The shim's end of the pipe.
pub struct Reader {
    fd: std::fs::File,
    text: Vec<u8>,
}

/// Makes a pipe. The writing end must be dropped by the shim once the process has it.
///
/// # Errors
/// If there are no descriptors left.
pub fn channel() -> Result<(Reader, OwnedFd)> {
    let (read, write) =
        pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(ShimError::system("make a pipe"))?;
    Ok((Reader { fd: read.into(), text: Vec::new() }, write))
}

/// Says that the command cannot be executed.
pub fn fail(fd: RawFd, class: ErrorClass, message: &str) {
    let code = match class {
        ErrorClass::CommandNotFound => b'N',
        ErrorClass::CommandNotExecutable => b'P',
        ErrorClass::BadWorkingDirectory => b'W',
        _ => b'R',
    };
    write_line(fd, code, message);
}

fn write_line(fd: RawFd, code: u8, message: &str) {
    let mut line = vec![code];
    line.extend(message.bytes().take(MAX_MESSAGE).map(|byte| if byte == b'\n' { b' ' } else { byte }));
    line.push(b'\n');
    // SAFETY: the buffer is valid for its length; a closed descriptor only makes the call fail, which loses a message.
    unsafe { libc::write(fd, line.as_ptr().cast(), line.len()) };
}

impl Reader {
    /// Reads what has come.
    pub fn poll(&mut self) -> Outcome {
        loop {
            let mut chunk = [0; 1024];
            match self.fd.read(&mut chunk) {
                Ok(0) => {
                    return self.judge().map_or(Outcome::Executed, |(class, message)| Outcome::Failed(class, message));
                }
                Ok(count) => self.text.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Outcome::Pending,
            }
        }
    }

    /// The failure written so far: what a process said of itself, else the first log event, which is the deepest cause.
    #[must_use]
    pub fn judge(&self) -> Option<(ErrorClass, String)> {
        let text = String::from_utf8_lossy(&self.text);
        let said = text.lines().find_map(|line| {
            let class = match line.as_bytes().first()? {
                b'N' => ErrorClass::CommandNotFound,
                b'P' => ErrorClass::CommandNotExecutable,
                b'W' => ErrorClass::BadWorkingDirectory,
                b'R' => ErrorClass::Runtime,
                _ => return None,
            };
            Some((class, line[1..].to_owned()))
        });
        said.or_else(|| {
            let cause = text.lines().find_map(|line| line.strip_prefix('T'))?;
            let class = if cause.contains("chdir") { ErrorClass::BadWorkingDirectory } else { ErrorClass::Runtime };
            Some((class, cause.to_owned()))
        })
    }
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Sends libcontainer's error events to `fd` from now on, in this process and in those it forks; -1 stops it.
pub fn capture_causes(fd: RawFd) {
    CAUSES.store(fd, Ordering::Relaxed);
    // It is set already from the second call on.
    let _ = tracing::subscriber::set_global_default(Causes);
}

struct Causes;

impl Subscriber for Causes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let fd = CAUSES.load(Ordering::Relaxed);
        if fd >= 0 {
            let mut text = Text::default();
            event.record(&mut text);
            write_line(fd, b'T', &format!("{}{}", text.message, text.fields));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.fields.push_str(&format!(" {}={value:?}", field.name()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_believed_before_the_log_and_silence_means_success() {
        let (mut reader, write) = channel().unwrap();
        assert_eq!(reader.poll(), Outcome::Pending);
        write_line(write.as_raw_fd(), b'T', "failed to chdir e=ENOENT");
        assert!(matches!(reader.judge(), None | Some((ErrorClass::BadWorkingDirectory, _))));
        fail(write.as_raw_fd(), ErrorClass::CommandNotFound, "no\nway");
        drop(write);
        assert_eq!(reader.poll(), Outcome::Failed(ErrorClass::CommandNotFound, "no way".into()));
        let (mut reader, write) = channel().unwrap();
        drop(write);
        assert_eq!(reader.poll(), Outcome::Executed);
    }
}
