//! `orca compose build`, and the builds that `up`, `create`, `run` and `watch` begin with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use api::image::BuildStart;
use api::node::ListContainersRequest;
use clap::Args;
use compose_spec::{Build, Service};

use super::project::{Loaded, ProjectArgs, Reading};
use super::{dry_run, push};
use crate::build::{Dockerfile, Job, Mode, Output, Show, Tree, execute, ignore_rules, read_dockerfile};
use crate::client::{Client, Host};
use crate::container::flags;
use crate::error::{Error, Result};
use crate::registry;

/// Arguments of `orca compose build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Value of an ARG of all services: KEY=VALUE, or KEY for the value that it has here
    #[arg(long, value_name = "KEY[=VALUE]")]
    build_arg: Vec<String>,
    /// Only read the Dockerfiles, and say what is wrong with them
    #[arg(long)]
    check: bool,
    /// Memory limit of RUN
    #[arg(short, long, value_name = "BYTES", value_parser = flags::bytes)]
    memory: Option<u64>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Pull the images that they begin with, even if they are here
    #[arg(long)]
    pull: bool,
    /// Push the images when they are built
    #[arg(long)]
    push: bool,
    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Also the services that these depend on
    #[arg(long)]
    with_dependencies: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// When images are built before containers are made.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct BuildFlags {
    /// Build images before, even if they are here
    #[arg(long, conflicts_with = "no_build")]
    pub build: bool,
    /// Build no image, even if it is missing
    #[arg(long)]
    pub no_build: bool,
    /// Do not show how builds come along
    #[arg(long)]
    pub quiet_build: bool,
}

/// What one call says of all builds.
#[derive(Debug, Default)]
struct Over {
    args: BTreeMap<String, String>,
    check: bool,
    memory: Option<u64>,
    no_cache: bool,
    pull: bool,
    quiet: bool,
}

/// Builds the images of services.
pub async fn build(host: &Host, project: &ProjectArgs, args: BuildArgs) -> Result<()> {
    let no_deps = !args.with_dependencies;
    let loaded = project.read(Reading { services: args.services.clone(), no_deps, ..Reading::default() })?;
    let keys: BTreeSet<&str> = loaded.project.services().map(|service| service.name).collect();
    let over = Over {
        args: flags::environment(&args.build_arg, |name| std::env::var(name).ok())
            .map_err(|reason| Error::Flag { flag: "--build-arg", value: args.build_arg.join(" "), reason })?
            .into_iter()
            .collect(),
        check: args.check,
        memory: args.memory,
        no_cache: args.no_cache,
        pull: args.pull,
        quiet: args.quiet,
    };
    let builds = builds(&loaded, |service| keys.contains(service.name))?;
    if builds.is_empty() {
        eprintln!("No services to build");
        return Ok(());
    }
    if host.dry_run {
        dry_run::tell(builds.into_iter().map(|(_, build)| dry_run::Step::new("Image", build.image, "Built")));
        return Ok(());
    }
    let mut client = Client::connect_or_start(host).await?;
    for (service, build) in &builds {
        one(&mut client, &loaded, service, build, &over).await?;
    }
    if args.push {
        let services = builds.into_iter().map(|(service, _)| service).collect();
        return push::push(host, project, push::PushArgs::of(services, args.quiet)).await;
    }
    Ok(())
}

/// Builds what is missing, or with the flag everything that can be built, of these services.
pub async fn ensure(client: &mut Client, loaded: &Loaded, keys: &BTreeSet<&str>, flags: BuildFlags) -> Result<()> {
    let due = due(client, loaded, keys, flags).await?;
    build_services(client, loaded, &due, flags.quiet_build).await
}

/// The images that [`ensure`] would build.
pub async fn foreseen(
    client: &mut Client,
    loaded: &Loaded,
    keys: &BTreeSet<&str>,
    flags: BuildFlags,
) -> Result<BTreeSet<String>> {
    let due = due(client, loaded, keys, flags).await?;
    let services = loaded.project.services().filter(|service| due.contains(service.name));
    Ok(services.map(|service| loaded.project.image_name(service)).collect())
}

async fn due(
    client: &mut Client,
    loaded: &Loaded,
    keys: &BTreeSet<&str>,
    flags: BuildFlags,
) -> Result<BTreeSet<String>> {
    let mut due = BTreeSet::new();
    for service in loaded.project.services().filter(|own| keys.contains(own.name) && own.node.get("build").is_some()) {
        let always = flags.build || service.text("pull_policy") == Some("build");
        if flags.no_build {
            continue;
        }
        let image = loaded.project.image_name(service);
        if always || registry::find(client, &image).await?.is_none() {
            due.insert(service.name.to_owned());
        }
    }
    Ok(due)
}

/// Builds the images of these services, and before them those that they begin with.
pub async fn build_services(client: &mut Client, loaded: &Loaded, due: &BTreeSet<String>, quiet: bool) -> Result<()> {
    let over = Over { quiet, ..Over::default() };
    for (service, build) in builds(loaded, |service| due.contains(service.name))? {
        one(client, loaded, &service, &build, &over).await?;
    }
    Ok(())
}

