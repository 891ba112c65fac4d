//! `orca commit`: an image of a container.

use api::files::CommitRequest;
use clap::Args;

use crate::client::{Client, Host};
use crate::error::Result;
use crate::output::format;

/// Arguments of `orca commit`.
#[derive(Debug, Args)]
pub struct CommitArgs {
    #[command(flatten)]
    pub options: CommitOptions,
    /// Container
    container: String,
    /// Name of the image
    reference: Option<String>,
}

/// What a commit says of the image.
#[derive(Debug, Clone, Args)]
pub struct CommitOptions {
    /// Author, such as "Ann Other <ann@example.org>"
    #[arg(short, long)]
    author: Option<String>,
    /// Apply a Dockerfile instruction to the image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long)]
    message: Option<String>,
    /// Freeze the container meanwhile
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pause: bool,
}

/// Makes an image of a container and prints its id.
pub async fn commit(host: &Host, args: CommitArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    commit_one(&mut client, args.container, args.reference, args.options).await
}

/// Makes an image of one container and prints its id.
pub async fn commit_one(
    client: &mut Client,
    container: String,
    reference: Option<String>,
    options: CommitOptions,
) -> Result<()> {
    let CommitOptions { author, change, message, pause } = options;
    let request = CommitRequest { container, reference, author, message, changes: change, pause };
    format::write(&format!("{}\n", client.files.commit(request).await?.into_inner().id))
}
