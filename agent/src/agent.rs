//! The agent as a whole: what is opened in which order, and the loops that run until it ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use image::Unpacker;
use model::{Assignments, IpSubnet, NodeDescription, NodeId};
use net::netlink::netns;
use net::plan::NodeKey;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;

use crate::carrier::Carrier;
use crate::containers::Containers;
use crate::db::Db;
use crate::events::Kind;
use crate::executor::{self, Executor, Logging, Parts, blocking};
use crate::identity::Identity;
use crate::mounts::{Volumes, mount_secrets};
use crate::neighbours::{Neighbours, Sources};
use crate::network::Networks;
use crate::paths::Paths;
use crate::session::{Managers, Session, SessionStatus};
use crate::{Error, Result};

/// Commands of programs that outlive the daemon.
pub trait Programs: Send + Sync {
    /// Runs the shim of a bundle: no standard input, standard output a pipe.
    fn shim(&self, bundle: &std::path::Path) -> std::process::Command;
    /// Cleans up after a dead shim: standard error a pipe.
    fn cleanup(&self, bundle: &std::path::Path) -> std::process::Command;
    /// Works on a container's files ([`crate::files`]); its standard streams are pipes.
    fn files(&self) -> std::process::Command;
    /// Runs netd for a run directory.
    fn netd(&self, run_dir: &std::path::Path) -> std::process::Command;
}

/// How to start an agent.
pub struct AgentConfig {
    /// Survives a restart of the machine.
    pub data_dir: PathBuf,
    /// Sockets, namespaces, secrets; need not survive.
    pub run_dir: PathBuf,
    /// Where managers are.
    pub managers: watch::Receiver<Managers>,
    /// How it stands with them.
    pub session: watch::Sender<SessionStatus>,
    /// Who unpacks layers.
    pub unpacker: Unpacker,
    /// Programs that outlive the daemon.
    pub programs: Arc<dyn Programs>,
    /// Subnet of the node's own network, which standalone containers are on by default.
    pub bridge_subnet: IpSubnet,
    /// How output is kept.
    pub logging: Logging,
    /// Programs that are OCI runtimes, by the name that a container asks for them with.
    pub runtimes: BTreeMap<String, PathBuf>,
    /// Whose subordinate ids containers have instead of the host's, and whether binds are shown with them.
    pub users: Option<UsersConfig>,
    /// Where device specifications are; `None`: /etc/cdi and /var/run/cdi.
    pub cdi: Option<Vec<PathBuf>>,
    /// How it talks to registries.
    pub registries: image::registry::Settings,
    /// What the node says of itself (`engine.labels`).
    pub labels: BTreeMap<String, String>,
    /// So many of each kind of things it has that services may ask for.
    pub generic: BTreeMap<String, u64>,
}

/// Users of containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsersConfig {
    /// `default`, `USER[:GROUP]` or `UID[:GID]`.
    pub remap: String,
    /// Show binds as if the container's ids were the host's.
    pub idmapped_binds: bool,
    /// Where passwd, group, subuid and subgid are: /etc.
    pub databases: PathBuf,
}

/// The subnet of [`AgentConfig::bridge_subnet`] where nothing else is asked for: outside of Docker's and the cluster's pools.
pub const BRIDGE_SUBNET: &str = "172.30.0.0/16";

/// A running agent.
pub struct Agent {
    identity: Identity,
    description: NodeDescription,
    paths: Paths,
    containers: Containers,
    networks: Arc<Networks>,
    loops: JoinSet<()>,
    services: watch::Sender<Option<Routes>>,
}

