//! What a RUN mounts.

use std::path::PathBuf;
use std::sync::Arc;

use image::build::{Files, KeyWriter};
use image::dockerfile::{Expander, Mount, MountKind, Run, Sharing};
use model::{ConfigFile, FileTarget, MountSource, Propagation, SecretData, SecretFile};

use super::builder::Builder;
use super::failure::{Failure, Result};
use super::sources::Source;
use super::stage::absolute;
use super::state::State;
use crate::Error;
use crate::service::blocking;

/// Where texts below a RUN are programs.
pub const SCRIPTS: &str = "/dev/pipes";

/// What a RUN mounts, and the texts below it.
pub struct Mounts {
    mounts: Vec<(Mount, String)>,
    scripts: Vec<(String, String)>,
}

/// As the container has it.
#[derive(Default)]
pub struct Mounted {
    pub mounts: Vec<model::Mount>,
    pub secrets: Vec<SecretFile>,
    pub secret_data: Vec<SecretData>,
    pub configs: Vec<ConfigFile>,
    pub config_data: Vec<Vec<u8>>,
    /// Variables whose value is in a file of the container's.
    pub variables: Vec<(String, String)>,
    /// Where something is mounted, which is no part of the layer.
    pub targets: Vec<Vec<u8>>,
    /// Caches that nobody else may use meanwhile.
    locks: Vec<tokio::sync::OwnedMutexGuard<()>>,
}

impl Mounted {
    /// The program, with the variables that come from secrets.
    pub fn command(&self, args: &[String]) -> Vec<String> {
        if self.variables.is_empty() {
            return args.to_vec();
        }
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let exports = self.variables.iter().map(|(name, path)| format!("export {name}=\"$(cat {})\"; ", quoted(path)));
        let script = format!("{}exec \"$0\" \"$@\"", exports.collect::<String>());
        [&["/bin/sh".to_owned(), "-c".to_owned(), script], args].concat()
    }
}

impl Builder {
    /// Reads a RUN's mounts.
    pub(super) fn mounts(&self, state: &State, run: &Run) -> Result<Mounts> {
        let lookup = |name: &str| state.scope.value(&state.config.config, name);
        let expander = Expander::new(&lookup, self.file.directives.escape);
        let mut mounts = Vec::new();
        for text in &run.mounts {
            let mount = Mount::parse(text, &expander).map_err(Failure::invalid)?;
            let target = match (&mount.target, &mount.kind) {
                (Some(target), _) => absolute(state, target),
                (None, MountKind::Secret { id, .. }) => format!("/run/secrets/{id}"),
                _ => String::new(),
            };
            mounts.push((mount, target.trim_end_matches('/').to_owned()));
        }
        let own = run.heredocs.iter().filter(|own| own.content.starts_with("#!"));
        let scripts = own.map(|own| (format!("{SCRIPTS}/{}", own.name), own.content.clone())).collect();
        Ok(Mounts { mounts, scripts })
    }

    /// Adds what mounts show to a key: files of the client by content, those of stages and images by their layers. Caches and
    /// secrets don't count, as in Docker.
    pub(super) async fn describe_mounts(self: &Arc<Builder>, mounts: &Mounts, mut key: KeyWriter) -> Result<KeyWriter> {
        for (mount, target) in &mounts.mounts {
            key.field(target).field(kind(&mount.kind));
            let MountKind::Bind { from, source: path, .. } = &mount.kind else { continue };
            let source = self.source(from.as_deref()).await?;
            match &source {
                Source::Layers(state) => drop(key.field(path).list(state.chain().map(|chain| chain.to_string()))),
                Source::Context(..) => {
                    let selection = self.choose(&source, vec![path.clone()], false, Vec::new()).await?;
                    key = self.describe(&source, &selection, key).await?;
                }
            }
        }
        Ok(key)
    }

    /// Makes the mounts ready.
    pub(super) async fn mount(self: &Arc<Builder>, mounts: Mounts) -> Result<Mounted> {
        let mut mounted = Mounted::default();
        for (mount, target) in mounts.mounts {
            self.mount_one(mount, target, &mut mounted).await?;
        }
        for (path, content) in mounts.scripts {
            mounted.targets.push(path.trim_start_matches('/').as_bytes().to_vec());
            let file = FileTarget { path, uid: "0".to_owned(), gid: "0".to_owned(), mode: 0o755 };
            mounted.configs.push(ConfigFile { config: "script".to_owned(), id: None, template: false, file });
            mounted.config_data.push(content.into_bytes());
        }
        Ok(mounted)
    }

