//! One shim from its first instruction to its last: read the bundle, leave the daemon, make the container, serve it.

use std::path::{Path, PathBuf};

use model::shim::{CONFIG_FILE, ERROR_FILE, EXIT_FILE, Report, SOCKET_FILE, ShimSpec};

use crate::bundle::Bundle;
use crate::cgroup::{Cgroup, Setup};
use crate::config::{Host, View, correct, label_mounts};
use crate::error::{Result, ShimError};
use crate::log::Log;
use crate::rootfs::Rootfs;
use crate::runtime::Runtime;
use crate::runtime::embedded::Embedded;
use crate::runtime::external::{self, External};
use crate::serve::{Parts, Supervisor, announce, make};
use crate::user::Identity;
use crate::{isolate, namespaces, overlay, selinux, shared, users};

/// Runs the container of `bundle` to its end. Returns the process's exit code: 0 if there is an exit record, else Docker's
/// code for the failure.
pub fn run(path: &Path) -> u8 {
    match attempt(path) {
        Ok(()) => 0,
        Err(error) => error.class().exit_code(),
    }
}

fn attempt(path: &Path) -> Result<()> {
    isolate::keep_memory_small();
    isolate::reset_signals()?;
    isolate::detach_stdio()?;
    let result = Bundle::open(path).and_then(|bundle| bundle.spec().map(|spec| (bundle, spec)));
    let (bundle, spec) = match result {
        Ok(opened) => opened,
        Err(error) => {
            announce(&Report::Failed(error.failure(0)));
            return Err(error);
        }
    };
    let generation = spec.run_generation;
    let result = hold(bundle, spec);
    if let Err(error) = &result {
        announce(&Report::Failed(error.failure(generation)));
    }
    result
}

fn hold(bundle: Bundle, spec: ShimSpec) -> Result<()> {
    // Held until this process ends.
    let _lock = bundle.lock()?;
    for stale in [EXIT_FILE, ERROR_FILE] {
        bundle.remove(stale);
    }
    let path = bundle.path().to_owned();
    let generation = spec.run_generation;
    let result = create(bundle, spec);
    match result {
        Ok(supervisor) => supervisor.run().map(drop),
        Err(error) => {
            let failure = error.failure(generation);
            if let Ok(bundle) = Bundle::open(&path) {
                // The report on standard output says the same.
                let _ = bundle.write(ERROR_FILE, &serde_json::to_vec(&failure).unwrap_or_default());
                bundle.release_reserve();
                bundle.unlisten();
            }
            Err(error)
        }
    }
}