impl Agent {
    /// Takes the data directory, goes on with the containers of an earlier daemon, and starts the loops. Returns when the
    /// state of every container is known.
    ///
    /// # Errors
    /// [`Error::DataDirInUse`]; what is wrong with the data directory.
    pub async fn start(config: AgentConfig) -> Result<Self> {
        let AgentConfig {
            data_dir,
            run_dir,
            managers,
            session,
            unpacker,
            programs,
            bridge_subnet,
            logging,
            runtimes,
            users,
            cdi,
            registries,
            labels,
            generic,
        } = config;
        let paths = Paths::new(&data_dir, &run_dir);
        let (opening, own_paths) = (paths.clone(), paths.clone());
        let (identity, images, (db, contents)) = blocking("opening the data directory", move || {
            let identity = Identity::open(opening.data())?;
            make_dirs(&opening)?;
            for dir in opening.namespace_dirs() {
                netns::keep_apart(&dir)?;
            }
            mount_secrets(&opening.secrets())?;
            let images = image::Store::open(opening.data())?;
            Ok((identity, images, Db::open(&opening.database())?))
        })
        .await?;
        let mut host = executor::host(&runtimes);
        host.default_profile = host.apparmor && blocking("loading an AppArmor profile", executor::load_profile).await?;
        if let Some(directories) = cdi {
            host.cdi = directories;
        }
        if let Some(users) = users {
            let dir = paths.data().to_path_buf();
            let kernel = host.kernel;
            host.idmapped_binds = users.idmapped_binds;
            let find = move || executor::remapped(&users, &dir, kernel);
            host.users = Some(blocking("reading subordinate ids", find).await?);
        }
        let description = NodeDescription { labels, generic, ..executor::describe(&host) };
        let known = contents.networks.unwrap_or_default();
        let networks =
            Networks::new(identity.id, paths.clone(), programs.clone(), bridge_subnet, known, contents.local_networks);
        let (assigned, assignments) = watch::channel(None);
        let (contents_sender, contents_receiver) = watch::channel(Arc::new(Assignments::default()));
        let executor = Executor::new(Parts {
            volumes: Arc::new(Volumes::new(paths.volumes(), paths.mounts(), contents.volumes)),
            paths,
            host,
            images: Arc::new(images),
            unpacker,
            networks: networks.clone(),
            programs,
            key: identity.key.clone(),
            logging,
            runtimes,
            contents: contents_receiver,
            sources: Arc::new(Sources::new(registries, Neighbours::new(identity.id, managers.clone(), networks))),
        });
        let networks = executor.networks().clone();
        let containers = Containers::new(db, executor);
        let mut loops = JoinSet::new();
        networks.set_reached(managers.borrow().reached);
        loops.spawn(networks.clone().run());
        loops.spawn(follow_address(networks.clone(), managers.clone()));
        let used = !contents.containers.is_empty();
        containers.recover(contents.containers).await;
        networks.settle(used).await;
        loops.spawn(containers.clone().run_timer());
        loops.spawn(crate::service::clean_up_builds(containers.clone()));
        loops.spawn(work(containers.clone(), networks.clone(), assignments, contents_sender));
        let (services, answers) = watch::channel(None);
        let session_loop = Session {
            carrier: Carrier::new(answers),
            node: identity.id,
            description: description.clone(),
            managers,
            status: session,
            containers: containers.clone(),
            assigned,
            mesh: networks.mesh(),
        };
        loops.spawn(session_loop.run());
        Ok(Self { identity, description, paths: own_paths, containers, networks, loops, services })
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.identity.id
    }

    /// What names of this node's devices, cgroups and tables begin with.
    pub fn key(&self) -> &NodeKey {
        &self.identity.key
    }

    /// What it says of itself.
    pub fn description(&self) -> &NodeDescription {
        &self.description
    }

    /// Its containers.
    pub fn containers(&self) -> &Containers {
        &self.containers
    }

    /// Its network.
    pub fn networks(&self) -> &Arc<Networks> {
        &self.networks
    }

    /// What this node answers when the cluster's managers call it.
    pub fn answer_managers(&self, services: Routes) {
        self.services.send_replace(Some(services));
    }

