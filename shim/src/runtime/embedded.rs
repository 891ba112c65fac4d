//! libcontainer behind the [`Runtime`] seam.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libcontainer::config::YoukiConfig;
use libcontainer::container::builder::ContainerBuilder;
use libcontainer::container::{Container, ContainerStatus, State};
use libcontainer::error::LibcontainerError;
use libcontainer::hooks::run_hooks;
use libcontainer::syscall::syscall::SyscallType;
use model::shim::{ErrorClass, ExecRequest, IdMap, IdRange};
use nix::sched::CloneFlags;
use oci_spec::runtime::{Hook, LinuxIdMapping, LinuxNamespaceType, Spec};

use super::command::ReportingExecutor;
use super::join::Join;
use super::process::exec_process;
use super::{Launched, ProcessIo, Runtime};
use crate::cgroup::Cgroup;
use crate::error::{Result, ShimError};
use crate::isolate::{oom_score_adj, set_oom_score_adj};
use crate::report;
use crate::rootfs::Rootfs;
use crate::terminal;

const CONSOLE_LIMIT: Duration = Duration::from_secs(5);

/// One container made by libcontainer.
pub struct Embedded {
    id: String,
    /// Holds `config.json` as libcontainer shall see it.
    config_dir: PathBuf,
    state_dir: PathBuf,
    cgroup: PathBuf,
    container: Option<Container>,
    /// The hooks that run once it has started.
    poststart: Vec<Hook>,
}

impl Embedded {
    /// A runtime for container `id`, whose corrected configuration is in `config_dir`; `state_dir` is libcontainer's.
    #[must_use]
    pub fn new(id: &str, config_dir: &Path, state_dir: &Path, cgroup: &Path) -> Self {
        Self {
            id: id.to_owned(),
            config_dir: config_dir.to_owned(),
            state_dir: state_dir.to_owned(),
            cgroup: cgroup.to_owned(),
            container: None,
            poststart: Vec::new(),
        }
    }

    fn init(&self) -> Result<i32> {
        let pid = self.container.as_ref().and_then(Container::pid);
        pid.map(|pid| pid.as_raw()).ok_or(ShimError::WrongState { action: "exec", state: "stopped" })
    }

    /// Runs the hooks of a container that is over. That one fails changes nothing for it.
    fn run_poststop(&mut self) {
        let Some(mut container) = self.container.take() else { return };
        let Ok(spec) = Spec::load(self.config_dir.join("config.json")) else { return };
        container.set_status(ContainerStatus::Stopped);
        let hooks = spec.hooks().as_ref().and_then(|hooks| hooks.poststop().clone());
        run_each(hooks.unwrap_or_default(), &container.state);
    }

    /// Takes the hooks that run after the start from libcontainer, which would leave out those behind one that fails.
    fn take_poststart(&mut self, container: &Container) -> std::result::Result<(), LibcontainerError> {
        let mut config = YoukiConfig::load(&container.root)?;
        if let Some(hooks) = &mut config.hooks {
            self.poststart = hooks.poststart().clone().unwrap_or_default();
            hooks.set_poststart(None);
        }
        if !self.poststart.is_empty() {
            config.save(&container.root)?;
        }
        Ok(())
    }

    fn build(&mut self, io: ProcessIo, report: &OwnedFd) -> Result<Option<terminal::ConsoleListener>> {
        let fault = |error: LibcontainerError| ShimError::Runtime { action: "create", message: error.to_string() };
        let mut console = None;
        let mut builder = ContainerBuilder::new(self.id.clone(), SyscallType::Linux)
            .with_root_path(&self.state_dir)
            .map_err(fault)?
            .with_executor(ReportingExecutor { report: report.as_raw_fd() });
        builder = match io {
            ProcessIo::Streams { stdin, stdout, stderr } => {
                builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr)
            }
            ProcessIo::Terminal => {
                let listener = terminal::ConsoleListener::bind(&self.state_dir)?;
                let path = listener.path().to_owned();
                console = Some(listener);
                builder.with_console_socket(Some(path))
            }
        };
        let container = builder
            .validate_id()
            .map_err(fault)?
            .as_init(&self.config_dir)
            .with_systemd(false)
            .with_detach(true)
            .build()
            .map_err(fault)?;
        self.take_poststart(&container).map_err(fault)?;
        self.container = Some(container);
        Ok(console)
    }
}

