//! `orca diff`: what a container has changed of its image's files.

use std::io::Write;

use api::files::{ChangeKind, ListChangesRequest};
use clap::Args;

use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};

/// Arguments of `orca diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// Container
    container: String,
}

/// Prints a line a change: A added, C changed, D deleted.
pub async fn diff(host: &Host, args: DiffArgs) -> Result<()> {
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    let request = ListChangesRequest { container };
    let mut stream = client.files.list_changes(request).await?.into_inner();
    while let Some(reply) = stream.message().await? {
        let mut lines = Vec::new();
        for change in reply.changes {
            let letter = match change.kind() {
                ChangeKind::Modified => b'C',
                ChangeKind::Added => b'A',
                ChangeKind::Deleted => b'D',
            };
            lines.extend([letter, b' ']);
            lines.extend(change.path);
            lines.push(b'\n');
        }
        let written = std::io::stdout().lock().write_all(&lines);
        written.map_err(|source| Error::Terminal { action: "write the changes", source })?;
    }
    Ok(())
}
