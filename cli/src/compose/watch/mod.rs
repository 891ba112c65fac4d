//! `orca compose watch` and `up --watch`: what changes here comes to the containers, as `develop.watch` says.
//!
//! [`tree`] tells what has changed, [`batch`] puts together what comes together, [`rules`] decide what is to be done, and [`sync`]
//! and [`rebuild`] do it.

mod batch;
mod rebuild;
mod rules;
mod sync;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use compose_spec::Service;
use compose_spec::node::Node;
use compose_spec::watch::{Action, Trigger};
use image::dockerfile::Ignore;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::dry_run::{self, Step};
use super::foreground::INTERRUPTED;
use super::project::{Disk, Loaded, ProjectArgs};
use super::{lifecycle, up};
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use batch::Batch;
pub use rebuild::Rebuilding;
use rules::{Context, Plan, Rule, initial, plan};
use tree::Tree;

/// Sets of changes that wait for the containers.
const AHEAD: usize = 16;

/// Arguments of `orca compose watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Do not bring the application up first
    #[arg(long)]
    no_up: bool,
    /// Keep the images that builds replace, with --prune=false
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = crate::surface::go_bool, hide_default_value = true, hide_possible_values = true)]
    prune: bool,
    /// Do not show how builds come along
    #[arg(long)]
    quiet: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// Watches until Ctrl-C; the application goes on then.
pub async fn watch(host: &Host, project: &ProjectArgs, args: WatchArgs) -> Result<()> {
    let loaded = project.load(&args.services)?;
    // What changes while the application comes up is not missed.
    let watching = Watching { foretells: host.dry_run, ..Watching::begin(&loaded)? };
    let mut client = Client::connect_or_start(host).await?;
    let error = |source| Error::Terminal { action: "watch for Ctrl-C", source };
    let mut interrupts = signal(SignalKind::interrupt()).map_err(error)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(error)?;
    let work = async {
        if !args.no_up && host.dry_run {
            up::foresee(&mut client, &loaded, &args.services).await?;
        } else if !args.no_up {
            up::start(&mut client, &loaded, &args.services, args.quiet).await?;
        }
        watching.follow(&mut client, &loaded, Rebuilding { quiet: args.quiet, prune: args.prune }).await
    };
    tokio::select! {
        ended = work => ended,
        _ = interrupts.recv() => Err(Error::Exit(INTERRUPTED)),
        _ = terminations.recv() => Err(Error::Exit(INTERRUPTED)),
    }
}

/// Files that are watched.
pub struct Watching {
    rules: Arc<Vec<Rule>>,
    tree: Tree,
    /// Changes are told, not carried out.
    foretells: bool,
}

impl Watching {
    /// Begins to watch what the project's services ask for.
    pub fn begin(loaded: &Loaded) -> Result<Self> {
        let rules = Arc::new(rules(loaded)?);
        let roots = rules.iter().map(|rule| rule.trigger.path.clone()).collect();
        let seeing = Arc::clone(&rules);
        let tree = Tree::new(roots, Box::new(move |dir| seeing.iter().any(|rule| !rule.is_blind_to(dir))))?;
        Ok(Self { rules, tree, foretells: false })
    }

    /// Carries changes out as they come; ends only with an error.
    pub async fn follow(self, client: &mut Client, loaded: &Loaded, rebuilding: Rebuilding) -> Result<()> {
        let Self { rules, tree, foretells } = self;
        let first = initial(&rules, tree.present());
        let (sender, mut changes) = mpsc::channel(AHEAD);
        // It ends with the process, or when nobody listens to the next change.
        std::thread::spawn(move || tell(tree, &sender));
        let mut act = async |plan: Plan| match foretells {
            true => {
                foretell(&rules, &plan);
                Ok(())
            }
            false => act(client, loaded, &rules, plan, rebuilding).await,
        };
        act(first).await?;
        say("Watch enabled");
        let began = Instant::now();
        let mut batch = Batch::default();
        loop {
            let due = batch.due().map(|due| began + due);
            tokio::select! {
                Some(paths) = changes.recv() => batch.add(paths?, began.elapsed()),
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let paths = batch.take();
                    if let Err(error) = act(plan(&rules, &paths)).await {
                        eprintln!("orca: {error}; what has changed is tried again with the next change");
                        batch.owe(paths);
                    }
                }
            }
        }
    }
}

/// Tells of changes until there is nobody to tell.
fn tell(mut tree: Tree, sender: &mpsc::Sender<Result<BTreeSet<PathBuf>>>) {
    loop {
        let changes = tree.changes();
        let is_last = changes.is_err();
        if changes.as_ref().is_ok_and(BTreeSet::is_empty) {
            continue;
        }
        if sender.blocking_send(changes).is_err() || is_last {
            return;
        }
    }
}