impl Runtime for Embedded {
    fn create(&mut self, io: ProcessIo) -> Result<Launched> {
        std::fs::create_dir_all(&self.state_dir).map_err(ShimError::io("make", &self.state_dir))?;
        let (mut outcome, write) = report::channel()?;
        report::capture_causes(write.as_raw_fd());
        let own_score = oom_score_adj();
        let built = self.build(io, &write);
        // libcontainer sets the container's score in the calling process.
        if oom_score_adj() != own_score {
            set_oom_score_adj(own_score);
        }
        report::capture_causes(-1);
        drop(write);
        match built {
            Ok(console) => {
                let terminal = console.map(|listener| listener.accept(CONSOLE_LIMIT)).transpose()?;
                Ok(Launched { pid: self.init()?, terminal, outcome })
            }
            Err(error) => {
                // The failed process may still hold the pipe; what it had to say is in it by now.
                outcome.poll();
                Err(match outcome.judge() {
                    Some((ErrorClass::Runtime, cause)) => {
                        ShimError::Runtime { action: "create", message: format!("{error}: {cause}") }
                    }
                    Some((class, message)) => ShimError::Process { class, message },
                    None => error,
                })
            }
        }
    }

    fn start(&mut self) -> Result<()> {
        let container =
            self.container.as_mut().ok_or(ShimError::WrongState { action: "start", state: "not created" })?;
        let fault = |error: LibcontainerError| ShimError::Runtime { action: "start", message: error.to_string() };
        container.start().map_err(fault)?;
        run_each(std::mem::take(&mut self.poststart), &container.state);
        Ok(())
    }

    fn exec(&mut self, request: &ExecRequest, io: ProcessIo) -> Result<Launched> {
        let init = self.init()?;
        let path = self.config_dir.join("config.json");
        let spec = Spec::load(&path).map_err(|error| ShimError::Runtime {
            action: "exec in",
            message: format!("{}: {error}", path.display()),
        })?;
        let root = Rootfs::open(Path::new(&format!("/proc/{init}/root")))?;
        let (process, home) = exec_process(&spec, request, &root)?;
        io.give_to(host_uid(&spec, process.user().uid()))?;
        let seccomp = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        let terminal_wanted = matches!(io, ProcessIo::Terminal);
        let (outcome, write) = report::channel()?;
        let join = Join {
            init,
            namespaces: namespaces(&spec),
            membership: Cgroup::of(&self.cgroup)?.membership_files().collect(),
            process: &process,
            home: &home,
            seccomp: seccomp.filter(|_| !request.privileged),
            terminal_size: request.terminal_size,
            report: write.as_raw_fd(),
        };
        let (pid, console) = join.spawn(io)?;
        drop(write);
        let terminal = match console {
            // None comes if the process failed before; the outcome says why.
            Some(socket) if terminal_wanted => terminal::receive_master(&socket, CONSOLE_LIMIT).ok(),
            _ => None,
        };
        Ok(Launched { pid, terminal, outcome })
    }

    fn delete(&mut self) -> Result<()> {
        self.run_poststop();
        match std::fs::remove_dir_all(&self.state_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ShimError::io("remove", &self.state_dir)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Runs hooks that change nothing for the container any more: when one fails the others run all the same.
fn run_each(hooks: Vec<Hook>, state: &State) {
    for hook in hooks {
        let path = hook.path().clone();
        if let Err(error) = run_hooks(Some(&vec![hook]), Some(state), None, None, None) {
            tracing::warn!(hook = %path.display(), %error, "a hook failed");
        }
    }
}

/// A container's user as the host numbers it.
fn host_uid(spec: &Spec, uid: u32) -> Option<u32> {
    let ranges = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().as_ref());
    let range = |range: &LinuxIdMapping| IdRange {
        container: range.container_id(),
        host: range.host_id(),
        count: range.size(),
    };
    let Some(ranges) = ranges.filter(|ranges| !ranges.is_empty()) else { return Some(uid) };
    IdMap { uids: ranges.iter().map(range).collect(), gids: Vec::new() }.uid(uid)
}

fn namespaces(spec: &Spec) -> CloneFlags {
    let listed = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    listed.into_iter().flatten().map(|namespace| flag(namespace.typ())).collect()
}

fn flag(kind: LinuxNamespaceType) -> CloneFlags {
    match kind {
        LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
        LinuxNamespaceType::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
        LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
        LinuxNamespaceType::User => CloneFlags::CLONE_NEWUSER,
        LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
        LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
        // nix has no name for it. (CLONE_NEWTIME of linux/sched.h)
        LinuxNamespaceType::Time => CloneFlags::from_bits_retain(0x80),
    }
}
