//! Finding and executing a command inside the container, and telling "not found" from "not executable" as Docker does.

use std::ffi::CString;
use std::os::fd::RawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use model::shim::ErrorClass;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use oci_spec::runtime::{Process, Spec};

use crate::report;

/// The label of what this thread executes next. (selinux(8))
const SELINUX_NEXT: &str = "/proc/thread-self/attr/exec";

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The last step of libcontainer's first process: execute, or report.
#[derive(Clone)]
pub struct ReportingExecutor {
    /// Writing end of the report pipe; inherited by the process that executes.
    pub report: RawFd,
}

impl Executor for ReportingExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let process = spec.process().as_ref().ok_or(ExecutorError::InvalidArg)?;
        // libcontainer has set the variables in the order of a hash map; people read them in the order in which they gave them.
        let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
        set_environment(process.env().as_deref().unwrap_or(&[]), &home);
        let class = execute(process, self.report);
        // SAFETY: _exit(2) ends this forked process without running the parent's destructors.
        unsafe { libc::_exit(i32::from(class.exit_code())) }
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        let missing = || ExecutorValidationError::ArgValidationError("config.json has no process".to_owned());
        let process = spec.process().as_ref().ok_or_else(missing)?;
        find(process).map(drop).map_err(|(class, message)| {
            report::fail(self.report, class, &message);
            ExecutorValidationError::ArgValidationError(message)
        })
    }
}

/// Where a process's command is, by its `PATH`.
fn find(process: &Process) -> Result<PathBuf, (ErrorClass, String)> {
    let args = process.args().as_deref().unwrap_or(&[]);
    let Some(name) = args.first().filter(|name| !name.is_empty()) else {
        return Err((
            ErrorClass::CommandNotFound,
            "no command is given: config.json's process.args is empty".to_owned(),
        ));
    };
    if name.contains('/') {
        return executable(Path::new(name)).map(|()| PathBuf::from(name));
    }
    let env = process.env().as_deref().unwrap_or(&[]);
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    let mut denied = None;
    for dir in path.split(':').filter(|dir| !dir.is_empty()) {
        let candidate = Path::new(dir).join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(fault @ (ErrorClass::CommandNotExecutable, _)) => denied = denied.or(Some(fault)),
            Err(_) => {}
        }
    }
    Err(denied.unwrap_or_else(|| {
        (ErrorClass::CommandNotFound, format!("exec: {name:?}: executable file not found in $PATH"))
    }))
}

fn executable(path: &Path) -> Result<(), (ErrorClass, String)> {
    let class = |error: &std::io::Error| match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENOTDIR) => ErrorClass::CommandNotFound,
        _ => ErrorClass::CommandNotExecutable,
    };
    let data = std::fs::metadata(path).map_err(|error| (class(&error), format!("exec: {path:?}: {error}")))?;
    if data.is_dir() {
        return Err((ErrorClass::CommandNotExecutable, format!("exec: {path:?}: is a directory")));
    }
    if data.permissions().mode() & 0o111 == 0 {
        return Err((ErrorClass::CommandNotExecutable, format!("exec: {path:?}: permission denied")));
    }
    Ok(())
}

/// Executes the process's command with the current environment; returns only if that failed, having reported it.
pub fn execute(process: &Process, report: RawFd) -> ErrorClass {
    if let Some(label) = process.selinux_label()
        && let Err(error) = std::fs::write(SELINUX_NEXT, label)
    {
        report::fail(report, ErrorClass::Runtime, &format!("cannot have the SELinux label {label}: {error}"));
        return ErrorClass::Runtime;
    }
    let (class, message) = match find(process) {
        Ok(path) => {
            let errno = replace(&path, process.args().as_deref().unwrap_or(&[]));
            let class =
                if errno == Errno::ENOENT { ErrorClass::CommandNotFound } else { ErrorClass::CommandNotExecutable };
            (class, format!("exec: {path:?}: {}", errno.desc()))
        }
        Err(fault) => fault,
    };
    report::fail(report, class, &message);
    class
}

fn replace(path: &Path, args: &[String]) -> Errno {
    use std::os::unix::ffi::OsStrExt;
    let (Ok(path), Ok(args)) = (
        CString::new(path.as_os_str().as_bytes()),
        args.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<Vec<_>, _>>(),
    ) else {
        return Errno::EINVAL;
    };
    // The shim blocks signals; a command must start with none blocked.
    if let Err(errno) = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None) {
        return errno;
    }
    match nix::unistd::execv(&path, &args) {
        Err(errno) => errno,
        Ok(never) => match never {},
    }
}

/// The variables of `entries` in their order, a later value of a name in place of the earlier; `HOME` is added if they lack it.
fn environment<'a>(entries: &'a [String], home: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut wanted: Vec<(&str, &str)> = Vec::with_capacity(entries.len() + 1);
    let usable = |(name, value): &(&str, &str)| !name.is_empty() && !name.contains('\0') && !value.contains('\0');
    for (name, value) in entries.iter().filter_map(|entry| entry.split_once('=')).filter(usable) {
        match wanted.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => wanted.push((name, value)),
        }
    }
    wanted.retain(|(name, value)| *name != "HOME" || !value.is_empty());
    if !wanted.iter().any(|(name, _)| *name == "HOME") {
        wanted.push(("HOME", home));
    }
    wanted
}

/// Replaces this process's environment by `entries`; `HOME` is added if they lack it.
#[allow(clippy::disallowed_methods)] // a shim has one thread
pub fn set_environment(entries: &[String], home: &str) {
    // SAFETY: this process is a fork with one thread, so nobody reads the environment meanwhile.
    unsafe {
        libc::clearenv();
        for (name, value) in environment(entries, home) {
            std::env::set_var(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_order() {
        let entries = ["PATH=/bin", "B=1", "no equals", "A=", "=x", "B=2=3"].map(str::to_owned);
        assert_eq!(environment(&entries, "/root"), [("PATH", "/bin"), ("B", "2=3"), ("A", ""), ("HOME", "/root")]);
        let entries = ["HOME=", "C=1"].map(str::to_owned);
        assert_eq!(environment(&entries, "/root"), [("C", "1"), ("HOME", "/root")]);
        let entries = ["HOME=/h", "C=1"].map(str::to_owned);
        assert_eq!(environment(&entries, "/root"), [("HOME", "/h"), ("C", "1")]);
    }
}
