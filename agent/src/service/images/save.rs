//! `save`: an archive, as it is written.

use std::io::{self, Write};

use api::image as wire;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::platform;
use super::server::{ImagesService, Outgoing};
use crate::Error;

/// Bytes of a message.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for a slow client.
const AHEAD: usize = 4;

pub async fn save(service: &ImagesService, request: wire::SaveRequest) -> Result<Outgoing<wire::SaveChunk>, Status> {
    if request.images.is_empty() {
        return Err(Status::invalid_argument("name at least one image to save"));
    }
    let platform = platform(request.platform.as_deref())?;
    let store = service.containers().images().clone();
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let writer = io::BufWriter::with_capacity(CHUNK, Chunks(sender.clone()));
        if let Err(error) = store.save(&request.images, platform.as_ref(), writer) {
            // A client that has gone needs no answer.
            let _ = sender.blocking_send(Err(Error::from(error).into()));
        }
    });
    Ok(ReceiverStream::new(receiver))
}

/// Sends what is written.
struct Chunks(mpsc::Sender<Result<wire::SaveChunk, Status>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = wire::SaveChunk { chunk: bytes[..bytes.len().min(CHUNK)].to_vec() };
        let count = chunk.chunk.len();
        match self.0.blocking_send(Ok(chunk)) {
            Ok(()) => Ok(count),
            Err(_) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the client went away")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