/// The services of the project whose containers were made from another image than the one of that name now.
pub async fn outdated(client: &mut Client, loaded: &Loaded) -> Result<BTreeSet<String>> {
    let mut images: BTreeMap<String, String> = BTreeMap::new();
    for service in loaded.project.services().filter(|service| service.node.get("build").is_some()) {
        let image = loaded.project.image_name(service);
        if let Some(found) = registry::find(client, &image).await? {
            images.insert(service.name.to_owned(), found.id);
        }
    }
    if images.is_empty() {
        return Ok(BTreeSet::new());
    }
    let labels = BTreeMap::from([("com.docker.compose.project".to_owned(), loaded.name().to_owned())]);
    let request = ListContainersRequest { all: true, labels, size: false };
    let containers = client.node.list_containers(request).await?.into_inner().containers;
    let stale = containers.into_iter().filter(|container| !super::ps::is_step(container)).filter_map(|container| {
        let service = container.labels.get("com.docker.compose.service")?;
        let image = images.get(service)?;
        (!container.image_id.is_empty() && container.image_id != *image).then(|| service.clone())
    });
    Ok(stale.collect())
}

/// How the chosen services are built, each after those whose images it begins with.
fn builds(loaded: &Loaded, chosen: impl Fn(&Service<'_>) -> bool) -> Result<Vec<(String, Build)>> {
    let mut wanted: Vec<String> = Vec::new();
    let mut found: BTreeMap<String, Build> = BTreeMap::new();
    let mut open: Vec<String> =
        loaded.project.services().filter(|service| chosen(service)).map(|service| service.name.to_owned()).collect();
    while let Some(name) = open.pop() {
        if found.contains_key(&name) {
            continue;
        }
        if let Some(build) = loaded.build(&name)? {
            open.extend(build.needs.iter().cloned());
            wanted.push(name.clone());
            found.insert(name, build);
        }
    }
    wanted.sort();
    let mut order: Vec<(String, Build)> = Vec::new();
    while !found.is_empty() {
        let done = |need: &String| !found.contains_key(need);
        let Some(next) = wanted.iter().find(|name| found.get(*name).is_some_and(|own| own.needs.iter().all(done)))
        else {
            let names: Vec<&str> = found.keys().map(String::as_str).collect();
            return Err(Error::Compose(format!("the builds of these services need each other: {}", names.join(", "))));
        };
        let next = next.clone();
        if let Some(build) = found.remove(&next) {
            order.push((next, build));
        }
    }
    Ok(order)
}

async fn one(client: &mut Client, loaded: &Loaded, service: &str, build: &Build, over: &Over) -> Result<()> {
    let job = job(loaded, service, build, over)?;
    let mode = if over.quiet { Mode::Quiet } else { Mode::Plain };
    let failed = |error: Error| Error::NotConverged(format!("service {service}: {error}"));
    execute(client, job, &mut Show::new(mode, Some(service))).await.map_err(failed)?;
    if !over.quiet && !over.check {
        eprintln!(" {} Built", build.image);
    }
    Ok(())
}

fn job(loaded: &Loaded, service: &str, build: &Build, over: &Over) -> Result<Job> {
    let remote = ["http://", "https://", "git://", "git@", "github.com/", "ssh://"];
    if let Some(url) = Some(&build.context).filter(|context| remote.iter().any(|scheme| context.starts_with(scheme))) {
        let what = format!("the build context {url} of service {service}");
        return Err(Error::Unsupported { what, instead: "fetch it, and name the directory".into() });
    }
    let context = Path::new(&build.context);
    let dockerfile = match &build.inline {
        Some(text) => Dockerfile { name: "dockerfile_inline".into(), text: text.clone().into_bytes(), path: None },
        None => read_dockerfile(&context.join(&build.dockerfile))?,
    };
    let mut trees = BTreeMap::from([(
        String::new(),
        Tree::directory(context, ignore_rules(context, dockerfile.path.as_deref())?)?,
    )]);
    let mut contexts = BTreeMap::new();
    for (name, source) in &build.contexts {
        let name = name.to_ascii_lowercase();
        if source.starts_with("docker-image://") {
            contexts.insert(name, source.clone());
            continue;
        }
        if source.contains("://") {
            let what = format!("the additional context {source} of service {service}");
            return Err(Error::Unsupported { what, instead: "fetch it, and name the directory".into() });
        }
        let root = PathBuf::from(source);
        trees.insert(name.clone(), Tree::directory(&root, ignore_rules(&root, None)?)?);
        contexts.insert(name, String::new());
    }
    let mut args = build.args.clone();
    args.extend(over.args.clone());
    let mut labels = build.labels.clone();
    labels.insert("com.docker.compose.project".into(), loaded.name().to_owned());
    labels.insert("com.docker.compose.service".into(), service.to_owned());
    let mut container = build.container.clone();
    container.resources.limits.memory = over.memory;
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse().ok());
    let start = BuildStart {
        dockerfile: dockerfile.text,
        name: dockerfile.name,
        target: build.target.clone().unwrap_or_default(),
        args,
        tags: std::iter::once(&build.image).chain(&build.tags).cloned().collect(),
        labels,
        no_cache: build.no_cache || over.no_cache,
        no_cache_filter: build.no_cache_filter.clone(),
        platform: build.platform.clone(),
        contexts,
        secrets: build.secrets.iter().map(|(id, data)| (id.clone(), data.reveal().to_vec())).collect(),
        network: build.network.clone(),
        container: Some(container.into()),
        source_date_epoch: epoch,
        export: 0,
        insecure: build.insecure,
        check: over.check,
        context_problem: None,
        pull: build.pull || over.pull,
    };
    Ok(Job { start, trees, output: Output::Image, quiet: over.quiet })
}
