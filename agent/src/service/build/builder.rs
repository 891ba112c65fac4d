//! One build: its plan, and the stages under way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use api::image as wire;
use image::build::Context;
use image::dockerfile::{Dockerfile, Graph, Options, Scope};
use image::manifest::Platform;
use image::store::{HeldImage, Image, Lease, Scratch};
use image::{Reference, Store};
use model::ContainerSpec;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;
use wire::build_output::Output;

use super::client::Client;
use super::failure::{Failure, Result};
use super::state::State;
use crate::containers::Containers;
use crate::service::blocking;
use crate::{Error, clock};

/// What became of a stage.
type Outcome = Option<Result<Arc<State>>>;

/// What is looked up once, by whoever needs it first.
type Cell<T> = Arc<OnceCell<T>>;

/// A build.
pub struct Builder {
    pub(super) containers: Containers,
    pub(super) store: Arc<Store>,
    pub(super) client: Client,
    pub(super) start: wire::BuildStart,
    /// What every RUN's container has.
    pub(super) template: ContainerSpec,
    pub(super) text: String,
    pub(super) file: Dockerfile,
    pub(super) options: Options,
    pub(super) graph: Graph,
    pub(super) scratch: Scratch,
    /// Seconds since the epoch; SOURCE_DATE_EPOCH if there is one.
    pub(super) now: i64,
    contexts: Mutex<BTreeMap<String, Cell<Arc<Context>>>>,
    /// By name and platform.
    images: Mutex<BTreeMap<(String, String), Cell<Image>>>,
    /// What was made and looked up stays until the end.
    leases: Mutex<Vec<Lease>>,
    held: Mutex<Vec<HeldImage>>,
    stages: Vec<watch::Sender<Outcome>>,
}

