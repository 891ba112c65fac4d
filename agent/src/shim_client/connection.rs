//! One connection to a shim: frames in, frames out, nothing buffered beyond one frame and one read.

use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use model::shim::frame::{self, HEADER, Kind};
use model::shim::{PROTOCOL_VERSION, Reply, Request, SOCKET_FILE};
use rustix::fs::{Mode, OFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::UnixStream;

use super::error::{Result, ShimClientError};

/// Read at once, and sent in one frame.
const CHUNK: usize = 256 * 1024;

/// A frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Incoming {
    /// A reply.
    Control(Box<Reply>),
    /// Standard output or the terminal's.
    Stdout(Bytes),
    /// Standard error.
    Stderr(Bytes),
}

/// The reading half.
#[derive(Debug)]
pub(super) struct Reader {
    half: ReadHalf<UnixStream>,
    bundle: PathBuf,
    buffer: BytesMut,
}

/// The writing half.
#[derive(Debug)]
pub(super) struct Writer {
    half: WriteHalf<UnixStream>,
    bundle: PathBuf,
}

/// Connects to the shim of `bundle` and says hello.
pub(super) async fn connect(bundle: &Path) -> Result<(Reader, Writer)> {
    let stream = open(bundle).await?;
    // Unlike the stream's own halves these don't shut the connection down when only one of them is dropped.
    let (reading, writing) = tokio::io::split(stream);
    let mut reader = Reader { half: reading, bundle: bundle.into(), buffer: BytesMut::new() };
    let mut writer = Writer { half: writing, bundle: bundle.into() };
    writer.request(&Request::Hello { version: PROTOCOL_VERSION }).await?;
    match reader.reply("hello").await? {
        Reply::Hello { .. } => Ok((reader, writer)),
        other => Err(reader.unexpected("hello", &other)),
    }
}

/// The bundle's path may be longer than `sockaddr_un` holds, so it is connected to through a descriptor of the directory.
async fn open(bundle: &Path) -> Result<UnixStream> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let connected = match rustix::fs::open(bundle, flags, Mode::empty()) {
        Ok(dir) => UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_FILE}", dir.as_raw_fd())).await,
        Err(error) => Err(error.into()),
    };
    connected.map_err(|source| match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ShimClientError::NotRunning { bundle: bundle.into() },
        _ => ShimClientError::Io { action: "connect to", bundle: bundle.into(), source },
    })
}

impl Reader {
    /// The next frame; `None` when the shim has closed the connection. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.decode()? {
                return Ok(Some(incoming));
            }
            self.buffer.reserve(CHUNK);
            match self.half.read_buf(&mut self.buffer).await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(source) => {
                    return Err(ShimClientError::Io { action: "read from", bundle: self.bundle.clone(), source });
                }
            }
        }
    }

    /// The next reply of a connection that carries no output; a refusal is an error.
    pub(super) async fn reply(&mut self, request: &'static str) -> Result<Reply> {
        match self.next().await? {
            Some(Incoming::Control(reply)) => match *reply {
                Reply::Error(failure) => Err(ShimClientError::Refused(failure)),
                reply => Ok(reply),
            },
            Some(Incoming::Stdout(_) | Incoming::Stderr(_)) => {
                let reply = "output".to_owned();
                Err(ShimClientError::Unexpected { bundle: self.bundle.clone(), request, reply })
            }
            None => Err(ShimClientError::Lost { bundle: self.bundle.clone(), request }),
        }
    }

    pub(super) fn unexpected(&self, request: &'static str, reply: &Reply) -> ShimClientError {
        let reply = format!("{reply:?}").chars().take(120).collect();
        ShimClientError::Unexpected { bundle: self.bundle.clone(), request, reply }
    }

    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }

    fn decode(&mut self) -> Result<Option<Incoming>> {
        let frame = |source| ShimClientError::Frame { bundle: self.bundle.clone(), source };
        let Some((kind, length)) =
            frame::decode(&self.buffer).map_err(frame)?.map(|(frame, taken)| (frame.kind, taken))
        else {
            return Ok(None);
        };
        // The payload stays where it was read.
        let mut payload = self.buffer.split_to(length);
        payload.advance(HEADER);
        let incoming = match kind {
            Kind::Control => {
                let message = |source| ShimClientError::Message { bundle: self.bundle.clone(), source };
                Incoming::Control(serde_json::from_slice(&payload).map_err(message)?)
            }
            Kind::Stdout => Incoming::Stdout(payload.freeze()),
            Kind::Stderr => Incoming::Stderr(payload.freeze()),
            Kind::Stdin => {
                let (bundle, reply) = (self.bundle.clone(), "a frame of input".to_owned());
                return Err(ShimClientError::Unexpected { bundle, request: "read", reply });
            }
        };
        Ok(Some(incoming))
    }
}

impl Writer {
    /// Sends a request.
    pub(super) async fn request(&mut self, request: &Request) -> Result<()> {
        let message = |source| ShimClientError::Message { bundle: self.bundle.clone(), source };
        let payload = serde_json::to_vec(request).map_err(message)?;
        self.send(Kind::Control, &payload).await
    }

    /// Sends bytes for standard input; waits while the shim takes no more.
    pub(super) async fn input(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(CHUNK) {
            self.send(Kind::Stdin, piece).await?;
        }
        Ok(())
    }

    async fn send(&mut self, kind: Kind, payload: &[u8]) -> Result<()> {
        let frame = |source| ShimClientError::Frame { bundle: self.bundle.clone(), source };
        let header = frame::header(kind, payload.len()).map_err(frame)?;
        let written = self.half.write_all_buf(&mut Buf::chain(header.as_slice(), payload)).await;
        written.map_err(|source| ShimClientError::Io { action: "write to", bundle: self.bundle.clone(), source })
    }
}
