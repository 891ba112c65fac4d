//! Carries standard input, output, size and signals between this terminal and a container.

use std::io::Write;

use api::node::{StreamOutput, TerminalSize, stream_output::Output};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::error::{Error, Result};
use crate::terminal::{self, RawMode};

/// What goes to the container.
#[derive(Debug)]
pub enum Input {
    /// Bytes of standard input.
    Stdin(Vec<u8>),
    /// Standard input has ended.
    CloseStdin,
    /// The terminal has a new size.
    Resize(TerminalSize),
    /// A signal that this process got.
    Signal(&'static str),
}

/// How a terminal is joined to a container.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Pass standard input on.
    pub stdin: bool,
    /// The container has a terminal: raw mode, and size changes are passed on.
    pub tty: bool,
    /// Pass signals on.
    pub signals: bool,
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process ended with this code.
    Exited(i32),
    /// The output ended, and the code has to be asked for.
    OutputEnded,
    /// The user pressed the detach keys, ctrl-p ctrl-q.
    Detached,
}

/// Bytes of one message from standard input.
const CHUNK: usize = 64 * 1024;

/// Copies what comes to standard output and error until it ends, and feeds `inputs` meanwhile.
pub async fn join<T: From<Input> + Send + 'static>(
    mut outputs: Streaming<StreamOutput>,
    inputs: mpsc::Sender<T>,
    options: Options,
) -> Result<End> {
    let _raw =
        if options.tty && options.stdin && terminal::stdin_is_terminal() { Some(RawMode::enter()?) } else { None };
    let (detach, mut detached) = mpsc::channel::<()>(1);
    let mut feeders = Vec::new();
    if options.stdin {
        feeders.push(tokio::spawn(feed_stdin(inputs.clone(), options.tty.then_some(detach.clone()))));
    }
    if options.tty {
        feeders.push(tokio::spawn(feed_sizes(inputs.clone())));
    } else if options.signals {
        feeders.push(tokio::spawn(feed_signals(inputs.clone())));
    }
    // Held here, so that the container's input ends only when `feed_stdin` says so.
    let _inputs = inputs;
    let end = loop {
        tokio::select! {
            message = outputs.message() => match message? {
                None => break End::OutputEnded,
                Some(StreamOutput { output: Some(Output::ExitCode(code)) }) => break End::Exited(code),
                Some(output) => write(output)?,
            },
            Some(()) = detached.recv() => break End::Detached,
        }
    };
    for feeder in feeders {
        feeder.abort();
    }
    Ok(end)
}

fn write(output: StreamOutput) -> Result<()> {
    let result = match output.output {
        Some(Output::Stdout(bytes)) => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(&bytes).and_then(|()| stdout.flush())
        }
        Some(Output::Stderr(bytes)) => std::io::stderr().lock().write_all(&bytes),
        Some(Output::ExitCode(_) | Output::Started(_)) | None => Ok(()),
    };
    result.map_err(|source| Error::Terminal { action: "write the container's output", source })
}

/// A thread of its own reads: a blocking read of a terminal cannot be given up, and must not hold the runtime's end.
async fn feed_stdin<T: From<Input>>(inputs: mpsc::Sender<T>, detach: Option<mpsc::Sender<()>>) {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(4);
    std::thread::spawn(move || {
        use std::io::Read;
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if sender.blocking_send(buffer[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut keys = DetachKeys::default();
    while let Some(chunk) = chunks.recv().await {
        if let Some(detach) = &detach
            && keys.found_in(&chunk)
        {
            let _ = detach.send(()).await;
            return;
        }
        if inputs.send(Input::Stdin(chunk).into()).await.is_err() {
            return;
        }
    }
    let _ = inputs.send(Input::CloseStdin.into()).await;
}

/// Docker's ctrl-p ctrl-q, also when the two keys come in two reads.
#[derive(Debug, Default)]
struct DetachKeys {
    after_ctrl_p: bool,
}

impl DetachKeys {
    fn found_in(&mut self, chunk: &[u8]) -> bool {
        for &byte in chunk {
            if self.after_ctrl_p && byte == 0x11 {
                return true;
            }
            self.after_ctrl_p = byte == 0x10;
        }
        false
    }
}

async fn feed_sizes<T: From<Input>>(inputs: mpsc::Sender<T>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else { return };
    loop {
        if let Some(size) = terminal::size()
            && inputs.send(Input::Resize(size).into()).await.is_err()
        {
            return;
        }
        if changes.recv().await.is_none() {
            return;
        }
    }
}

async fn feed_signals<T: From<Input> + Send + 'static>(inputs: mpsc::Sender<T>) {
    let kinds = [
        (SignalKind::interrupt(), "SIGINT"),
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::quit(), "SIGQUIT"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ];
    let mut tasks = tokio::task::JoinSet::new();
    for (kind, name) in kinds {
        let inputs = inputs.clone();
        tasks.spawn(async move {
            let Ok(mut signals) = signal(kind) else { return };
            while signals.recv().await.is_some() {
                if inputs.send(Input::Signal(name).into()).await.is_err() {
                    return;
                }
            }
        });
    }
    while tasks.join_next().await.is_some() {}
}

impl From<Input> for api::node::AttachInput {
    fn from(input: Input) -> Self {
        use api::node::attach_input::Input as Wire;
        let input = match input {
            Input::Stdin(bytes) => Wire::Stdin(bytes),
            Input::CloseStdin => Wire::CloseStdin(true),
            Input::Resize(size) => Wire::Resize(size),
            Input::Signal(name) => Wire::Signal(name.into()),
        };
        Self { input: Some(input) }
    }
}

impl From<Input> for api::node::ExecInput {
    fn from(input: Input) -> Self {
        use api::node::exec_input::Input as Wire;
        let input = match input {
            Input::Stdin(bytes) => Wire::Stdin(bytes),
            Input::CloseStdin => Wire::CloseStdin(true),
            Input::Resize(size) => Wire::Resize(size),
            Input::Signal(name) => Wire::Signal(name.into()),
        };
        Self { input: Some(input) }
    }
}

/// The chunks of a file or of standard input, for uploads.
pub async fn read_chunk(reader: &mut (dyn tokio::io::AsyncRead + Unpin + Send)) -> std::io::Result<Option<Vec<u8>>> {
    let mut chunk = vec![0; 256 * 1024];
    let length = reader.read(&mut chunk).await?;
    chunk.truncate(length);
    Ok((length > 0).then_some(chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detach_keys_over_two_reads() {
        let mut keys = DetachKeys::default();
        assert!(!keys.found_in(b"ab\x10"));
        assert!(keys.found_in(b"\x11"));
        let mut keys = DetachKeys::default();
        assert!(!keys.found_in(b"\x10a\x11"));
    }
}
