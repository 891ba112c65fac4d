//! Images from archives.

use std::path::PathBuf;

use api::node::{
    ImportHeader, ImportImageRequest, LoadHeader, LoadImageRequest, import_image_request, load_image_request,
};
use clap::Args;
use tokio::io::AsyncRead;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::stream::read_chunk;

/// Arguments of `orca import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Message for the image's history
    #[arg(short, long)]
    message: Option<String>,
    /// Platform, such as linux/arm64
    #[arg(long)]
    platform: Option<String>,
    /// A tar of a root file system, or - for standard input
    file: PathBuf,
    /// Name of the image
    reference: Option<String>,
}

/// Arguments of `orca load`.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Read from a file instead of standard input
    #[arg(short, long)]
    input: Option<PathBuf>,
    /// Do not print what was loaded
    #[arg(short, long)]
    quiet: bool,
    /// Which platform of a multi-platform image
    #[arg(long)]
    platform: Option<String>,
}

/// Makes an image from a root file system.
pub async fn import(host: &Host, args: ImportArgs) -> Result<()> {
    if let Some(url) = args.file.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
        return Err(Error::Unsupported {
            what: format!("import from {url}"),
            instead: "download it and import the file".into(),
        });
    }
    let mut source = Source::open(&args.file).await?;
    let mut client = Client::connect_or_start(host).await?;
    let header = ImportHeader {
        reference: args.reference,
        changes: args.change,
        message: args.message,
        platform: args.platform,
    };
    let first = import_image_request::Part::Header(header);
    let wrap = |part| ImportImageRequest { part: Some(part) };
    let (parts, requests) = mpsc::channel(4);
    let upload = upload(&mut source, parts, wrap(first), |chunk| wrap(import_image_request::Part::Chunk(chunk)));
    let (reply, sent) = tokio::join!(client.node.import_image(ReceiverStream::new(requests)), upload);
    sent?;
    format::write(&format!("{}\n", reply?.into_inner().id))
}

/// Takes over images from an archive of `docker save` or an OCI layout.
pub async fn load(host: &Host, args: LoadArgs) -> Result<()> {
    let mut source = match &args.input {
        Some(path) => Source::open(path).await?,
        None if crate::terminal::stdin_is_terminal() => {
            return Err(Error::Unsupported {
                what: "loading an archive from a terminal".into(),
                instead: "use --input FILE, or redirect the archive to standard input".into(),
            });
        }
        None => Source::stdin(),
    };
    let mut client = Client::connect_or_start(host).await?;
    let first = load_image_request::Part::Header(LoadHeader { platform: args.platform });
    let wrap = |part| LoadImageRequest { part: Some(part) };
    let (parts, requests) = mpsc::channel(4);
    let upload = upload(&mut source, parts, wrap(first), |chunk| wrap(load_image_request::Part::Chunk(chunk)));
    let (reply, sent) = tokio::join!(client.node.load_image(ReceiverStream::new(requests)), upload);
    sent?;
    let loaded = reply?.into_inner().loaded;
    if args.quiet {
        return Ok(());
    }
    format::write(&loaded.iter().map(|name| format!("Loaded image: {name}\n")).collect::<String>())
}

/// An archive on this machine.
struct Source {
    path: PathBuf,
    reader: Box<dyn AsyncRead + Unpin + Send>,
}

impl Source {
    async fn open(path: &std::path::Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::stdin());
        }
        let file = tokio::fs::File::open(path).await;
        let file = file.map_err(|source| Error::File { action: "open", path: path.into(), source })?;
        Ok(Self { path: path.into(), reader: Box::new(file) })
    }

    fn stdin() -> Self {
        Self { path: "standard input".into(), reader: Box::new(tokio::io::stdin()) }
    }
}

/// Sends the first part and then every chunk; ends early when the daemon has stopped listening.
async fn upload<T>(source: &mut Source, parts: mpsc::Sender<T>, first: T, wrap: impl Fn(Vec<u8>) -> T) -> Result<()> {
    if parts.send(first).await.is_err() {
        return Ok(());
    }
    loop {
        let chunk = read_chunk(&mut *source.reader).await;
        match chunk.map_err(|error| Error::File { action: "read", path: source.path.clone(), source: error })? {
            None => return Ok(()),
            Some(chunk) => {
                if parts.send(wrap(chunk)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}
