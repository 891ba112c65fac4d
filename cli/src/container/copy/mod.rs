//! `orca cp`: files between this machine and a container.

mod local;
mod paths;
mod transfer;

use std::io;
use std::path::PathBuf;

use api::files::copy_from_reply::Part as FromPart;
use api::files::copy_to_request::Part as ToPart;
use api::files::{CopyFromRequest, CopyToHeader, CopyToRequest, PathStat, StatPathRequest};
use clap::Args;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};
use crate::output::human;
use crate::stream::read_chunk;
use crate::terminal;
use paths::End;

pub use paths::container_path;

/// Arguments of `orca cp`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    #[command(flatten)]
    pub options: CopyOptions,
    /// Do not say how much was copied; so by default unless standard output is a terminal
    #[arg(short, long)]
    pub quiet: bool,
    /// CONTAINER:PATH, a path here, or - for a tar on standard input
    pub source: String,
    /// CONTAINER:PATH, a path here, or - for a tar on standard output
    pub target: String,
}

/// How to copy.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct CopyOptions {
    /// Keep owners, set-user-id bits and capabilities; else files become root's in a container, and yours here
    #[arg(short, long)]
    pub archive: bool,
    /// Follow a link that SOURCE is
    #[arg(short = 'L', long)]
    pub follow_link: bool,
}

/// Copies files.
pub async fn copy(host: &Host, args: CopyArgs) -> Result<()> {
    let CopyArgs { options, quiet, source, target } = args;
    let ends = (container_path(&source), container_path(&target));
    let own = match ends {
        (Some(_), Some(_)) => {
            return Err(Error::Unsupported {
                what: "copying between containers".into(),
                instead: "copy to this machine first, or pipe: orca cp A:PATH - | orca cp - B:PATH".into(),
            });
        }
        (None, None) => {
            let reason = "one of source and destination must be CONTAINER:PATH".into();
            return Err(Error::Flag { flag: "the source", value: source, reason });
        }
        _ => Client::connect(host).await?,
    };
    let bytes = match ends {
        (Some((name, path)), _) => {
            let (mut client, container) = elsewhere::find(&own, name).await?;
            from(&mut client, options, &container, path, &target).await?
        }
        (_, Some((name, path))) => {
            let (mut client, container) = elsewhere::find(&own, name).await?;
            to(&mut client, options, &source, &container, path).await?
        }
        _ => return Ok(()),
    };
    if !quiet && terminal::stdout_is_terminal() && target != "-" {
        eprintln!("Successfully copied {} to {target}", human::size(bytes));
    }
    Ok(())
}

async fn stat(client: &mut Client, container: &str, path: &str) -> Result<PathStat> {
    let request = StatPathRequest { container: container.into(), path: path.as_bytes().to_vec() };
    Ok(client.files.stat_path(request).await?.into_inner())
}

fn is_dir(stat: &PathStat) -> bool {
    stat.mode & libc::S_IFMT == libc::S_IFDIR
}

/// Copies from a container to `target` here; how many bytes.
pub async fn from(client: &mut Client, options: CopyOptions, container: &str, path: &str, target: &str) -> Result<u64> {
    let here = if target == "-" { None } else { Some(local::target(target)?) };
    let mut source = End { path: paths::absolute("/", path), exists: true, ..End::default() };
    if options.follow_link {
        let link = stat(client, container, &source.path).await?.link_target;
        if let Some(link) = link {
            (source.path, source.name) = paths::followed(&source.path, &String::from_utf8_lossy(&link));
        }
    }
    let request = CopyFromRequest { container: container.into(), path: source.path.clone().into_bytes() };
    let mut stream = client.files.copy_from(request).await?.into_inner();
    let first = stream.message().await?.and_then(|message| message.part);
    let Some(FromPart::Stat(stat)) = first else {
        return Err(Error::Files("the daemon sent no archive".into()));
    };
    source.is_dir = is_dir(&stat);
    let in_archive = String::from_utf8_lossy(&stat.name).into_owned();
    let chunks = async_chunks(stream);
    let Some(here) = here else {
        return to_stdout(chunks).await;
    };
    // The archive's first component is the resolved name; the plan is about the name that was asked for.
    let asked = source.name.take();
    let named = End { path: format!("/{in_archive}"), name: asked.clone(), ..source };
    let plan = paths::plan(&named, &here).map_err(|error| refused(target, error))?;
    let rename = match (plan.rename, asked) {
        (Some((_, to)), _) => Some((in_archive, to)),
        (None, asked) => asked.map(|name| (in_archive, name)),
    };
    let done = transfer::extract_local(chunks, &plan.directory, rename, options.archive).await?;
    warn_dropped(done.dropped_attributes);
    Ok(done.bytes)
}

fn refused(path: &str, error: paths::Mismatch) -> Error {
    Error::Flag { flag: "the destination", value: path.into(), reason: error.to_string() }
}

fn warn_dropped(count: u64) {
    if count > 0 {
        eprintln!("orca: warning: {count} extended attributes were left out: the file system there has none");
    }
}

/// The stream's chunks for a thread that waits for them.
fn async_chunks(mut stream: tonic::Streaming<api::files::CopyFromReply>) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = transfer::channel();
    tokio::spawn(async move {
        loop {
            let item = match stream.message().await {
                Ok(None) => return,
                Ok(Some(message)) => match message.part {
                    Some(FromPart::Chunk(chunk)) => Ok(chunk),
                    _ => continue,
                },
                Err(status) => Err(io::Error::other(status.message().to_owned())),
            };
            let last = item.is_err();
            if sender.send(item).await.is_err() || last {
                return;
            }
        }
    });
    receiver
}