impl Builder {
    /// Reads the Dockerfile and plans.
    pub fn new(containers: Containers, client: Client, mut start: wire::BuildStart) -> Result<Arc<Builder>> {
        let text = String::from_utf8(std::mem::take(&mut start.dockerfile));
        let text = text.map_err(|_| Failure::invalid(format!("{} is not UTF-8", start.name)))?;
        let located = |failure: Failure| failure.located(&start.name, &text);
        let file = Dockerfile::parse(&text).map_err(|error| located(error.into()))?;
        let host = Platform::host();
        let platform = match start.platform.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => text.parse().map_err(|error: image::Error| Failure::from(error))?,
            None => host.clone(),
        };
        let options = Options {
            target: Some(start.target.clone()),
            args: start.args.clone(),
            contexts: start.contexts.keys().map(|name| name.to_ascii_lowercase()).collect(),
            platform,
            host,
        };
        let graph = Graph::plan(&file, &options).map_err(|error| located(error.into()))?;
        let template = start.container.take().map(TryInto::try_into).transpose();
        let template = template.map_err(|error: api::Error| Failure::invalid(error.to_string()))?.unwrap_or_default();
        let store = containers.images().clone();
        let scratch = store.scratch()?;
        let now = start.source_date_epoch.unwrap_or_else(|| clock::wall().0.div_euclid(1_000_000_000));
        let stages = file.stages.iter().map(|_| watch::Sender::new(None)).collect();
        Ok(Arc::new(Builder {
            containers,
            store,
            client,
            start,
            template,
            text,
            file,
            options,
            graph,
            scratch,
            now,
            contexts: Mutex::default(),
            images: Mutex::default(),
            leases: Mutex::default(),
            held: Mutex::default(),
            stages,
        }))
    }

    /// Makes every stage that is needed, and hands the target over.
    pub async fn run(self: Arc<Builder>, names: Vec<Reference>) -> Result<()> {
        let own = self.clone();
        own.carry_out(names).await.map_err(|failure| failure.located(&self.start.name, &self.text))
    }

    async fn carry_out(self: Arc<Builder>, names: Vec<Reference>) -> Result<()> {
        self.warn_of_args().await?;
        if self.start.check {
            return self.client.tell(Output::Done(wire::BuildDone::default())).await;
        }
        let mut work = JoinSet::new();
        for stage in self.graph.order.clone() {
            let builder = self.clone();
            work.spawn(async move {
                let outcome = builder.stage(stage).await;
                builder.stages[stage].send_replace(Some(outcome.clone().map(Arc::new)));
                outcome.map(drop)
            });
        }
        // The first that fails ends the others: they are dropped.
        while let Some(ended) = work.join_next().await {
            ended.map_err(|_| Error::Thread("building"))??;
        }
        let target = self.outcome(self.graph.target).await?;
        self.export(&target, names).await
    }

    /// Waits until a stage is made.
    pub(super) async fn outcome(&self, stage: usize) -> Result<Arc<State>> {
        if self.graph.stages[stage].is_none() {
            let name = self.file.stages[stage].name.clone().unwrap_or_else(|| stage.to_string());
            return Err(Failure::invalid(format!(
                "stage {name} of an ONBUILD is none that this Dockerfile needs by itself"
            )));
        }
        let mut stages = self.stages[stage].subscribe();
        let outcome = stages.wait_for(Option::is_some).await.map_err(|_| Error::Thread("building"))?.clone();
        outcome.unwrap_or_else(|| Err(Failure::invalid("a stage has no outcome")))
    }

    /// The files of the client that are meant by `name`; empty: the main ones.
    pub(super) async fn context(&self, name: &str) -> Result<Arc<Context>> {
        if name.is_empty()
            && let Some(problem) = &self.start.context_problem
        {
            return Err(Failure::invalid(problem.clone()));
        }
        let cell = lock(&self.contexts).entry(name.to_owned()).or_default().clone();
        let made = cell.get_or_try_init(|| async {
            let spool = self.scratch.path().join(format!("context-{}", image::Digest::of(name.as_bytes()).short()));
            std::fs::create_dir_all(&spool).map_err(Error::io("make", &spool))?;
            let mut context = Context::new(spool);
            let title = if name.is_empty() {
                "[internal] load build context".to_owned()
            } else {
                format!("[context {name}] load files")
            };
            let step = self.client.begin(title).await?;
            self.client.files(name, &mut context).await?;
            self.client.end(step, false, None).await?;
            Ok::<_, Failure>(Arc::new(context))
        });
        made.await.cloned()
    }

    /// The image of this name, which the client pulls if it isn't here.
    pub(super) async fn image(&self, name: &str, platform: &Platform) -> Result<Image> {
        let key = (name.to_owned(), platform.to_string());
        let cell = lock(&self.images).entry(key).or_default().clone();
        cell.get_or_try_init(|| self.look_up(name, platform)).await.cloned()
    }

    async fn look_up(&self, name: &str, platform: &Platform) -> Result<Image> {
        let step = self.client.begin(format!("[internal] load metadata for {}", canonical(name))).await?;
        let found = self.find(name, platform).await?;
        let image = match found.filter(|_| !self.start.pull) {
            Some(image) => image,
            None => {
                self.client.pull(name, platform.to_string()).await?;
                let pulled = self.find(name, platform).await?;
                let missing = || Failure::invalid(format!("{name}: not found for {platform}"));
                pulled.ok_or_else(missing)?
            }
        };
        lock(&self.held).push(self.store.hold(image.clone()));
        self.client.end(step, false, None).await?;
        Ok(image)
    }

    async fn find(&self, name: &str, platform: &Platform) -> Result<Option<Image>> {
        let (store, name, platform) = (self.store.clone(), name.to_owned(), platform.clone());
        let found = blocking("looking up an image", move || match store.get(&name) {
            Ok(image) => {
                let own = (image.config.os.as_str(), image.config.architecture.as_str());
                Ok(Some(image.clone()).filter(|_| own == (platform.os.as_str(), platform.architecture.as_str())))
            }
            Err(image::Error::NoSuchImage(_)) => Ok(None),
            Err(error) => Err(error.into()),
        });
        Ok(found.await?)
    }

    /// Keeps something from collection until the build is over.
    pub(super) fn keep(&self, lease: Lease) {
        lock(&self.leases).push(lease);
    }

    /// As [`Builder::keep`], of an image that nobody else knows; its id.
    pub(super) fn hold(&self, image: Image) -> String {
        let held = self.store.hold(image);
        let id = held.id().to_string();
        lock(&self.held).push(held);
        id
    }

    /// Tells of arguments that no ARG takes.
    async fn warn_of_args(&self) -> Result<()> {
        use image::dockerfile::Kind;
        let instructions = self.file.stages.iter().flat_map(|stage| &stage.instructions).chain(&self.file.arguments);
        let args = instructions.filter_map(|own| match &own.kind {
            Kind::Arg(args) => Some(args),
            _ => None,
        });
        let declared: Vec<&str> = args.flatten().map(|arg| arg.name.as_str()).collect();
        let global: Vec<&str> = self.graph.global.names().collect();
        let unused = |name: &&String| {
            !declared.contains(&name.as_str()) && !global.contains(&name.as_str()) && !Scope::is_proxy(name)
        };
        let unused: Vec<&str> = self.start.args.keys().filter(unused).map(String::as_str).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let text = format!("[Warning] One or more build-args [{}] were not consumed", unused.join(" "));
        self.client.tell(Output::Warning(text)).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn canonical(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.with_default_tag().to_string())
}
