//! `orca swarm backup|restore`.

use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use api::control::BackupRequest;
use api::swarm::{RestoreHeader, RestoreRequest, restore_request};
use manager::backup::{Backup, new_key, open};
use model::{KeptKey, NodeRole};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::kept_key;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::stream::read_chunk;

/// What is asked for without `--key-file`.
const QUESTION: &str = "Please enter the key of the backup: ";

/// Arguments of `orca swarm backup`.
#[derive(Debug, clap::Args)]
pub struct BackupArgs {
    /// Read a backup to its end and say what it holds; no daemon is asked
    #[arg(long)]
    verify: bool,
    /// A file with the key (ORCAKEY-1-…), or - for standard input; without, a new backup gets a new key, which is printed
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print a new key only, and nothing for a given one
    #[arg(short, long, conflicts_with = "verify")]
    quiet: bool,
    /// The backup
    file: PathBuf,
}

/// Arguments of `orca swarm restore`.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// A file with the key (ORCAKEY-1-…), or - for standard input; without, it is asked for
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Where other nodes reach this one
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "", hide_default_value = true)]
    advertise_addr: String,
    /// Where this node listens for others
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "0.0.0.0:2377")]
    listen_addr: String,
    /// Remove this node's own projects, which the cluster does not know (volumes stay)
    #[arg(long)]
    discard: bool,
    /// Even if a manager of the cluster answers
    #[arg(short, long)]
    force: bool,
    /// The backup
    file: PathBuf,
}

/// Writes a backup, or looks at one.
pub async fn backup(host: &Host, args: BackupArgs) -> Result<()> {
    if args.verify {
        let key = kept_key::read(args.key_file.as_deref(), "--key-file", QUESTION)?;
        return format::write(&describe(&args.file, &read(&args.file, &key)?));
    }
    let given = args.key_file.as_deref().map(|path| kept_key::read(Some(path), "--key-file", QUESTION)).transpose()?;
    let is_new = given.is_none();
    let key = match given {
        Some(key) => key,
        None => new_key().map_err(|error| Error::Start { action: "make a key", reason: error.to_string() })?,
    };
    let mut client = Client::connect(host).await?;
    let mut chunks = client.control.backup(BackupRequest { key: key.reveal().to_vec() }).await?.into_inner();
    let staged = staged(&args.file);
    let failed = |source| Error::File { action: "write", path: args.file.clone(), source };
    let written = async {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&staged).map_err(failed)?;
        while let Some(chunk) = chunks.message().await? {
            file.write_all(&chunk.data).map_err(failed)?;
        }
        file.sync_all().map_err(failed)?;
        // What cannot be read back is no backup.
        let backup = read(&staged, &key)?;
        std::fs::rename(&staged, &args.file).map_err(failed)?;
        let dir = args.file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        Ok(backup)
    };
    let written: Result<Backup> = written.await;
    if written.is_err() {
        // The error to tell is the first one.
        let _ = std::fs::remove_file(&staged);
    }
    let backup = written?;
    let text = match (args.quiet, is_new) {
        (true, true) => format!("{key}\n"),
        (true, false) => String::new(),
        (false, true) => format!(
            "{}\nIt is sealed with this key, which is kept nowhere else. Without it nobody can read the backup:\n\n    {key}\n\n",
            describe(&args.file, &backup)
        ),
        (false, false) => describe(&args.file, &backup),
    };
    format::write(&text)
}

/// Beside the file, so that a file of its name is always a whole backup.
fn staged(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}

fn read(path: &Path, key: &KeptKey) -> Result<Backup> {
    let file = File::open(path).map_err(|source| Error::File { action: "open", path: path.into(), source })?;
    let unusable = |error: manager::backup::BackupError| Error::Start {
        action: "use the backup",
        reason: format!("{}: {error}", path.display()),
    };
    open(BufReader::new(file), key).map_err(unusable)
}

fn describe(path: &Path, backup: &Backup) -> String {
    let Backup { about, state } = backup;
    let digest: String = about.digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let managers = state.nodes.values().filter(|node| node.spec.role == NodeRole::Manager).count();
    let lines = [
        ("Backup", path.display().to_string()),
        ("Cluster", about.cluster.to_string()),
        ("Made", about.made_at.to_rfc3339()),
        ("Release", about.release.clone()),
        ("State", format!("version {}, sha256:{digest}", about.version)),
        ("Nodes", format!("{} ({managers} managers)", state.nodes.len())),
        ("Services", format!("{} ({} tasks)", state.services.len(), state.tasks.len())),
        ("Networks", state.networks.len().to_string()),
        ("Secrets", state.secrets.len().to_string()),
        ("Configs", state.configs.len().to_string()),
    ];
    lines.into_iter().map(|(name, value)| format!("{:<10}{value}\n", format!("{name}:"))).collect()
}

/// Makes this node the only manager of the cluster that a backup is of.
pub async fn restore(host: &Host, args: RestoreArgs) -> Result<()> {
    let key = kept_key::read(args.key_file.as_deref(), "--key-file", QUESTION)?;
    // Told before any daemon is started or asked.
    read(&args.file, &key)?;
    let mut client = Client::connect_or_start(host).await?;
    let header = RestoreHeader {
        key: key.reveal().to_vec(),
        listen_address: args.listen_addr,
        advertise_address: args.advertise_addr,
        discard: args.discard,
        force: args.force,
    };
    let (parts, requests) = mpsc::channel(4);
    let upload = async {
        let wrap = |part| RestoreRequest { part: Some(part) };
        let failed = |source| Error::File { action: "read", path: args.file.clone(), source };
        let mut file = tokio::fs::File::open(&args.file).await.map_err(failed)?;
        let mut next = Some(wrap(restore_request::Part::Header(header)));
        while let Some(part) = next {
            if parts.send(part).await.is_err() {
                break;
            }
            next = read_chunk(&mut file).await.map_err(failed)?.map(|chunk| wrap(restore_request::Part::Chunk(chunk)));
        }
        drop(parts);
        Ok(())
    };
    let (reply, sent) = tokio::join!(client.swarm.restore(ReceiverStream::new(requests)), upload);
    let sent: Result<()> = sent;
    sent?;
    let reply = reply?.into_inner();
    let gone = match reply.removed.as_slice() {
        [] => String::new(),
        removed => format!(
            "The managers before are no nodes of it any more: {}. Where one still runs, `orca swarm leave --force` makes it a lone node.\n",
            removed.join(", ")
        ),
    };
    format::write(&format!(
        "Swarm restored: current node ({}) is now the only manager of {}, at {}.\n{gone}",
        reply.node, reply.cluster, reply.address
    ))
}
