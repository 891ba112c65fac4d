//! Carries standard input, output, size and signals between this terminal and a container.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use api::node::{StreamOutput, TerminalSize, stream_output::Output};
use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tonic::Streaming;

use crate::detach_keys::DetachKeys;
use crate::error::{Error, Result};
use crate::terminal::{self, RawMode};

/// What goes to the container.
#[derive(Debug)]
pub enum Input {
    /// Bytes of standard input.
    Stdin(Bytes),
    /// Standard input has ended.
    CloseStdin,
    /// The terminal has a new size.
    Resize(TerminalSize),
    /// A signal that this process got.
    Signal(&'static str),
}

/// How a terminal is joined to a container.
#[derive(Debug, Clone)]
pub struct Options {
    /// Pass standard input on.
    pub stdin: bool,
    /// Show standard output.
    pub stdout: bool,
    /// Show standard error.
    pub stderr: bool,
    /// The container has a terminal: raw mode, and size changes are passed on.
    pub tty: bool,
    /// Pass signals on.
    pub signals: bool,
    /// Keys of a terminal that let go.
    pub detach: Option<DetachKeys>,
}

impl Default for Options {
    fn default() -> Self {
        Self { stdin: false, stdout: true, stderr: true, tty: false, signals: true, detach: None }
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process ended with this code.
    Exited(i32),
    /// The output ended, and the code has to be asked for.
    OutputEnded,
    /// The user pressed the keys that let go.
    Detached,
}

/// Bytes of one message from standard input.
const CHUNK: usize = 256 * 1024;

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
        feeders.push(tokio::spawn(feed_stdin(
            inputs.clone(),
            options.detach.filter(|_| options.tty).zip(Some(detach.clone())),
        )));
    }
    if options.tty {
        feeders.push(tokio::spawn(feed_sizes(inputs.clone())));
    } else if options.signals {
        feeders.push(tokio::spawn(feed_signals(inputs.clone())));
    }
    let mut sink = Sink::open(options.stdout, options.stderr)?;
    // Held here, so that the container's input ends only when `feed_stdin` says so.
    let _inputs = inputs;
    let end = loop {
        tokio::select! {
            message = outputs.message() => match message? {
                None => break End::OutputEnded,
                Some(StreamOutput { output: Some(Output::ExitCode(code)) }) => break End::Exited(code),
                Some(output) => sink.write(output)?,
            },
            Some(()) = detached.recv() => break End::Detached,
        }
    };
    for feeder in feeders {
        feeder.abort();
    }
    Ok(end)
}

/// Where output goes. Written to directly: what stands between costs a copy of everything.
struct Sink {
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Sink {
    fn open(stdout: bool, stderr: bool) -> Result<Self> {
        let error = |source| Error::Terminal { action: "open the output", source };
        let file = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map(File::from).map_err(error);
        Ok(Self {
            stdout: stdout.then(|| file(std::io::stdout().as_fd())).transpose()?,
            stderr: stderr.then(|| file(std::io::stderr().as_fd())).transpose()?,
        })
    }

    fn write(&mut self, output: StreamOutput) -> Result<()> {
        let (file, bytes) = match output.output {
            Some(Output::Stdout(bytes)) => (&mut self.stdout, bytes),
            Some(Output::Stderr(bytes)) => (&mut self.stderr, bytes),
            Some(Output::ExitCode(_) | Output::Started(_)) | None => return Ok(()),
        };
        let written = file.as_mut().map_or(Ok(()), |file| file.write_all(&bytes));
        written.map_err(|source| Error::Terminal { action: "write the container's output", source })
    }
}

/// A thread of its own reads: a blocking read of a terminal cannot be given up, and must not hold the runtime's end.
async fn feed_stdin<T: From<Input>>(inputs: mpsc::Sender<T>, detach: Option<(DetachKeys, mpsc::Sender<()>)>) {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(4);
    std::thread::spawn(move || {
        let Ok(mut stdin) = std::io::stdin().as_fd().try_clone_to_owned().map(File::from) else { return };
        while let Some(chunk) = read_some(&mut stdin) {
            if sender.blocking_send(chunk).is_err() {
                return;
            }
        }
    });
    let (mut keys, detach) = detach.unzip();
    while let Some(chunk) = chunks.recv().await {
        let (chunk, found) = match &mut keys {
            Some(keys) => {
                let (passed, found) = keys.feed(&chunk);
                (passed.into(), found)
            }
            None => (chunk, false),
        };
        if !chunk.is_empty() && inputs.send(Input::Stdin(chunk).into()).await.is_err() {
            return;
        }
        if let Some(detach) = detach.as_ref().filter(|_| found) {
            let _ = detach.send(()).await;
            return;
        }
    }
    let _ = inputs.send(Input::CloseStdin.into()).await;
}

/// What there is to read, at most [`CHUNK`] bytes; `None` at the end.
fn read_some(file: &mut File) -> Option<Bytes> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Ok(length @ 1..) => {
                buffer.truncate(length);
                // A key that is typed is not worth so large a piece of memory.
                if length < CHUNK / 4 {
                    buffer.shrink_to_fit();
                }
                return Some(buffer.into());
            }
            _ => return None,
        }
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
