//! `orca save`.

use std::path::{Path, PathBuf};

use api::image::{SaveChunk, SaveRequest};
use clap::Args;
use tokio::fs::File;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tonic::Streaming;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::terminal;

/// Arguments of `orca save`.
#[derive(Debug, Args)]
pub struct SaveArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only if the images are of this platform
    #[arg(long)]
    platform: Option<String>,
    /// Images; a name without a tag means all its tags
    #[arg(required = true)]
    images: Vec<String>,
}

/// Writes images into an archive that is an OCI layout and one of `docker save` at once.
pub async fn save(host: &Host, args: SaveArgs) -> Result<()> {
    if args.output.is_none() && terminal::stdout_is_terminal() {
        return Err(Error::Unsupported {
            what: "saving to a terminal".into(),
            instead: "use the -o flag or redirect standard output".into(),
        });
    }
    let mut client = Client::connect(host).await?;
    let request = SaveRequest { images: args.images, platform: args.platform };
    let mut chunks = client.images.save(request).await?.into_inner();
    // Nothing is written before the daemon has found every image.
    let first = chunks.message().await?;
    match args.output {
        None => write(first, &mut chunks, &mut tokio::io::stdout(), Path::new("standard output")).await,
        Some(path) => write_file(first, &mut chunks, &path).await,
    }
}

/// Writes beside the file and renames, so that a file of that name is always a whole archive.
async fn write_file(first: Option<SaveChunk>, chunks: &mut Streaming<SaveChunk>, path: &Path) -> Result<()> {
    let failed = |action| move |source| Error::File { action, path: path.into(), source };
    if path.exists() && !path.is_file() {
        let mut device = tokio::fs::OpenOptions::new().write(true).open(path).await.map_err(failed("open"))?;
        return write(first, chunks, &mut device, path).await;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let staged = PathBuf::from(name);
    let mut file = File::create(&staged).await.map_err(failed("create"))?;
    let written = match write(first, chunks, &mut file, path).await {
        Ok(()) => file.sync_all().await.and(std::fs::rename(&staged, path)).map_err(failed("write")),
        Err(error) => Err(error),
    };
    if written.is_err() {
        let _ = std::fs::remove_file(&staged);
    }
    written
}

async fn write(
    first: Option<SaveChunk>,
    chunks: &mut Streaming<SaveChunk>,
    out: &mut (impl AsyncWrite + Unpin),
    path: &Path,
) -> Result<()> {
    let failed = |source| Error::File { action: "write", path: path.into(), source };
    let mut next = first;
    while let Some(SaveChunk { chunk }) = next {
        out.write_all(&chunk).await.map_err(failed)?;
        next = chunks.message().await?;
    }
    out.flush().await.map_err(failed)
}
