//! What is asked of the client, one thing at a time, and what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use api::image as wire;
use image::build::{Context, ContextEntry, ContextKind};
use tokio::sync::{Mutex, mpsc};
use tonic::{Status, Streaming};
use wire::build_ask::What;
use wire::build_input::Input;
use wire::build_output::Output;

use super::failure::{Failure, Result};
use crate::service::blocking;
use crate::service::upload::Upload;

/// The client of one build.
pub struct Client {
    inputs: Mutex<Streaming<wire::BuildInput>>,
    sender: mpsc::Sender<std::result::Result<wire::BuildOutput, Status>>,
    steps: AtomicU32,
}

fn gone() -> Failure {
    Failure::invalid("the client went away")
}

impl Client {
    pub fn new(
        inputs: Streaming<wire::BuildInput>,
        sender: mpsc::Sender<std::result::Result<wire::BuildOutput, Status>>,
    ) -> Client {
        Client { inputs: Mutex::new(inputs), sender, steps: AtomicU32::new(1) }
    }

    /// Where messages go, for threads that may wait.
    pub fn sender(&self) -> mpsc::Sender<std::result::Result<wire::BuildOutput, Status>> {
        self.sender.clone()
    }

    /// Tells the client something.
    pub async fn tell(&self, output: Output) -> Result<()> {
        self.sender.send(Ok(wire::BuildOutput { output: Some(output) })).await.map_err(|_| gone())
    }

    /// Tells the client that a step begins; its number.
    pub async fn begin(&self, name: String) -> Result<u32> {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        self.tell(Output::Step(wire::BuildStep { step, name })).await?;
        Ok(step)
    }

    /// Tells the client how a step ended.
    pub async fn end(&self, step: u32, cached: bool, error: Option<String>) -> Result<()> {
        self.tell(Output::Ended(wire::BuildStepEnd { step, cached, error })).await
    }

    async fn next(inputs: &mut Streaming<wire::BuildInput>) -> Result<Input> {
        let message = inputs.message().await.map_err(|_| gone())?.ok_or_else(gone)?;
        match message.input.ok_or_else(|| Failure::invalid("an answer of the client is empty"))? {
            Input::Failed(reason) => Err(Failure::invalid(reason)),
            input => Ok(input),
        }
    }

    async fn ask(&self, context: &str, what: What) -> Result<()> {
        self.tell(Output::Ask(wire::BuildAsk { context: context.to_owned(), what: Some(what) })).await
    }

    /// Asks for the names of all files of a context.
    pub async fn files(&self, name: &str, context: &mut Context) -> Result<()> {
        let mut inputs = self.inputs.lock().await;
        self.ask(name, What::Files(true)).await?;
        let mut number = 0;
        loop {
            match Client::next(&mut inputs).await? {
                Input::End(_) => return Ok(()),
                Input::Files(files) => {
                    for file in files.files {
                        context.add(number, entry(file)).map_err(Failure::from)?;
                        number += 1;
                    }
                }
                _ => return Err(Failure::invalid("the client answered with something else than files")),
            }
        }
    }

    /// Asks for the digests of files.
    pub async fn digests(&self, name: &str, context: &Context, numbers: Vec<u32>) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        let mut inputs = self.inputs.lock().await;
        self.ask(name, What::Digests(wire::BuildNumbers { numbers: numbers.clone() })).await?;
        let mut left = numbers.into_iter();
        loop {
            match Client::next(&mut inputs).await? {
                Input::End(_) if left.len() == 0 => return Ok(()),
                Input::Digests(digests) => {
                    for digest in digests.digests {
                        let digest = image::Digest::from_hex(&digest).map_err(Failure::from)?;
                        let number = left.next().ok_or_else(|| Failure::invalid("the client sent too many digests"))?;
                        context.set_digest(number, digest);
                    }
                }
                _ => return Err(Failure::invalid("the client answered with something else than digests")),
            }
        }
    }

    /// Asks for the content of files.
    pub async fn contents(&self, name: &str, context: &Arc<Context>, wanted: Vec<(u32, u64)>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let mut inputs = self.inputs.lock().await;
        let numbers = wanted.iter().map(|(number, _)| *number).collect();
        self.ask(name, What::Contents(wire::BuildNumbers { numbers })).await?;
        let (chunks, mut upload) = Upload::channel();
        let own = context.clone();
        let receive = blocking("taking files of a build", move || {
            for (number, size) in wanted {
                own.receive(number, size, &mut upload)?;
            }
            Ok(())
        });
        let forward = async {
            loop {
                match Client::next(&mut inputs).await? {
                    Input::End(_) => {
                        drop(chunks);
                        return Ok(());
                    }
                    // Who takes them may have failed, and then says why.
                    Input::Content(chunk) => drop(chunks.send(Ok(chunk)).await),
                    _ => return Err(Failure::invalid("the client answered with something else than contents")),
                }
            }
        };
        let (received, forwarded) = tokio::join!(receive, forward);
        forwarded?;
        Ok(received?)
    }

    /// Has the client pull an image.
    pub async fn pull(&self, image: &str, platform: String) -> Result<()> {
        let mut inputs = self.inputs.lock().await;
        self.ask("", What::Pull(wire::BuildPull { image: image.to_owned(), platform })).await?;
        match Client::next(&mut inputs).await? {
            Input::End(_) => Ok(()),
            _ => Err(Failure::invalid("the client answered a pull with something else")),
        }
    }
}

fn entry(file: wire::BuildFile) -> ContextEntry {
    use wire::BuildFileKind as Kind;
    let kind = match file.kind() {
        Kind::File => ContextKind::File(file.size),
        Kind::Directory => ContextKind::Directory,
        Kind::Symlink => ContextKind::Symlink(file.target),
        Kind::HardLink => ContextKind::HardLink(file.target),
    };
    ContextEntry { path: file.path, kind, mode: file.mode, uid: file.uid, gid: file.gid, mtime: file.mtime }
}
