//! Connections: bounded buffers in both directions, so that a client that doesn't read harms only itself.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

use model::shim::Reply;
use model::shim::frame::{self, Kind, MAX_PAYLOAD};

use super::Supervisor;

/// Container output that a client may be behind before it is cut off.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Output that a client may be behind before the pipes that it comes from are left to fill.
const BACKPRESSURE: usize = 256 * 1024;
/// Read from a client at once.
const INPUT_CHUNK: usize = 256 * 1024;
/// Connections at once.
const MAX_CLIENTS: usize = 256;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Nothing said yet.
    New,
    /// Asks and is answered.
    Control,
    /// Follows the container.
    Attached {
        /// Feeds it.
        stdin: bool,
        /// Wants standard output.
        stdout: bool,
        /// Wants standard error.
        stderr: bool,
        /// Is waited for rather than cut off.
        lossless: bool,
    },
    /// Belongs to the exec of this number.
    Exec(u64),
}

/// One connection.
pub struct Client {
    /// Never reused.
    pub id: u64,
    /// What it is for.
    pub role: Role,
    /// Whether it waits for the exit record.
    pub waits: bool,
    stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    closing: bool,
}

impl Client {
    /// Descriptor and what to poll it for.
    pub fn interest(&self, throttled: bool) -> (RawFd, i16) {
        let mut events = 0;
        if !throttled && !self.closing {
            events |= libc::POLLIN;
        }
        if self.has_output() {
            events |= libc::POLLOUT;
        }
        (self.stream.as_raw_fd(), events)
    }

    /// Whether something waits to be sent.
    pub fn has_output(&self) -> bool {
        self.sent < self.output.len()
    }

    /// How much waits to be sent.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Whether exec output for it should wait.
    pub fn is_behind(&self) -> bool {
        self.output.len() - self.sent > BACKPRESSURE
    }

    /// Queues a reply.
    pub fn reply(&mut self, reply: &Reply) {
        let bytes = serde_json::to_vec(reply).unwrap_or_default();
        // Replies are far below a frame's limit.
        let _ = frame::encode(Kind::Control, &bytes, &mut self.output);
    }

    /// Sends output of its exec, and queues what does not go at once.
    pub fn send(&mut self, kind: Kind, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_PAYLOAD) {
            // Cut to size just now.
            let Ok(header) = frame::header(kind, piece.len()) else { return };
            let sent = if self.has_output() { 0 } else { self.write_now(&header, piece) };
            self.output.extend_from_slice(header.get(sent..).unwrap_or_default());
            self.output.extend_from_slice(&piece[sent.saturating_sub(header.len())..]);
        }
    }

    /// How many bytes of both went; a failure shows again when the rest is flushed.
    fn write_now(&mut self, header: &[u8], payload: &[u8]) -> usize {
        self.output.clear();
        self.sent = 0;
        self.stream.write_vectored(&[IoSlice::new(header), IoSlice::new(payload)]).unwrap_or(0)
    }

    /// Whether the container's output should wait for it.
    pub fn holds_output(&self) -> bool {
        matches!(self.role, Role::Attached { lossless: true, .. }) && !self.closing && self.is_behind()
    }

    /// Whether the end has to wait until it has read what is left.
    pub fn must_be_waited_for(&self) -> bool {
        matches!(self.role, Role::Attached { lossless: true, .. } | Role::Exec(_)) && self.has_output()
    }

    /// Queues container output if it wants it; cuts it off if it is too far behind.
    pub fn offer(&mut self, kind: Kind, bytes: &[u8]) {
        let Role::Attached { stdout, stderr, lossless, .. } = self.role else { return };
        if self.closing || !(stdout && kind == Kind::Stdout || stderr && kind == Kind::Stderr) {
            return;
        }
        if !lossless && self.output.len() - self.sent + bytes.len() > OUTPUT_LIMIT {
            let reason = format!("this client is more than {OUTPUT_LIMIT} bytes behind; read on in the log");
            self.reply(&Reply::Dropped { reason });
            self.closing = true;
        } else {
            self.send(kind, bytes);
        }
    }

    /// No more requests; the connection ends when all is sent.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Sends what goes. `false`: the connection is over.
    pub fn flush(&mut self) -> bool {
        while self.has_output() {
            match self.stream.write(&self.output[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
        }
        self.output.clear();
        self.sent = 0;
        !self.closing
    }

    /// Gives memory back.
    pub fn trim(&mut self) {
        self.input.shrink_to_fit();
        if !self.has_output() {
            self.output = Vec::new();
        }
    }

    /// Reads what came. `false`: the client is gone.
    pub fn fill(&mut self) -> bool {
        let before = self.input.len();
        self.input.resize(before + INPUT_CHUNK, 0);
        let read = loop {
            match self.stream.read(&mut self.input[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.input.truncate(before + read.as_ref().map_or(0, |count| *count));
        match read {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// What has been read, to be taken apart; to be given back with [`Self::put_back`].
    pub fn take_input(&mut self) -> Vec<u8> {
        if self.closing { Vec::new() } else { std::mem::take(&mut self.input) }
    }

    /// What is left of it after `taken` bytes.
    pub fn put_back(&mut self, mut input: Vec<u8>, taken: usize) {
        input.drain(..taken);
        self.input = input;
    }

    /// Whether no more is taken from it.
    pub fn is_closing(&self) -> bool {
        self.closing
    }
}

impl Supervisor {
    /// Takes new connections.
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            // Beyond the limit the connection is closed by dropping it.
            if self.clients.len() < MAX_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.next_id += 1;
                self.clients.push(Client {
                    id: self.next_id,
                    role: Role::New,
                    waits: false,
                    stream,
                    input: Vec::new(),
                    output: Vec::new(),
                    sent: 0,
                    closing: false,
                });
            }
        }
    }

    pub(super) fn client(&mut self, id: u64) -> Option<&mut Client> {
        self.clients.iter_mut().find(|client| client.id == id)
    }

    /// Queues a reply for a client that may be gone.
    pub(super) fn answer(&mut self, id: u64, reply: &Reply) {
        if let Some(client) = self.client(id) {
            client.reply(reply);
        }
    }

    /// Sends what goes to everybody and forgets those that are gone.
    pub(super) fn flush_clients(&mut self) {
        let gone: Vec<u64> =
            self.clients.iter_mut().filter_map(|client| (!client.flush()).then_some(client.id)).collect();
        for id in gone {
            self.forget(id);
        }
    }

    /// A client went, or was sent away.
    pub(super) fn forget(&mut self, id: u64) {
        let Some(index) = self.clients.iter().position(|client| client.id == id) else { return };
        let client = self.clients.swap_remove(index);
        match client.role {
            Role::Attached { stdin: true, .. } if self.spec.stdin == model::shim::StdinMode::Once => {
                self.close_container_input();
            }
            Role::Exec(exec) => self.abandon_exec(exec),
            _ => {}
        }
        if self.starter == Some(id) {
            self.starter = None;
        }
    }

    /// Whether a client's input should wait because the process doesn't read.
    pub(super) fn is_throttled(&self, client: &Client) -> bool {
        match client.role {
            Role::Attached { stdin: true, .. } => self.input.as_ref().is_some_and(super::Sink::is_full),
            Role::Exec(exec) => self.execs.iter().any(|e| e.id == exec && e.is_input_full()),
            _ => false,
        }
    }
}