    async fn mount_one(self: &Arc<Builder>, mount: Mount, target: String, mounted: &mut Mounted) -> Result<()> {
        if !target.is_empty() {
            mounted.targets.push(target.trim_start_matches('/').as_bytes().to_vec());
        }
        match mount.kind {
            MountKind::Bind { from, source, writable } => {
                let tree = self.source(from.as_deref()).await?;
                let source = self.bound(&tree, &source, writable).await?;
                mounted.mounts.push(model::Mount { target, read_only: !writable, source });
            }
            MountKind::Cache { id, read_only, sharing, from, source, mode, uid, gid } => {
                let id = id.unwrap_or_else(|| target.clone());
                let dir = self.cache_dir(&id, sharing, mounted).await?;
                let is_new = !dir.exists();
                if is_new {
                    self.make_cache(&dir, from.as_deref(), &source, (mode, uid, gid)).await?;
                }
                mounted.mounts.push(model::Mount { target, read_only, source: bind(&dir) });
            }
            MountKind::Tmpfs { size } => {
                let source = MountSource::Tmpfs { size, mode: None, options: Vec::new() };
                mounted.mounts.push(model::Mount { target, read_only: false, source });
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                let Some(data) = self.start.secrets.get(&id) else {
                    return if required { Err(Failure::invalid(format!("secret {id}: not found"))) } else { Ok(()) };
                };
                // A variable of a container is kept on disk, so the program's own shell reads it from the file.
                let only_variable = env.is_some() && mount.target.is_none();
                let mode = if only_variable { 0o444 } else { mode };
                if let Some(name) = env {
                    mounted.variables.push((name, target.clone()));
                }
                let file = FileTarget { path: target, uid: uid.to_string(), gid: gid.to_string(), mode };
                mounted.secrets.push(SecretFile { secret: id, id: None, template: false, file });
                mounted.secret_data.push(SecretData::new(data.clone()));
            }
            MountKind::Ssh { required: false, .. } => {}
            MountKind::Ssh { .. } => {
                let reason =
                    "--mount=type=ssh is not supported: an agent's socket can't be passed on to the node; use a secret";
                return Err(Failure::invalid(reason));
            }
        }
        Ok(())
    }

    /// A part of a source, to be seen or (lost afterwards) written.
    async fn bound(self: &Arc<Builder>, tree: &Source, path: &str, writable: bool) -> Result<MountSource> {
        let layer = self.subtree(tree, path).await?;
        let state = State { layers: layer.into_iter().collect(), ..State::scratch(&self.options.platform, self.now) };
        let root = self.root(&state).await?;
        let image = image::Store::assemble(&state.config, &state.layers)?;
        let id = self.hold(image);
        let scratch = self.scratch.path().join(format!("bind-{}", crate::random::bits128()?));
        let is_file = blocking("making a mount ready", {
            let scratch = scratch.clone();
            move || {
                let single =
                    root.names(b"")? == [b"file".to_vec()] && root.look(b"file")?.is_some_and(|seen| seen.is_file());
                if writable {
                    std::fs::create_dir_all(&scratch).map_err(Error::io("make", &scratch))?;
                    if !root.is_empty() {
                        root.copy_tree("/", &scratch)?;
                    }
                }
                Ok(single)
            }
        })
        .await?;
        if writable {
            return Ok(bind(&if is_file { scratch.join("file") } else { scratch }));
        }
        let subpath = is_file.then(|| "file".to_owned());
        Ok(MountSource::Image { image: id.clone(), id: Some(id), subpath })
    }

    /// Where a cache is. A private one that is in use has another place for this build alone.
    async fn cache_dir(&self, id: &str, sharing: Sharing, mounted: &mut Mounted) -> Result<PathBuf> {
        let name = image::Digest::of(id.as_bytes()).hex();
        let dir = self.store.cache_mounts().join(&name);
        if sharing == Sharing::Shared {
            return Ok(dir);
        }
        let lock = self.containers.build_caches().of(&name);
        if sharing == Sharing::Locked {
            mounted.locks.push(lock.lock_owned().await);
            return Ok(dir);
        }
        match lock.try_lock_owned() {
            Ok(guard) => {
                mounted.locks.push(guard);
                Ok(dir)
            }
            Err(_) => Ok(self.scratch.path().join(format!("cache-{}", crate::random::bits128()?))),
        }
    }

    async fn make_cache(
        self: &Arc<Builder>,
        dir: &std::path::Path,
        from: Option<&str>,
        source: &str,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<()> {
        let first = match from {
            None => None,
            Some(from) => {
                let tree = self.source(Some(from)).await?;
                let layer = self.subtree(&tree, source).await?;
                let layers = layer.into_iter().collect();
                Some(self.root(&State { layers, ..State::scratch(&self.options.platform, self.now) }).await?)
            }
        };
        let (dir, new) = (dir.to_path_buf(), self.scratch.path().join(format!("cache-{}", crate::random::bits128()?)));
        let made = blocking("making a cache", move || {
            std::fs::create_dir_all(&new).map_err(Error::io("make", &new))?;
            if let Some(first) = first.filter(|first| !first.is_empty()) {
                first.copy_tree("/", &new)?;
            }
            std::os::unix::fs::chown(&new, Some(uid), Some(gid)).map_err(Error::io("set the owner of", &new))?;
            let mode = rustix::fs::Mode::from_raw_mode(mode);
            rustix::fs::chmod(&new, mode).map_err(Error::io("set the mode of", &new))?;
            if let Some(parent) = dir.parent() {
                std::fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
            }
            // Whole or not at all, whoever is killed; another build may have made it meanwhile.
            match std::fs::rename(&new, &dir) {
                Err(_) if dir.exists() => Ok(()),
                done => done.map_err(Error::io("make", &dir)),
            }
        });
        Ok(made.await?)
    }
}

fn bind(path: &std::path::Path) -> MountSource {
    MountSource::Bind {
        path: path.to_string_lossy().into_owned(),
        create: false,
        propagation: Propagation::Rprivate,
        recursive: model::Recursive::Enabled,
        relabel: None,
    }
}

fn kind(kind: &MountKind) -> &'static str {
    match kind {
        MountKind::Bind { .. } => "bind",
        MountKind::Cache { .. } => "cache",
        MountKind::Tmpfs { .. } => "tmpfs",
        MountKind::Secret { .. } => "secret",
        MountKind::Ssh { .. } => "ssh",
    }
}
