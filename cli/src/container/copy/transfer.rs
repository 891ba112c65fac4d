//! Archives between this machine's files and a daemon's stream, with a few chunks in memory.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use image::tree::{Conflicts, ExtractOptions, Extracted, IdMap, Owner, Root, Within, extract, pack, pack_each};
use tokio::sync::mpsc;

use crate::error::{Error, Result};

/// Bytes of one message.
const CHUNK: usize = 256 * 1024;
/// Chunks that wait for the other side.
const AHEAD: usize = 4;

/// What is at `path` as the chunks of an archive whose entries begin with `name`, made on a thread of its own.
pub fn pack_local(path: &str, name: &str) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (path, name) = (path.to_owned(), name.to_owned());
    packed(move |writer| {
        // The parent is opened by its path, as the user named it; from there on nothing is followed.
        let (parent, last) = super::paths::split(&path);
        let inside = if path.ends_with('/') { format!("{last}/") } else { last };
        let inside = if inside == "/" { ".".into() } else { inside };
        pack(&Root::open(Path::new(&parent))?, inside.as_bytes(), name.as_bytes(), &IdMap::default(), writer)?;
        Ok(())
    })
}

/// These files, links and directories, each without what is in it, under names of their own.
pub fn pack_files(files: Vec<(PathBuf, Vec<u8>)>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    packed(move |writer| {
        let entries = files.iter().map(|(path, name)| (path.as_os_str().as_encoded_bytes(), name.as_slice()));
        pack_each(&Root::open(Path::new("/"))?, entries, &IdMap::default(), writer)?;
        Ok(())
    })
}

fn packed(work: impl FnOnce(Sender) -> image::Result<()> + Send + 'static) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    std::thread::spawn(move || {
        let writer = Sender { sender: sender.clone(), chunk: Vec::with_capacity(CHUNK) };
        if let Err(error) = work(writer) {
            // Nobody may be listening any more.
            let _ = sender.blocking_send(Err(io::Error::other(error.to_string())));
        }
    });
    receiver
}

/// Extracts the archive that comes in `chunks` into `directory`, on a thread of its own.
pub async fn extract_local(
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    directory: &str,
    rename: Option<(String, String)>,
    keep_owners: bool,
) -> Result<Extracted> {
    let directory = directory.to_owned();
    let options = ExtractOptions {
        owner: if keep_owners { Owner::Kept(IdMap::default()) } else { Owner::Caller },
        conflicts: Conflicts::Refused,
        keep_directories: false,
        within: Within::Directory,
        rename: rename.map(|(from, to)| (from.into_bytes(), to.into_bytes())),
    };
    let reader = Receiver { chunks, current: Vec::new(), taken: 0 };
    let work = move || extract(reader, &Root::open(Path::new(&directory))?, b"", options);
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| Error::Files(format!("the copy was cut off: {error}")))?;
    done.map_err(|error| Error::Files(error.to_string()))
}

/// A piece of a stream, or why there is no more.
type Chunk = io::Result<Vec<u8>>;

/// A channel for the chunks that `extract_local` takes.
pub fn channel() -> (mpsc::Sender<Chunk>, mpsc::Receiver<Chunk>) {
    mpsc::channel(AHEAD)
}

struct Sender {
    sender: mpsc::Sender<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
}

impl Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender.blocking_send(Ok(chunk)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

struct Receiver {
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    current: Vec<u8>,
    taken: usize,
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // An empty chunk is no end.
        while self.taken == self.current.len() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            self.current = chunk?;
            self.taken = 0;
        }
        let count = (self.current.len() - self.taken).min(buffer.len());
        buffer[..count].copy_from_slice(&self.current[self.taken..self.taken + count]);
        self.taken += count;
        Ok(count)
    }
}