/// Does what a batch asks for: what is made again first, then files, restarts and commands.
async fn act(client: &mut Client, loaded: &Loaded, rules: &[Rule], plan: Plan, rebuilding: Rebuilding) -> Result<()> {
    let project = loaded.name();
    if !plan.rebuild.is_empty() {
        say(&format!("Rebuilding service(s) {} after changes were detected...", quoted(&plan.rebuild)));
        rebuild::rebuild(client, loaded, &plan.rebuild, rebuilding).await?;
    }
    for (service, copies) in &plan.sync {
        say(&format!("Syncing service {service:?} after {} changes were detected", copies.len()));
        sync::copy_files(client, project, service, copies).await?;
    }
    let restarts = plan.restarts();
    if !restarts.is_empty() {
        lifecycle::restart_services(client, project, &restarts, false, None).await?;
        say(&format!("service(s) {} restarted", quoted(&restarts)));
    }
    for trigger in plan.exec.iter().filter_map(|index| Some(&rules.get(*index)?.trigger)) {
        if let Some(hook) = &trigger.exec {
            sync::run_hook(client, project, &trigger.service, hook).await?;
        }
    }
    Ok(())
}

/// Tells what a batch asks for, in the same order.
fn foretell(rules: &[Rule], plan: &Plan) {
    dry_run::tell(plan.rebuild.iter().map(|service| Step::new("Service", service, "Rebuilt")));
    for (service, copies) in &plan.sync {
        let inside = |path: &Vec<u8>| format!("{service}:{}", String::from_utf8_lossy(path));
        dry_run::tell(copies.keys().map(|path| Step::new("File", inside(path), "Synced")));
    }
    dry_run::tell(plan.restarts().iter().map(|service| Step::new("Service", service, "Restarted")));
    let triggers = plan.exec.iter().filter_map(|index| Some(&rules.get(*index)?.trigger));
    let hooks = triggers.filter_map(|trigger| Some((trigger, trigger.exec.as_ref()?)));
    dry_run::tell(hooks.map(|(trigger, hook)| {
        Step::new("Command", format!("{:?} in {}", hook.command.join(" "), trigger.service), "Executed")
    }));
}

fn quoted<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    format!("{:?}", names.into_iter().collect::<Vec<_>>())
}

/// Nobody need listen.
fn say(words: &str) {
    let _ = writeln!(std::io::stdout(), "{words}");
}

/// The rules of the project's services.
fn rules(loaded: &Loaded) -> Result<Vec<Rule>> {
    let triggers = loaded.project.watch_triggers().map_err(|errors| Error::Compose(errors.to_string()))?;
    if triggers.is_empty() {
        return Err(Error::NotConverged(
            "none of the services is configured for watch: give one a `develop.watch` section".into(),
        ));
    }
    let builds = triggers.iter().filter(|trigger| trigger.action == Action::Rebuild);
    rebuild::check(loaded, &builds.map(|trigger| trigger.service.clone()).collect())?;
    let services: BTreeMap<&str, Service<'_>> =
        loaded.project.services().map(|service| (service.name, service)).collect();
    let mut contexts = BTreeMap::new();
    let mut rules = Vec::new();
    for trigger in triggers {
        let Some(service) = services.get(trigger.service.as_str()) else { continue };
        if trigger.action.syncs() && is_bound(service, &trigger.path) {
            let path = trigger.path.display();
            eprintln!("WARNING: {path} is a bind mount of service {:?} already: it is not watched", trigger.service);
            continue;
        }
        if !contexts.contains_key(service.name) {
            contexts.insert(service.name, context(service)?.map(Arc::new));
        }
        let context = contexts.get(service.name).cloned().flatten();
        rules.push(rule(trigger, context)?);
    }
    Ok(rules)
}

fn rule(trigger: Trigger, context: Option<Arc<Context>>) -> Result<Rule> {
    let is_file = trigger.path.is_file();
    let place = format!("services.{}.develop.watch", trigger.service);
    Rule::new(trigger, is_file, context)
        .map_err(|error| Error::Compose(format!("{place}: invalid ignore pattern: {error}")))
}

/// Whether a path is in the containers as it is.
fn is_bound(service: &Service<'_>, path: &Path) -> bool {
    let binds = service.list(&["volumes"]).iter();
    let binds = binds.filter(|mount| mount.get("type").and_then(Node::as_str) == Some("bind"));
    binds.filter_map(|mount| mount.get("source")?.as_str()).any(|source| path.starts_with(source))
}

/// The directory that a service is built from, if it is one of this machine.
fn context(service: &Service<'_>) -> Result<Option<Context>> {
    let build = |key: &str| service.node.at(&["build", key]).and_then(Node::as_str);
    let Some(directory) = build("context").map(PathBuf::from).filter(|context| context.is_absolute()) else {
        return Ok(None);
    };
    let dockerfile = directory.join(build("dockerfile").unwrap_or("Dockerfile"));
    let mut beside = dockerfile.into_os_string();
    beside.push(".dockerignore");
    for path in [PathBuf::from(beside), directory.join(".dockerignore")] {
        let read = compose_spec::Files::read(&Disk, &path);
        let read = read.map_err(|error| Error::Compose(format!("{}: {}", path.display(), error.reason)))?;
        if let Some(text) = read {
            let read = Ignore::parse(&String::from_utf8_lossy(&text));
            let ignored = read.map_err(|error| Error::Compose(format!("{}: {error}", path.display())))?;
            return Ok(Some(Context { directory, ignored }));
        }
    }
    Ok(None)
}
