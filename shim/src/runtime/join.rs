//! Running one more process in a container (exec).
//!
//! libcontainer's own tenant builder would start it without the container's seccomp filter, needs a socket and an
//! intermediate process per exec, and reads its error in a blocking way; so joining is done here: fork, cgroups,
//! namespaces by the first process's pidfd, credentials, filter, exec.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

use libcontainer::syscall::syscall::create_syscall;
use libcontainer::{apparmor, capabilities, seccomp, tty};
use model::shim::{ErrorClass, TerminalSize};
use nix::sched::{CloneFlags, setns};
use nix::unistd::{ForkResult, Gid, Uid, fork};
use oci_spec::runtime::{LinuxSeccomp, Process};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::ProcessIo;
use super::command::{execute, set_environment};
use crate::error::{Result, ShimError};
use crate::report;

/// Everything a joining process needs.
pub struct Join<'a> {
    /// The container's first process.
    pub init: i32,
    /// The container's namespaces, as its configuration lists them.
    pub namespaces: CloneFlags,
    /// `cgroup.procs` files to enter.
    pub membership: Vec<PathBuf>,
    /// What to run and as whom.
    pub process: &'a Process,
    /// Its home directory, for `HOME`.
    pub home: &'a str,
    /// The container's filter.
    pub seccomp: Option<&'a LinuxSeccomp>,
    /// Size of its terminal, which is there before the command looks.
    pub terminal_size: Option<TerminalSize>,
    /// Writing end of its report pipe.
    pub report: RawFd,
}

/// Its standard streams as seen in the child.
enum ChildIo {
    Streams([OwnedFd; 3]),
    Console(OwnedFd),
}