    /// Gives back what belongs to no container: the secrets' file system and the node's own cgroups. For a reset, when no
    /// container is left.
    pub fn clean_up(&self) {
        let _ = nix::mount::umount2(&self.paths.secrets(), nix::mount::MntFlags::MNT_DETACH);
        for dir in self.paths.namespace_dirs() {
            netns::keep_no_longer_apart(&dir);
        }
        // Mounted on only in mount namespaces of shims.
        let _ = std::fs::remove_dir(executor::stage(&self.identity.key));
        let name = format!("orca-{}", self.identity.key);
        let Ok(hierarchies) = std::fs::read_dir("/sys/fs/cgroup") else { return };
        let below = hierarchies.flatten().map(|hierarchy| hierarchy.path().join(&name));
        for cgroup in below.chain([std::path::Path::new("/sys/fs/cgroup").join(&name)]) {
            remove_empty(&cgroup);
        }
    }

    /// Ends the loops; containers, their shims and netd run on. Everything is on disk when this returns.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn shutdown(mut self) -> Result<()> {
        self.loops.shutdown().await;
        self.containers.abandon().await;
        self.containers.flush().await
    }
}

fn make_dirs(paths: &Paths) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    for (dir, mode) in [
        (paths.containers(), 0o710),
        (paths.volumes(), 0o711),
        (paths.mounts(), 0o700),
        (paths.run().to_path_buf(), 0o755),
        (paths.run().join("shim"), 0o700),
    ]
    .into_iter()
    .chain(paths.namespace_dirs().map(|dir| (dir, 0o700)))
    {
        std::fs::DirBuilder::new().recursive(true).mode(mode).create(&dir).map_err(Error::io("make", &dir))?;
    }
    Ok(())
}

/// Networks come and go on a node as its managers assign them.
fn tell_of_networks(containers: &Containers, before: &Assignments, now: &Assignments) {
    let tell = |action: &str, network: &model::NetworkAssignment| {
        let more = [("name", network.name.clone()), ("type", "bridge".into())];
        containers.events().record(Kind::Network, action, network.id.to_string(), &more);
    };
    let only = |these: &Assignments, others: &Assignments, action: &str| {
        let alone = these.networks.values().filter(|network| !others.networks.contains_key(&network.id));
        alone.for_each(|network| tell(action, network));
    };
    only(before, now, "destroy");
    only(now, before, "create");
}

/// Tells the network where other nodes reach this one, whenever that changes.
async fn follow_address(networks: Arc<Networks>, mut managers: watch::Receiver<Managers>) {
    let mut known = managers.borrow_and_update().reached;
    while managers.changed().await.is_ok() {
        let reached = managers.borrow_and_update().reached;
        if reached != known {
            networks.set_reached(reached);
            known = reached;
        }
    }
}

/// Reconciles whenever assignments or containers change. Before the first assignments nothing is decided: containers go on
/// as their records say.
async fn work(
    containers: Containers,
    networks: Arc<Networks>,
    mut assignments: watch::Receiver<Option<Arc<Assignments>>>,
    contents: watch::Sender<Arc<Assignments>>,
) {
    let mut changes = containers.changes();
    loop {
        if let Some(assigned) = assignments.borrow_and_update().clone() {
            if !Arc::ptr_eq(&assigned, &contents.borrow()) {
                contents.send_replace(assigned.clone());
                let before = networks.assigned();
                tell_of_networks(&containers, &before, &assigned);
                let nodes = |of: &Assignments| (of.data_path_port, of.peers.clone());
                let same = (&before.networks, &before.endpoints) == (&assigned.networks, &assigned.endpoints);
                if !same || nodes(&before) != nodes(&assigned) {
                    containers.save_networks(&assigned);
                    networks.assign(assigned.clone());
                }
            }
            changes.borrow_and_update();
            containers.reconcile(&assigned);
        }
        let changed = tokio::select! {
            changed = assignments.changed() => changed.is_ok(),
            changed = changes.changed() => changed.is_ok(),
        };
        if !changed {
            return;
        }
    }
}

/// Removes a cgroup and those in it that `--cgroup-parent` made. Only empty ones go; what is in use is not ours to end here.
fn remove_empty(cgroup: &std::path::Path) {
    for entry in std::fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(cgroup);
}
