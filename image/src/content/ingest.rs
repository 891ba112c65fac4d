//! Taking a blob in while learning what it is as a layer: one pass, nothing held in memory.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use super::{ContentStore, StagedBlob};
use crate::archive::{Compression, Decoder, Limited, most_uncompressed};
use crate::digest::{Digest, HashingReader};
use crate::error::{Error, Result};
use crate::manifest::Descriptor;

/// A staged blob, and what it is when uncompressed.
pub(crate) struct Ingested {
    pub(crate) blob: StagedBlob,
    pub(crate) compression: Compression,
    /// Digest and size of the uncompressed content, or why it doesn't uncompress.
    pub(crate) diff: Result<(Digest, u64), String>,
}

impl Ingested {
    /// A blob that isn't compressed: its digest is its diff id.
    pub(crate) fn uncompressed(blob: StagedBlob) -> Ingested {
        let diff = Ok((blob.digest, blob.size));
        Ingested { blob, compression: Compression::None, diff }
    }

    /// The blob as a layer of a manifest made here.
    pub(crate) fn layer_descriptor(&self) -> Descriptor {
        Descriptor::new(self.compression.layer_media_type(), self.blob.digest, self.blob.size)
    }
}

/// Writes all of `source` into staging, computing the digests of the blob and of its uncompressed content, of which at
/// most `limit` bytes are taken.
///
/// # Errors
/// [`Error::LimitExceeded`], [`Error::Io`]. That the content doesn't uncompress is no error here: not all blobs are layers.
pub(crate) fn ingest(store: &ContentStore, source: impl Read, limit: u64) -> Result<Ingested> {
    let bounded = Limited::new(source, limit, "bytes");
    let taken = Rc::new(Cell::new(0));
    let mut tee = HashingReader::new(Counted { inner: bounded, taken: taken.clone() }, store.writer()?);
    let (compression, head) = Compression::detect(&mut tee).map_err(|error| Error::io("read", "the archive", error))?;
    if compression == Compression::None {
        io::copy(&mut tee, &mut io::sink()).map_err(|error| Error::io("store", "the archive's content", error))?;
        let (_, _, writer) = tee.finish();
        return Ok(Ingested::uncompressed(writer.finish()?));
    }
    let diff = uncompressed(compression, head, &mut tee, limit, &taken)?;
    // What the decoder left unread belongs to the blob all the same.
    io::copy(&mut tee, &mut io::sink()).map_err(|error| Error::io("store", "the archive's content", error))?;
    let (_, _, writer) = tee.finish();
    Ok(Ingested { blob: writer.finish()?, compression, diff })
}

fn uncompressed(
    compression: Compression,
    head: Vec<u8>,
    tee: &mut impl Read,
    limit: u64,
    taken: &Cell<u64>,
) -> Result<Result<(Digest, u64), String>> {
    let decoder = Decoder::new(compression, io::Cursor::new(head).chain(tee))
        .map_err(|error| Error::io("read", "the archive", error))?;
    let mut hashing = HashingReader::new(Limited::new(decoder, limit, "uncompressed bytes"), io::sink());
    let mut buffer = vec![0; 256 << 10];
    let mut given = 0;
    loop {
        match hashing.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                given += count as u64;
                let limit = most_uncompressed(taken.get());
                if given > limit {
                    return Err(Error::LimitExceeded { what: "uncompressed bytes for its size", limit });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => match Error::io("uncompress", "the blob", error) {
                limit @ Error::LimitExceeded { .. } => return Err(limit),
                other => return Ok(Err(other.to_string())),
            },
        }
    }
    let (digest, size, _) = hashing.finish();
    Ok(Ok((digest, size)))
}

/// Tells somebody else how much has been read.
struct Counted<R> {
    inner: R,
    taken: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.taken.set(self.taken.get() + count as u64);
        Ok(count)
    }
}
