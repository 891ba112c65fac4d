//! `orca init`, hidden: the first process of a container that was made with `--init`.
//!
//! It runs the container's command as its child, hands every signal on to it, takes leave of all processes that lose their
//! parent, and ends as the command does. One thread, no runtime.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, execvp, fork, getpgrp, setpgid};

/// Runs the command in `args`.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<CString> = args.filter_map(|word| CString::new(word.into_vec()).ok()).collect();
    let Some(program) = words.first() else {
        eprintln!("orca init: no command to run");
        return ExitCode::from(125);
    };
    let all = SigSet::all();
    let mut before = SigSet::empty();
    if let Err(errno) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&all), Some(&mut before)) {
        eprintln!("orca init: cannot block signals: {}", errno.desc());
        return ExitCode::from(125);
    }
    // SAFETY: this process has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => run(program, &words, &before),
        Ok(ForkResult::Parent { child }) => watch(child, &all),
        Err(errno) => {
            eprintln!("orca init: cannot fork: {}", errno.desc());
            ExitCode::from(125)
        }
    }
}

/// In the child: a process group of its own, in front of the terminal if there is one, so that its keys reach the command.
fn run(program: &CString, words: &[CString], mask: &SigSet) -> ExitCode {
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    // Signals are blocked still: from the background this would stop the process. ENOTTY: there is no terminal.
    let _ = nix::unistd::tcsetpgrp(std::io::stdin(), getpgrp());
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(mask), None);
    let errno = match execvp(program, words) {
        Err(errno) => errno,
        Ok(never) => match never {},
    };
    eprintln!("orca init: exec {program:?}: {}", errno.desc());
    ExitCode::from(if errno == Errno::ENOENT { 127 } else { 126 })
}

fn watch(child: Pid, all: &SigSet) -> ExitCode {
    loop {
        // SAFETY: sigwaitinfo(2) reads a set that lives, and is given no place for details.
        let signal = unsafe { libc::sigwaitinfo(all.as_ref(), std::ptr::null_mut()) };
        match signal {
            libc::SIGCHLD => {
                if let Some(code) = reap(child) {
                    return ExitCode::from(code);
                }
            }
            // An interruption is no event; a command that has just ended needs no signal.
            ..=0 => {}
            signal => crate::cgroup::send(child.as_raw(), signal),
        }
    }
}

/// Takes leave of all that has ended; the command's exit code if it is among them.
fn reap(child: Pid) -> Option<u8> {
    let mut code = None;
    loop {
        let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => (pid, status),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
            Ok(WaitStatus::StillAlive) | Err(_) => return code,
            Ok(_) => continue,
        };
        if pid == child {
            code = Some(u8::try_from(status & 0xff).unwrap_or(u8::MAX));
        }
    }
}
