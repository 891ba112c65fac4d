//! What the shim does to itself before it touches a container: its own session, signals as a fresh process has them, a
//! mount namespace nobody else sees, and small allocator thresholds.

use std::fs::{self, File};
use std::os::fd::AsRawFd;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use crate::error::{Result, ShimError};

/// The signals that the shim blocks: those it reads from a descriptor, and those that must not end it. A container's
/// processes get an empty mask back right before their exec.
pub fn blocked_signals() -> SigSet {
    [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGPIPE,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
    ]
    .into_iter()
    .collect()
}

/// Gives every signal its default disposition and blocks [`blocked_signals`]. Rust ignores SIGPIPE, daemons ignore or
/// handle more, and all of that would be inherited through exec by the container.
///
/// # Errors
/// If the mask can't be set.
pub fn reset_signals() -> Result<()> {
    // The kernel's struct sigaction, all zero: SIG_DFL. glibc's sigaction(3) refuses the two real-time signals that it keeps
    // for itself, which a parent may have ignored all the same.
    let default = [0u64; 4];
    for signal in 1..=64 {
        // SAFETY: the structure is valid for reading; SIG_DFL runs no code of ours. KILL and STOP are refused harmlessly.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null::<u64>(), 8usize) };
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&blocked_signals()), None).map_err(ShimError::system("block signals"))
}

/// Leaves the caller's session, becomes subreaper, and makes a private mount namespace that still receives the host's
/// later mounts and unmounts.
///
/// # Errors
/// If the kernel refuses; root is needed.
pub fn leave_parent() -> Result<()> {
    // Already a session leader is fine.
    let _ = rustix::process::setsid();
    nix::sys::prctl::set_child_subreaper(true).map_err(ShimError::system("become subreaper"))?;
    // Processes of a container that the shim is about to join must not be able to trace it or open its descriptors.
    nix::sys::prctl::set_dumpable(false).map_err(ShimError::system("become undumpable"))?;
    // Both would be inherited by a container whose configuration doesn't say: the daemon's groups, and its umask.
    nix::unistd::setgroups(&[]).map_err(ShimError::system("drop supplementary groups"))?;
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    unshare(CloneFlags::CLONE_NEWNS).map_err(ShimError::system("make a mount namespace"))?;
    let propagation = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    mount(None::<&str>, "/", None::<&str>, propagation, None::<&str>)
        .map_err(ShimError::system("make mounts private"))?;
    std::env::set_current_dir("/").map_err(ShimError::io("enter", "/"))
}

/// Points standard input and error at `/dev/null`, so that the daemon's files and pipes aren't kept open. Standard output
/// follows with [`detach_stdout`] when the report is written.
///
/// # Errors
/// If `/dev/null` can't be opened.
pub fn detach_stdio() -> Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null").map_err(ShimError::io("open", "/dev/null"))?;
    for fd in [0, 2] {
        duplicate(&null, fd)?;
    }
    // Descriptors that the daemon forgot to close would stay open as long as the container runs.
    // SAFETY: close_range(2) marks descriptors close-on-exec; none of them is owned by Rust code at this point.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    Ok(())
}

/// Points standard output at `/dev/null`, which ends the daemon's reading.
///
/// # Errors
/// If `/dev/null` can't be opened.
pub fn detach_stdout() -> Result<()> {
    let null = File::options().write(true).open("/dev/null").map_err(ShimError::io("open", "/dev/null"))?;
    duplicate(&null, 1)
}

fn duplicate(file: &File, fd: i32) -> Result<()> {
    // SAFETY: dup2(2) replaces one of the standard descriptors, which no Rust object owns.
    match unsafe { libc::dup2(file.as_raw_fd(), fd) } {
        -1 => Err(ShimError::system("redirect standard streams")(std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}

/// Makes the allocator give large buffers back to the kernel at once: a shim is idle almost always.
pub fn keep_memory_small() {
    // SAFETY: mallopt(3) sets parameters of the allocator; this process has one thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 * 1024);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 64 * 1024);
    }
}

/// Gives freed memory back to the kernel.
pub fn trim_memory() {
    // SAFETY: malloc_trim(3) may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

/// The shim's own `oom_score_adj`; libcontainer sets the container's in the shim itself, so it must be put back.
#[must_use]
pub fn oom_score_adj() -> i64 {
    fs::read_to_string("/proc/self/oom_score_adj").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// Sets the shim's own `oom_score_adj`.
pub fn set_oom_score_adj(value: i64) {
    // Not getting the old value back only makes the shim a likelier victim.
    let _ = fs::write("/proc/self/oom_score_adj", value.to_string());
}

/// Whether the shim has CAP_SYS_RESOURCE.
#[must_use]
pub fn may_lower_oom_score() -> bool {
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(rustix::thread::CapabilitySet::SYS_RESOURCE))
}