impl Join<'_> {
    /// Forks the process. Returns its number in the host's PID namespace and, with a terminal, the socket over which the
    /// master will come.
    ///
    /// # Errors
    /// If the container is gone or the kernel refuses.
    pub fn spawn(&self, io: ProcessIo) -> Result<(i32, Option<OwnedFd>)> {
        let init = Pid::from_raw(self.init).ok_or(ShimError::WrongState { action: "exec", state: "stopped" })?;
        let pidfd = pidfd_open(init, PidfdFlags::empty()).map_err(ShimError::system("open the container's process"))?;
        let (io, console) = match io {
            ProcessIo::Streams { stdin, stdout, stderr } => (ChildIo::Streams([stdin, stdout, stderr]), None),
            ProcessIo::Terminal => {
                let (ours, theirs) =
                    std::os::unix::net::UnixStream::pair().map_err(ShimError::system("make a socket pair"))?;
                (ChildIo::Console(theirs.into()), Some(ours.into()))
            }
        };
        let own = std::fs::File::open("/proc/self/ns/pid").map_err(ShimError::io("open", "/proc/self/ns/pid"))?;
        let other_pids = self.namespaces.contains(CloneFlags::CLONE_NEWPID);
        if other_pids {
            // Concerns this process's future children only.
            setns(pidfd.as_fd(), CloneFlags::CLONE_NEWPID).map_err(ShimError::system("enter the PID namespace"))?;
        }
        // SAFETY: the shim has one thread, so the child may allocate and do as it likes.
        let forked = unsafe { fork() };
        if let Ok(ForkResult::Child) = forked {
            let class = self.become_process(&pidfd, io);
            // SAFETY: ends the fork without running the shim's destructors.
            unsafe { libc::_exit(i32::from(class.exit_code())) }
        }
        let back = if other_pids { setns(&own, CloneFlags::CLONE_NEWPID) } else { Ok(()) };
        let pid = match forked.map_err(ShimError::system("fork"))? {
            ForkResult::Parent { child } => child.as_raw(),
            ForkResult::Child => 0,
        };
        if let Err(errno) = back {
            crate::cgroup::send(pid, libc::SIGKILL);
            return Err(ShimError::system("return to the PID namespace")(errno));
        }
        Ok((pid, console))
    }

    fn become_process(&self, pidfd: &OwnedFd, io: ChildIo) -> ErrorClass {
        match self.prepare(pidfd, io) {
            Ok(()) => execute(self.process, self.report),
            Err((class, message)) => {
                report::fail(self.report, class, &message);
                class
            }
        }
    }

    fn prepare(&self, pidfd: &OwnedFd, io: ChildIo) -> Result<(), (ErrorClass, String)> {
        for file in &self.membership {
            // "0" is the writer itself. (cgroups(7))
            std::fs::write(file, "0")
                .map_err(|error| runtime("enter cgroup", &format!("{}: {error}", file.display())))?;
        }
        let syscall = create_syscall();
        nix::unistd::setsid().map_err(|errno| runtime("make a session", &errno))?;
        for rlimit in self.process.rlimits().iter().flatten() {
            syscall.set_rlimit(rlimit).map_err(|error| runtime("set a resource limit", &error))?;
        }
        let others = self.namespaces - CloneFlags::CLONE_NEWPID;
        if !others.is_empty() {
            setns(pidfd.as_fd(), others).map_err(|errno| runtime("enter the container's namespaces", &errno))?;
        }
        if others.contains(CloneFlags::CLONE_NEWUSER) {
            // To that namespace it is nobody until it says otherwise.
            set_identity(&[], Uid::from_raw(0), Gid::from_raw(0))
                .map_err(|errno| runtime("become the container's root", &errno))?;
        }
        match io {
            ChildIo::Streams(streams) => {
                for (stream, fd) in streams.iter().zip(0..) {
                    // SAFETY: dup2(2) replaces a standard descriptor of this fork, which no Rust object owns.
                    if unsafe { libc::dup2(stream.as_raw_fd(), fd) } < 0 {
                        return Err(runtime("set up standard streams", &io::Error::last_os_error()));
                    }
                }
            }
            ChildIo::Console(socket) => {
                use std::os::fd::IntoRawFd;
                tty::setup_console(syscall.as_ref(), socket.into_raw_fd(), false)
                    .map_err(|error| runtime("set up a terminal", &error))?;
                if let Some(size) = self.terminal_size {
                    crate::terminal::resize(std::io::stdin(), size)
                        .map_err(|error| runtime("size the terminal", &error))?;
                }
            }
        }
        if self.process.no_new_privileges() == Some(true) {
            nix::sys::prctl::set_no_new_privs().map_err(|errno| runtime("set no_new_privs", &errno))?;
        }
        if let Some(profile) = self.process.apparmor_profile() {
            apparmor::apply_profile(profile).map_err(|error| runtime("apply the AppArmor profile", &error))?;
        }
        self.take_credentials(syscall.as_ref())?;
        set_environment(self.process.env().as_deref().unwrap_or(&[]), self.home);
        Ok(())
    }

    fn take_credentials(&self, syscall: &dyn libcontainer::syscall::Syscall) -> Result<(), (ErrorClass, String)> {
        let user = self.process.user();
        let cwd = self.process.cwd();
        let bad_cwd = |errno: nix::errno::Errno| {
            (
                ErrorClass::BadWorkingDirectory,
                format!("cannot enter working directory {}: {}", cwd.display(), errno.desc()),
            )
        };
        if let Some(umask) = user.umask() {
            nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(umask));
        }
        // Root may enter directories that the user can't, and the other way round on network file systems.
        let entered = nix::unistd::chdir(cwd);
        let groups: Vec<Gid> = user.additional_gids().iter().flatten().map(|gid| Gid::from_raw(*gid)).collect();
        set_identity(&groups, Uid::from_raw(user.uid()), Gid::from_raw(user.gid()))
            .map_err(|errno| runtime("set user and groups", &errno))?;
        syscall.close_range(0).map_err(|error| runtime("mark descriptors", &error))?;
        // Without no_new_privs a filter can be loaded only before capabilities are dropped; with it, as late as possible.
        let late = self.process.no_new_privileges() == Some(true);
        capabilities::reset_effective(syscall).map_err(|error| runtime("reset capabilities", &error))?;
        if !late {
            self.load_filter()?;
        }
        if let Some(caps) = self.process.capabilities() {
            capabilities::drop_privileges(caps, syscall).map_err(|error| runtime("set capabilities", &error))?;
        }
        if entered.is_err() {
            nix::unistd::chdir(cwd).map_err(bad_cwd)?;
        }
        // A directory outside of the root would show here as "(unreachable)". (CVE-2024-21626)
        let inside = nix::unistd::getcwd().map_err(bad_cwd)?;
        if !inside.is_absolute() {
            return Err(bad_cwd(nix::errno::Errno::ENOENT));
        }
        if late { self.load_filter() } else { Ok(()) }
    }

    fn load_filter(&self) -> Result<(), (ErrorClass, String)> {
        let Some(filter) = self.seccomp else { return Ok(()) };
        seccomp::initialize_seccomp(filter).map(drop).map_err(|error| runtime("load the seccomp filter", &error))
    }
}

/// Takes the identity but keeps the permitted capabilities, of which the container's are chosen afterwards.
fn set_identity(groups: &[Gid], uid: Uid, gid: Gid) -> nix::Result<()> {
    nix::unistd::setgroups(groups)?;
    nix::sys::prctl::set_keepcaps(true)?;
    nix::unistd::setresgid(gid, gid, gid)?;
    nix::unistd::setresuid(uid, uid, uid)?;
    nix::sys::prctl::set_keepcaps(false)
}

fn runtime(action: &str, error: &dyn std::fmt::Display) -> (ErrorClass, String) {
    (ErrorClass::Runtime, format!("cannot {action}: {error}"))
}