fn create(bundle: Bundle, spec: ShimSpec) -> Result<Supervisor> {
    // Bound first, so that a daemon that starts meanwhile finds a shim that will answer.
    let listener = bundle.listen(SOCKET_FILE)?;
    let bytes = bundle.read(CONFIG_FILE)?;
    let view: View = parse(&bundle, &bytes)?;
    let host = Host {
        setup: Setup::of_host()?,
        oom_score_adj: isolate::oom_score_adj(),
        may_lower_oom_score: isolate::may_lower_oom_score(),
    };
    view.check(&spec, host)?;
    if let Some(program) = &spec.runtime {
        external::check(program)?;
    }
    let log = Log::open(&spec.log)?;
    let donors = shared::Donors::hold(&spec.donors)?;
    isolate::leave_parent()?;
    // What is staged is named in the configuration by another place.
    let staged = spec.users.iter().flat_map(|users| &users.binds).filter(|bind| bind.namespace);
    let joined = view.joined().chain(staged.map(|bind| bind.source.as_path()));
    namespaces::forget_others(&spec.namespace_dirs, joined)?;
    // Reads the table of mounts, which is short only now.
    let cgroup = Cgroup::of(&spec.cgroup)?;
    let root = view.root(bundle.path());
    let users = spec.users.as_ref().map(users::Namespace::open).transpose()?;
    if let Some(users) = &spec.users {
        users::make_stage(users)?;
    }
    if let Some(snapshot) = &spec.snapshot {
        overlay::mount_snapshot(snapshot, &root, view.mount_label(), users.as_ref())?;
    }
    if let Some(other) = &spec.shared_shm {
        shared::mount_shm(other)?;
    }
    if let (Some(staged), Some(namespace)) = (&spec.users, &users) {
        users::fill_stage(staged, namespace)?;
    }
    let state_dir = bundle.path().join(&spec.state_dir);
    // A predecessor that was killed may have left it.
    let _ = std::fs::remove_dir_all(&state_dir);
    let rootfs = Rootfs::open(&root)?;
    if spec.create_cwd {
        let create = || rootfs.create_directory(view.cwd());
        users.as_ref().map_or_else(create, |users| users.as_root(create))?;
    }
    drop(users);
    let identity = spec.user.as_deref().map(|user| rootfs.identity(user)).transpose()?;
    let config_dir = prepare_config(&bundle, &spec, &view, &bytes, identity.as_ref(), &state_dir)?;
    bundle.reserve_exit_record();
    let (theirs, ours) = make(spec.terminal, spec.stdin, spec.runtime.as_deref())?;
    let uid = identity.as_ref().map_or(view.uid(), |identity| identity.uid);
    theirs.give_to(spec.users.as_ref().map_or(Some(uid), |users| users.map.uid(uid)))?;
    let mut runtime = runtime(&spec, &config_dir, &state_dir);
    // The first process is in the cgroup now, and has not executed anything of the image yet. Other runtimes do it all.
    let complete = |launched: crate::runtime::Launched| match spec.runtime {
        Some(_) => Ok(launched),
        None => {
            view.mount_label().map_or(Ok(()), |label| selinux::label_queues(launched.pid, label))?;
            cgroup.complete(&bytes).map(|()| launched)
        }
    };
    let confirm = |launched| donors.confirm().map(|()| launched);
    let created = runtime.create(theirs).and_then(confirm).and_then(complete);
    drop(donors);
    drop(bytes);
    let launched = match created {
        Ok(launched) => launched,
        Err(error) => {
            clear(&cgroup, runtime.as_mut());
            return Err(error);
        }
    };
    let pid = launched.pid;
    let parts = Parts { bundle, spec, cgroup, runtime, listener, log };
    // From here on the supervisor would only fail for want of descriptors; the container's process ends with the shim then.
    Supervisor::new(parts, launched, ours).inspect_err(|_| crate::cgroup::send(pid, libc::SIGKILL))
}

fn runtime(spec: &ShimSpec, config_dir: &Path, state_dir: &Path) -> Box<dyn Runtime> {
    match &spec.runtime {
        Some(program) => Box::new(External::new(program, &spec.container_id, config_dir, state_dir)),
        None => Box::new(Embedded::new(&spec.container_id, config_dir, state_dir, &spec.cgroup)),
    }
}

fn parse(bundle: &Bundle, bytes: &[u8]) -> Result<View> {
    serde_json::from_slice(bytes).map_err(|source| ShimError::Json { path: bundle.path().join(CONFIG_FILE), source })
}

/// Where the configuration for the runtime is: the bundle, or a corrected copy in the state directory.
fn prepare_config(
    bundle: &Bundle,
    spec: &ShimSpec,
    view: &View,
    bytes: &[u8],
    identity: Option<&Identity>,
    state_dir: &Path,
) -> Result<PathBuf> {
    if !view.needs_correction(spec) {
        return Ok(bundle.path().to_owned());
    }
    let mut config: serde_json::Value = serde_json::from_slice(bytes)
        .map_err(|source| ShimError::Json { path: bundle.path().join(CONFIG_FILE), source })?;
    correct(&mut config, identity);
    if spec.runtime.is_none() {
        label_mounts(&mut config);
    }
    if let Some(path) = config.pointer_mut("/root/path") {
        *path = serde_json::Value::String(view.root(bundle.path()).to_string_lossy().into_owned());
    }
    let dir = state_dir.join("config");
    let path = dir.join(CONFIG_FILE);
    std::fs::create_dir_all(&dir).map_err(ShimError::io("make", &dir))?;
    let bytes = serde_json::to_vec(&config).map_err(|source| ShimError::Json { path: path.clone(), source })?;
    std::fs::write(&path, bytes).map_err(ShimError::io("write", &path))?;
    Ok(dir)
}

/// Leaves nothing of a container that could not be made.
fn clear(cgroup: &Cgroup, runtime: &mut dyn Runtime) {
    // The failure that brought us here is the one to report.
    let _ = cgroup.kill(crate::serve::reap_all);
    let _ = cgroup.remove();
    let _ = runtime.delete();
    crate::serve::reap_all();
}
