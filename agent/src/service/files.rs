//! `orca.files.v1.Files`: a container's files.

use api::files as wire;
use api::files::files_server::Files;
use image::Reference;
use image::manifest::RunConfig;
use image::store::CommitOptions;
use image::tree::ChangeKind;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::upload::Upload;
use super::{NodeService, Outgoing, Reply, blocking};
use crate::containers::{FileTask, Reach};
use crate::files::path::{archive_name, clean};
use crate::files::{Answer, Output, Process, Stat, Task};
use crate::{Error, Result, bundle, clock};

/// Chunks that wait for a slow client; the process that makes them waits then.
const AHEAD: usize = 4;
/// Bytes of paths that one copy removes: the order to the process that does it has a limit.
const REMOVE_MAX: usize = 128 << 10;
/// Changes in one message.
const BATCH: usize = 500;

#[tonic::async_trait]
impl Files for NodeService {
    type CopyFromStream = Outgoing<wire::CopyFromReply>;
    type ListChangesStream = Outgoing<wire::ListChangesReply>;
    type ExportStream = Outgoing<wire::Chunk>;

    async fn stat_path(&self, request: Request<wire::StatPathRequest>) -> Reply<wire::PathStat> {
        let wire::StatPathRequest { container, path } = request.into_inner();
        let id = self.resolve(&container)?;
        let path = clean(&path);
        let name = archive_name(&path);
        let task = self.containers().files(id, Reach::Seen, Task::Stat { path }).await?;
        match task.process.end().await? {
            Answer::Stat(stat) => Ok(Response::new(path_stat(name, stat))),
            other => Err(Status::internal(format!("a look at a path was answered with {other:?}"))),
        }
    }

