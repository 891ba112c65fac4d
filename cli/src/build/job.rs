//! One build: what is asked of the daemon, and the answers to what it asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use api::image::build_ask::What;
use api::image::build_input::Input;
use api::image::build_output::Output as Told;
use api::image::{BuildAsk, BuildDigests, BuildDone, BuildFiles, BuildInput, BuildPull, BuildStart};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::Output;
use super::context::{Tree, send_exactly};
use super::output::Sink;
use super::show::Show;
use crate::client::Client;
use crate::error::{Error, Result};
use crate::registry;

/// Files or digests in one message.
const BATCH: usize = 1000;
/// Messages that wait for the daemon.
const AHEAD: usize = 8;

/// A Dockerfile as it was found.
#[derive(Debug, Clone)]
pub struct Dockerfile {
    /// For messages.
    pub name: String,
    /// Its text.
    pub text: Vec<u8>,
    /// Where it is, if it is a file.
    pub path: Option<PathBuf>,
}

/// Reads a Dockerfile.
pub fn read_dockerfile(path: &Path) -> Result<Dockerfile> {
    use std::io::Read;
    let mut text = Vec::new();
    let limit = image::dockerfile::SIZE_LIMIT as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text));
    read.map_err(|source| Error::File { action: "read the Dockerfile", path: path.into(), source })?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Dockerfile { name, text, path: Some(path.to_path_buf()) })
}

/// A build.
#[derive(Debug)]
pub struct Job {
    /// What the daemon is asked.
    pub start: BuildStart,
    /// Files by the context's name; the main one's is empty.
    pub trees: BTreeMap<String, Tree>,
    /// Where the result goes.
    pub output: Output,
    /// Pulled images are told of.
    pub quiet: bool,
}

/// Has the daemon build, and answers it.
pub async fn execute(client: &mut Client, job: Job, show: &mut Show) -> Result<BuildDone> {
    let Job { mut start, trees, output, quiet } = job;
    start.export = output.export().into();
    let mut sink = Sink::open(&output)?;
    let (inputs, requests) = mpsc::channel(AHEAD);
    // There is room for it.
    let _ = inputs.send(BuildInput { input: Some(Input::Start(start)) }).await;
    let mut news = client.images.build(ReceiverStream::new(requests)).await?.into_inner();
    let trees = Arc::new(Mutex::new(trees));
    let mut done = None;
    loop {
        let message = match news.message().await {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(status) => {
                show.finish();
                return Err(status.into());
            }
        };
        match message.output {
            Some(Told::Ask(ask)) => answer(client, ask, &trees, &inputs, quiet).await,
            Some(Told::Export(bytes)) => sink.write(bytes).await?,
            Some(Told::Done(last)) => done = Some(last),
            Some(told) => show.tell(&told),
            None => {}
        }
    }
    show.finish();
    sink.finish().await?;
    done.ok_or_else(|| Error::NotConverged("the daemon ended the build without a word".into()))
}

/// Answers one ask. What goes wrong here is told to the daemon, which says it with the line of the Dockerfile.
async fn answer(
    client: &mut Client,
    ask: BuildAsk,
    trees: &Arc<Mutex<BTreeMap<String, Tree>>>,
    inputs: &mpsc::Sender<BuildInput>,
    quiet: bool,
) {
    let answered = match ask.what {
        Some(What::Pull(pull)) => self::pull(client, &pull, quiet).await,
        Some(what) => {
            let (trees, inputs) = (trees.clone(), inputs.clone());
            let read = tokio::task::spawn_blocking(move || read(&ask.context, what, &trees, &inputs)).await;
            read.unwrap_or_else(|_| Err(Error::Files("reading the context failed".into())))
        }
        None => Err(Error::Files("the daemon asks for something that this program does not know".into())),
    };
    let input = match answered {
        Ok(()) => Input::End(true),
        Err(error) => Input::Failed(error.to_string()),
    };
    // If the daemon has gone, its stream says why.
    let _ = inputs.send(BuildInput { input: Some(input) }).await;
}

async fn pull(client: &mut Client, pull: &BuildPull, quiet: bool) -> Result<()> {
    registry::pull_image(client, &pull.image, Some(&pull.platform), quiet).await
}

fn read(
    context: &str,
    what: What,
    trees: &Mutex<BTreeMap<String, Tree>>,
    inputs: &mpsc::Sender<BuildInput>,
) -> Result<()> {
    let mut trees = trees.lock().unwrap_or_else(PoisonError::into_inner);
    let tree = trees.get_mut(context).ok_or_else(|| Error::Files(format!("there is no context {context:?}")))?;
    let send = |input| inputs.blocking_send(BuildInput { input: Some(input) }).is_ok();
    match what {
        What::Files(_) => {
            for files in tree.list()?.chunks(BATCH) {
                send(Input::Files(BuildFiles { files: files.to_vec() }));
            }
        }
        What::Digests(numbers) => {
            for numbers in numbers.numbers.chunks(BATCH) {
                let digests = numbers.iter().map(|number| tree.digest(*number as usize)).collect::<Result<_>>()?;
                send(Input::Digests(BuildDigests { digests }));
            }
        }
        What::Contents(numbers) => {
            for number in numbers.numbers {
                let number = number as usize;
                let size = tree.size(number);
                send_exactly(&mut *tree.open(number)?, size, &tree.name(number), |chunk| send(Input::Content(chunk)))?;
            }
        }
        What::Pull(_) => {}
    }
    Ok(())
}
