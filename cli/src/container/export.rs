//! `orca export`: a container's files as a tar.

use std::path::{Path, PathBuf};

use api::files::ExportRequest;
use clap::Args;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};
use crate::terminal;

/// Arguments of `orca export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Write to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Container
    container: String,
}

/// Writes a container's files, without those of its volumes, as a tar.
pub async fn export(host: &Host, args: ExportArgs) -> Result<()> {
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    export_to(&mut client, container, args.output.as_deref()).await
}

/// Exports to a file, which is there only when it is whole, or to standard output.
pub async fn export_to(client: &mut Client, container: String, output: Option<&Path>) -> Result<()> {
    let Some(path) = output else {
        if terminal::stdout_is_terminal() {
            return Err(Error::Unsupported {
                what: "writing a tar to a terminal".into(),
                instead: "use --output FILE, or redirect standard output".into(),
            });
        }
        return pump(client, container, &mut tokio::io::stdout(), Path::new("standard output")).await;
    };
    // Named pipes and devices are written as they are.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let mut file = open(path).await?;
        return pump(client, container, &mut file, path).await;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let staged = path.with_file_name(name);
    let mut file = open(&staged).await?;
    let done = pump(client, container, &mut file, path).await;
    let placed = done.and_then(|()| {
        std::fs::rename(&staged, path).map_err(|source| Error::File { action: "write", path: path.into(), source })
    });
    if placed.is_err() {
        let _ = std::fs::remove_file(&staged);
    }
    placed
}

async fn open(path: &Path) -> Result<tokio::fs::File> {
    let file = tokio::fs::File::create(path).await;
    file.map_err(|source| Error::File { action: "write", path: path.into(), source })
}

async fn pump(client: &mut Client, container: String, out: &mut (impl AsyncWrite + Unpin), path: &Path) -> Result<()> {
    let failed = |source| Error::File { action: "write", path: path.into(), source };
    let mut stream = client.files.export(ExportRequest { container }).await?.into_inner();
    while let Some(chunk) = stream.message().await? {
        out.write_all(&chunk.data).await.map_err(failed)?;
    }
    out.flush().await.map_err(failed)
}