    async fn copy_from(&self, request: Request<wire::CopyFromRequest>) -> Reply<Self::CopyFromStream> {
        use wire::copy_from_reply::Part;
        let wire::CopyFromRequest { container, path } = request.into_inner();
        let id = self.resolve(&container)?;
        let path = clean(&path);
        let name = archive_name(&path);
        let pack = Task::Pack { path, name: name.clone() };
        let mut task = self.containers().files(id, Reach::Seen, pack).await?;
        let Some(stat) = task.output.line::<Stat>().await else {
            return Err(task
                .process
                .end()
                .await
                .map(|_| Status::internal("nothing was copied"))
                .unwrap_or_else(Status::from));
        };
        let (sender, receiver) = mpsc::channel(AHEAD);
        let reply = |part| wire::CopyFromReply { part: Some(part) };
        let first = reply(Part::Stat(path_stat(name, stat)));
        // There is room for it.
        let _ = sender.send(Ok(first)).await;
        tokio::spawn(pump(task, sender, move |chunk| reply(Part::Chunk(chunk))));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn copy_to(&self, request: Request<Streaming<wire::CopyToRequest>>) -> Reply<wire::CopyToReply> {
        use wire::copy_to_request::Part;
        let mut stream = request.into_inner();
        let Some(Part::Header(header)) = stream.message().await?.and_then(|message| message.part) else {
            return Err(Status::invalid_argument("the first message of a copy must be its header"));
        };
        let id = self.resolve(&header.container)?;
        let wire::CopyToHeader { container: _, path, keep_owners, replace, remove, keep_directories } = header;
        if remove.iter().map(Vec::len).sum::<usize>() > REMOVE_MAX {
            return Err(Status::invalid_argument(format!("a copy removes at most {REMOVE_MAX} bytes of paths")));
        }
        let remove = remove.iter().map(|path| clean(path)).collect();
        let extract = Task::Extract { path: clean(&path), keep_owners, replace, keep_directories, remove };
        let FileTask { mut process, output: _output, alone: _alone, hold: _hold } =
            self.containers().files(id, Reach::Written, extract).await?;
        send(&mut process, &mut stream).await?;
        match process.end().await? {
            Answer::Extracted(done) => Ok(Response::new(wire::CopyToReply {
                entries: done.entries,
                bytes: done.bytes,
                dropped_attributes: done.dropped_attributes,
            })),
            other => Err(Status::internal(format!("a copy was answered with {other:?}"))),
        }
    }

    async fn list_changes(&self, request: Request<wire::ListChangesRequest>) -> Reply<Self::ListChangesStream> {
        let id = self.resolve(&request.into_inner().container)?;
        let task = self.containers().files(id, Reach::Layers, Task::Changes).await?;
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(tell_changes(task, sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn export(&self, request: Request<wire::ExportRequest>) -> Reply<Self::ExportStream> {
        let id = self.resolve(&request.into_inner().container)?;
        let pack = Task::Pack { path: b"/".to_vec(), name: Vec::new() };
        let mut task = self.containers().files(id, Reach::Own, pack).await?;
        if task.output.line::<Stat>().await.is_none() {
            return Err(task
                .process
                .end()
                .await
                .map(|_| Status::internal("nothing was exported"))
                .unwrap_or_else(Status::from));
        }
        let (sender, receiver) = mpsc::channel(AHEAD);
        tokio::spawn(pump(task, sender, |data| wire::Chunk { data }));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn commit(&self, request: Request<wire::CommitRequest>) -> Reply<wire::CommitReply> {
        let wire::CommitRequest { container, reference, author, message, changes, pause } = request.into_inner();
        let id = self.resolve(&container)?;
        let record = self.containers().record(id)?;
        let name = reference.filter(|name| !name.is_empty()).map(|name| name.parse::<Reference>());
        let images = self.containers().images().clone();
        let parent = blocking("reading an image", move || Ok(images.get(&record.image_id)?)).await?;
        let record = self.containers().record(id)?;
        let options = CommitOptions {
            name: name.transpose().map_err(Error::from)?,
            author: author.filter(|text| !text.is_empty()),
            message: message.filter(|text| !text.is_empty()),
            config: bundle::committed(&record, &parent.config.config),
            changes,
            created_by: record.args.join(" "),
            now: clock::wall().0.div_euclid(1_000_000_000),
        };
        // What is wrong with the instructions is said before the container is frozen.
        let mut trial: RunConfig = options.config.clone();
        options
            .changes
            .iter()
            .try_for_each(|change| image::dockerfile::apply_change(&mut trial, change))
            .map_err(Error::from)?;
        let made = self.make_image(id, parent, options);
        let image = if pause { self.containers().frozen(id, made).await? } else { made.await? };
        Ok(Response::new(wire::CommitReply { id: image.to_string() }))
    }
}

impl NodeService {
    async fn make_image(
        &self,
        id: model::ContainerId,
        parent: image::store::Image,
        options: CommitOptions,
    ) -> Result<image::Digest> {
        let task =
            self.containers().files(id, Reach::Layers, Task::Layer { mount_points: Vec::new(), newest: None }).await?;
        let (failed, failure) = oneshot::channel();
        let layer = Upload::of_task(task, failed);
        let images = self.containers().images().clone();
        let made = blocking("making an image", move || Ok(images.commit(&parent, layer, options)?)).await;
        // What went wrong with the container's files says more than that the layer broke off.
        match (made, failure.await) {
            (Err(_), Ok(error)) => Err(error),
            (made, _) => made,
        }
    }
}

fn path_stat(name: Vec<u8>, Stat { size, mode, modified, target }: Stat) -> wire::PathStat {
    wire::PathStat { name, size, mode, modified, link_target: target }
}

/// Passes on what a process writes, and at the end whether that was all.
async fn pump<T>(mut task: FileTask, sender: mpsc::Sender<Result<T, Status>>, wrap: impl Fn(Vec<u8>) -> T) {
    while let Some(chunk) = task.output.chunk().await {
        if sender.send(Ok(wrap(chunk))).await.is_err() {
            return;
        }
    }
    let FileTask { process, output: _output, alone: _alone, hold: _hold } = task;
    finish(process, &sender).await;
}

async fn finish<T>(process: Process, sender: &mpsc::Sender<Result<T, Status>>) {
    if let Err(error) = process.end().await {
        // The client may have gone.
        let _ = sender.send(Err(error.into())).await;
    }
}

async fn tell_changes(task: FileTask, sender: mpsc::Sender<Result<wire::ListChangesReply, Status>>) {
    let FileTask { process, mut output, alone: _alone, hold: _hold } = task;
    loop {
        let changes = next_changes(&mut output).await;
        if changes.is_empty() {
            break;
        }
        if sender.send(Ok(wire::ListChangesReply { changes })).await.is_err() {
            return;
        }
    }
    finish(process, &sender).await;
}

async fn next_changes(output: &mut Output) -> Vec<wire::Change> {
    let mut changes = Vec::new();
    while changes.len() < BATCH
        && let Some((kind, path)) = output.line::<(ChangeKind, Vec<u8>)>().await
    {
        let kind = match kind {
            ChangeKind::Modified => wire::ChangeKind::Modified,
            ChangeKind::Added => wire::ChangeKind::Added,
            ChangeKind::Deleted => wire::ChangeKind::Deleted,
        };
        changes.push(wire::Change { kind: kind.into(), path });
    }
    changes
}

/// Sends a client's archive to a process. A client that breaks off is no end of the archive: the process must not see one.
async fn send(process: &mut Process, stream: &mut Streaming<wire::CopyToRequest>) -> Result<(), Status> {
    use wire::copy_to_request::Part;
    let Some(mut input) = process.input() else { return Ok(()) };
    while let Some(message) = stream.message().await? {
        let Some(Part::Chunk(chunk)) = message.part else {
            return Err(Status::invalid_argument("after the first message only chunks may come"));
        };
        if input.write_all(&chunk).await.is_err() {
            // It has ended before its time, and says why.
            return Ok(());
        }
    }
    Ok(())
}
