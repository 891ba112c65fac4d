//! gzip, zstd or nothing, told by the first bytes (RFC 1952, RFC 8878).

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::manifest::{MEDIA_LAYER, MEDIA_LAYER_GZIP, MEDIA_LAYER_ZSTD};

const INPUT_BUFFER: usize = 128 << 10;

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Reads up to four bytes and tells what follows them; the bytes read are returned.
    pub(crate) fn detect(source: &mut impl Read) -> io::Result<(Compression, Vec<u8>)> {
        let mut head = Vec::with_capacity(4);
        source.by_ref().take(4).read_to_end(&mut head)?;
        let compression = match head.as_slice() {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
            _ => Compression::None,
        };
        Ok((compression, head))
    }

    /// The OCI media type of a layer that is compressed so.
    pub(crate) fn layer_media_type(self) -> &'static str {
        match self {
            Compression::None => MEDIA_LAYER,
            Compression::Gzip => MEDIA_LAYER_GZIP,
            Compression::Zstd => MEDIA_LAYER_ZSTD,
        }
    }
}

/// Uncompresses a stream.
pub(crate) enum Decoder<R: Read> {
    None(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<R>>>),
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(compression: Compression, source: R) -> io::Result<Decoder<R>> {
        let source = BufReader::with_capacity(INPUT_BUFFER, source);
        Ok(match compression {
            Compression::None => Decoder::None(source),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(source))),
            Compression::Zstd => Decoder::Zstd(Box::new(zstd::stream::read::Decoder::with_buffer(source)?)),
        })
    }

    /// Detects the compression of `source` and uncompresses it.
    pub(crate) fn detect(mut source: R) -> io::Result<Decoder<io::Chain<io::Cursor<Vec<u8>>, R>>> {
        let (compression, head) = Compression::detect(&mut source)?;
        Decoder::new(compression, io::Cursor::new(head).chain(source))
    }

    /// Reads the compressed source to its end, past what the decoder needed, so that verifying readers below it verify.
    pub(crate) fn drain(self) -> io::Result<()> {
        let mut rest = match self {
            Decoder::None(source) => source,
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
        };
        loop {
            let count = rest.fill_buf()?.len();
            if count == 0 {
                return Ok(());
            }
            rest.consume(count);
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::None(source) => source.read(buffer),
            Decoder::Gzip(decoder) => decoder.read(buffer),
            Decoder::Zstd(decoder) => decoder.read(buffer),
        }
    }
}