async fn to_stdout(mut chunks: mpsc::Receiver<io::Result<Vec<u8>>>) -> Result<u64> {
    let failed = |source| Error::Terminal { action: "write the archive", source };
    let mut stdout = tokio::io::stdout();
    let mut bytes = 0;
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk.map_err(failed)?;
        bytes += chunk.len() as u64;
        stdout.write_all(&chunk).await.map_err(failed)?;
    }
    stdout.flush().await.map_err(failed)?;
    Ok(bytes)
}

/// Copies `source` here into a container; how many bytes.
pub async fn to(client: &mut Client, options: CopyOptions, source: &str, container: &str, path: &str) -> Result<u64> {
    let there = target_there(client, container, path).await?;
    let (directory, chunks, keep_owners) = if source == "-" {
        if !there.is_dir {
            let reason = "it must be a directory: a tar is extracted into it".into();
            return Err(Error::Flag { flag: "the destination", value: format!("{container}:{path}"), reason });
        }
        // Whoever makes a tar says in it whose the files are.
        (there.path, stdin_chunks(), true)
    } else {
        let here = local::source(source, options.follow_link)?;
        let plan = paths::plan(&here, &there).map_err(|error| refused(&format!("{container}:{path}"), error))?;
        let name = match (plan.rename, &here.name) {
            (Some((_, to)), _) => to,
            (None, Some(name)) => name.clone(),
            (None, None) => paths::base_name(&here.path),
        };
        (plan.directory, transfer::pack_local(&here.path, &name), options.archive)
    };
    let header = CopyToHeader {
        container: container.into(),
        path: directory.into_bytes(),
        keep_owners,
        ..CopyToHeader::default()
    };
    send(client, header, chunks).await
}

/// Bytes of paths that one request removes.
const REMOVE_AT_ONCE: usize = 64 << 10;

/// Removes paths from a container, then makes files, links and directories here what they are called there.
pub async fn sync(
    client: &mut Client,
    container: &str,
    remove: &[Vec<u8>],
    files: &[(PathBuf, Vec<u8>)],
) -> Result<()> {
    let header = |remove: &[Vec<u8>]| CopyToHeader {
        container: container.into(),
        path: b"/".to_vec(),
        keep_owners: false,
        replace: true,
        remove: remove.to_vec(),
        keep_directories: true,
    };
    let mut rest = remove;
    loop {
        let mut bytes = 0;
        let fits = rest.iter().take_while(|path| {
            bytes += path.len();
            bytes <= REMOVE_AT_ONCE
        });
        let (now, later) = rest.split_at(fits.count().max(1).min(rest.len()));
        if later.is_empty() {
            return send(client, header(now), transfer::pack_files(files.to_vec())).await.map(drop);
        }
        send(client, header(now), transfer::pack_files(Vec::new())).await?;
        rest = later;
    }
}

/// Looks at the target in a container. What can't be seen may still come to be, if the directory above is there.
async fn target_there(client: &mut Client, container: &str, path: &str) -> Result<End> {
    let mut there = End { path: paths::absolute("/", path), ..End::default() };
    let mut found = stat(client, container, &there.path).await;
    if let Ok(PathStat { link_target: Some(link), .. }) = &found {
        there.path = String::from_utf8_lossy(link).into_owned();
        found = stat(client, container, &there.path).await;
    }
    match found {
        Ok(stat) => {
            let kind = stat.mode & libc::S_IFMT;
            if !matches!(kind, libc::S_IFDIR | libc::S_IFREG) {
                let reason = "it must be a directory or a regular file".into();
                return Err(Error::Flag { flag: "the destination", value: format!("{container}:{path}"), reason });
            }
            (there.exists, there.is_dir) = (true, is_dir(&stat));
            Ok(there)
        }
        Err(error @ Error::Daemon { .. }) if !error.to_string().contains("could not find the file") => Err(error),
        Err(_) => Ok(there),
    }
}

fn stdin_chunks() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = transfer::channel();
    tokio::spawn(async move {
        let mut stdin = tokio::io::stdin();
        loop {
            match read_chunk(&mut stdin).await {
                Ok(None) => return,
                Ok(Some(chunk)) => {
                    if sender.send(Ok(chunk)).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    });
    receiver
}

/// Sends an archive. One that breaks off here is no end there: the request is given up instead.
async fn send(
    client: &mut Client,
    header: CopyToHeader,
    mut chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
) -> Result<u64> {
    let (parts, requests) = mpsc::channel(4);
    let wrap = |part| CopyToRequest { part: Some(part) };
    // As long as this lives the request has no end.
    let open = parts.clone();
    let upload = async move {
        if parts.send(wrap(ToPart::Header(header))).await.is_err() {
            return Ok(());
        }
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(|source| Error::Terminal { action: "read what to copy", source })?;
            if parts.send(wrap(ToPart::Chunk(chunk))).await.is_err() {
                break;
            }
        }
        Ok::<_, Error>(())
    };
    let mut call = Box::pin(client.files.copy_to(ReceiverStream::new(requests)));
    let reply = tokio::select! {
        reply = &mut call => reply?,
        sent = upload => {
            sent?;
            drop(open);
            call.await?
        }
    };
    let reply = reply.into_inner();
    warn_dropped(reply.dropped_attributes);
    Ok(reply.bytes)
}
