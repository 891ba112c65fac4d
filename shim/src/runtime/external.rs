//! A runtime that is a program of its own, behind the [`Runtime`] seam: runc, crun, or whatever else has the OCI command
//! line (create, start, exec, delete).
//!
//! The program ends after each step; what it made is adopted by the shim, which is a subreaper.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use model::shim::{ErrorClass, ExecRequest};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use oci_spec::runtime::{Process, Spec};

use super::process::exec_process;
use super::{Launched, ProcessIo, Runtime};
use crate::error::{Result, ShimError};
use crate::report;
use crate::rootfs::Rootfs;
use crate::terminal::ConsoleListener;

const CONSOLE_LIMIT: Duration = Duration::from_secs(5);
/// How long a step may take, hooks included.
const STEP_LIMIT: Duration = Duration::from_secs(120);
/// How much of its complaints is read.
const COMPLAINT_MAX: u64 = 16 << 10;

/// One container made by a program.
pub struct External {
    program: PathBuf,
    id: String,
    /// Holds `config.json`.
    config_dir: PathBuf,
    state_dir: PathBuf,
    init: Option<i32>,
    execs: u64,
    limit: Duration,
    /// Open until the first process was told to execute its command, whose success nobody else tells.
    report: Option<OwnedFd>,
}

impl External {
    /// A runtime for container `id` that is `program`; `state_dir` is for its state and for sockets.
    #[must_use]
    pub fn new(program: &Path, id: &str, config_dir: &Path, state_dir: &Path) -> Self {
        Self {
            program: program.to_owned(),
            id: id.to_owned(),
            config_dir: config_dir.to_owned(),
            state_dir: state_dir.to_owned(),
            init: None,
            execs: 0,
            limit: STEP_LIMIT,
            report: None,
        }
    }

    /// The program with what each step needs. Its own output goes to a file, as the container's may not mix with it.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.config_dir).arg("--root").arg(self.state_dir.join("runtime"));
        command.arg("--log").arg(self.state_dir.join("runtime.log"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn run(&self, action: &'static str, mut command: Command) -> Result<()> {
        let log = self.state_dir.join("runtime.log");
        // A step's complaint must not be taken for the next one's.
        let _ = std::fs::remove_file(&log);
        // A group of its own, so that it can be ended with what it has begun.
        let mut child = command.process_group(0).spawn().map_err(ShimError::io("run", &self.program))?;
        let Some(status) = ended_within(&mut child, self.limit)? else {
            let message = format!(
                "{} did not {action} it within {} s, and was killed; try it by hand, or use another runtime",
                self.program.display(),
                self.limit.as_secs_f64()
            );
            return Err(ShimError::Runtime { action, message });
        };
        if status.success() {
            return Ok(());
        }
        // What it says last is why.
        let text = end_of(&log).unwrap_or_default();
        Err(complaint(action, &String::from_utf8_lossy(&text), &status.to_string()))
    }

    /// Runs a step that makes a process, and returns its number and its terminal.
    fn launch(&self, action: &'static str, mut command: Command, io: ProcessIo) -> Result<(i32, Option<OwnedFd>)> {
        let pid_file = self.state_dir.join("pid");
        let _ = std::fs::remove_file(&pid_file);
        command.arg("--pid-file").arg(&pid_file);
        let mut console = None;
        match io {
            ProcessIo::Streams { stdin, stdout, stderr } => {
                command.stdin(stdin).stdout(stdout).stderr(stderr);
            }
            ProcessIo::Terminal => {
                // A name relative to the directory that it runs in, which is where `create` goes by itself: an absolute path
                // may be too long for a socket's address.
                console = Some(ConsoleListener::bind(&self.config_dir)?);
                command.args(["--console-socket", "console.sock"]);
            }
        }
        command.arg(&self.id);
        let done = self.run(action, command);
        if done.is_err() && console.is_some() {
            // Nobody will ever connect.
            let _ = std::fs::remove_file(self.config_dir.join("console.sock"));
        }
        done?;
        let terminal = console.map(|listener| listener.accept(CONSOLE_LIMIT)).transpose()?;
        let text = std::fs::read_to_string(&pid_file).map_err(ShimError::io("read", &pid_file))?;
        let message = || ShimError::Runtime { action, message: format!("it wrote {text:?} as a process number") };
        // 0 and below would mean groups of processes.
        let pid = text.trim().parse().ok().filter(|pid| *pid > 0).ok_or_else(message)?;
        Ok((pid, terminal))
    }
}

/// Waits for the end of a step; `None`: it took too long, and is no more.
fn ended_within(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    let pid = rustix::process::Pid::from_child(child);
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    let process = process.map_err(ShimError::system("watch the runtime"))?;
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(process.as_fd(), PollFlags::POLLIN)], wait) {
            Err(nix::errno::Errno::EINTR) => {}
            Ok(0) if left.is_zero() => {
                let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
                return child.wait().map(|_| None).map_err(ShimError::system("wait for the runtime"));
            }
            Ok(0) => {}
            Ok(_) => return child.wait().map(Some).map_err(ShimError::system("wait for the runtime")),
            Err(errno) => return Err(ShimError::system("watch the runtime")(errno)),
        }
    }
}

fn end_of(log: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(COMPLAINT_MAX)))?;
    let mut text = Vec::new();
    file.take(COMPLAINT_MAX).read_to_end(&mut text)?;
    Ok(text)
}

impl Runtime for External {
    fn create(&mut self, io: ProcessIo) -> Result<Launched> {
        std::fs::create_dir_all(&self.state_dir).map_err(ShimError::io("make", &self.state_dir))?;
        let (outcome, write) = report::channel()?;
        let mut command = self.command();
        command.arg("create").arg("--bundle").arg(&self.config_dir);
        let (pid, terminal) = self.launch("create", command, io)?;
        self.init = Some(pid);
        self.report = Some(write);
        Ok(Launched { pid, terminal, outcome })
    }

    fn start(&mut self) -> Result<()> {
        let mut command = self.command();
        command.arg("start").arg(&self.id);
        self.run("start", command)?;
        self.report = None;
        Ok(())
    }

    fn exec(&mut self, request: &ExecRequest, io: ProcessIo) -> Result<Launched> {
        let init = self.init.ok_or(ShimError::WrongState { action: "exec", state: "stopped" })?;
        let path = self.config_dir.join("config.json");
        let spec = Spec::load(&path).map_err(|error| ShimError::Runtime {
            action: "exec in",
            message: format!("{}: {error}", path.display()),
        })?;
        let root = Rootfs::open(Path::new(&format!("/proc/{init}/root")))?;
        let (mut process, home) = exec_process(&spec, request, &root)?;
        add_home(&mut process, &home);
        self.execs += 1;
        let file = self.state_dir.join(format!("exec-{}.json", self.execs));
        let bytes = serde_json::to_vec(&process).map_err(|source| ShimError::Json { path: file.clone(), source })?;
        std::fs::write(&file, bytes).map_err(ShimError::io("write", &file))?;
        let mut command = self.command();
        command.args(["exec", "--detach", "--process"]).arg(&file);
        let (outcome, _ends_with_this_call) = report::channel()?;
        let launched = self.launch("exec in", command, io);
        // It may hold the environment's secrets.
        let _ = std::fs::remove_file(&file);
        let (pid, terminal) = launched?;
        Ok(Launched { pid, terminal, outcome })
    }

    fn delete(&mut self) -> Result<()> {
        if self.init.take().is_some() {
            let mut command = self.command();
            command.args(["delete", "--force"]).arg(&self.id);
            // What it keeps is below the state directory, which goes in any case.
            let _ = self.run("delete", command);
        }
        match std::fs::remove_dir_all(&self.state_dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(ShimError::io("remove", &self.state_dir)(error))
            }
            _ => Ok(()),
        }
    }
}

fn add_home(process: &mut Process, home: &str) {
    let mut env = process.env().clone().unwrap_or_default();
    if !env.iter().any(|entry| entry.starts_with("HOME=") && entry.len() > 5) {
        env.push(format!("HOME={home}"));
    }
    process.set_env(Some(env));
}

/// What the program says, and which kind of failure that is. Its words are all that tells a missing command from others, as
/// Docker has it too.
fn complaint(action: &'static str, log: &str, status: &str) -> ShimError {
    let message = log.lines().rev().find_map(message).unwrap_or_else(|| status.to_owned());
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let class = match () {
        () if has(&["chdir to cwd", "chdir `", "set working directory"]) => ErrorClass::BadWorkingDirectory,
        () if has(&["executable file not found", "executable file `"]) => ErrorClass::CommandNotFound,
        () if has(&["exec: ", "exec `", "open executable"]) && has(&["no such file", "No such file"]) => {
            ErrorClass::CommandNotFound
        }
        () if has(&["exec: ", "exec `", "open executable"])
            && has(&["ermission denied", "s a directory", "xec format error"]) =>
        {
            ErrorClass::CommandNotExecutable
        }
        () => return ShimError::Runtime { action, message },
    };
    ShimError::Process { class, message }
}

/// The message in a line of its log: runc writes `level=error msg="…"` by default, crun the bare text with a time before it.
fn message(line: &str) -> Option<String> {
    if line.trim().is_empty() || line.contains("level=warning") || line.contains("level=debug") {
        return None;
    }
    let quoted = line.split_once("msg=\"").and_then(|(_, rest)| rest.rsplit_once('"'));
    let text = quoted.map_or(line, |(message, _)| message);
    // 2026-01-31T10:00:00.000000Z: text
    let bare =
        text.split_once(": ").filter(|(time, _)| time.len() > 18 && time.starts_with("20")).map(|(_, bare)| bare);
    Some(bare.unwrap_or(text).replace("\\\"", "\""))
}

/// Opens the program once, so that a wrong path is told before anything is made.
///
/// # Errors
/// If it is not there.
pub fn check(program: &Path) -> Result<()> {
    File::open(program).map(drop).map_err(ShimError::io("open runtime", program))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_hangs_is_ended_and_named() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("stuck");
        std::fs::write(&program, "#!/bin/sh\nsleep 1000\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut runtime = External::new(&program, "id", dir.path(), dir.path());
        runtime.limit = Duration::from_millis(200);
        let error = runtime.run("create", runtime.command()).unwrap_err().to_string();
        assert!(error.contains("stuck did not create it within 0.2 s"), "{error}");
        runtime.limit = Duration::from_secs(60);
        std::fs::write(&program, "#!/bin/sh\nexit 3\n").unwrap();
        let error = runtime.run("start", runtime.command()).unwrap_err().to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }

    #[test]
    fn complaints_tell_dockers_exit_codes() {
        let class = |log: &str| complaint("create", log, "exit status: 1").class();
        let runc = r#"time="2026-01-31T10:00:00Z" level=error msg="runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH""#;
        assert_eq!(class(runc), ErrorClass::CommandNotFound);
        let crun = "2026-01-31T10:00:00.000000Z: executable file `nope` not found in $PATH: No such file or directory";
        assert_eq!(class(crun), ErrorClass::CommandNotFound);
        assert!(complaint("create", crun, "").to_string().starts_with("executable file"), "{crun}");
        assert_eq!(class("open executable: Permission denied"), ErrorClass::CommandNotExecutable);
        assert_eq!(
            class("level=error msg=\"exec: \\\"/etc/passwd\\\": permission denied\""),
            ErrorClass::CommandNotExecutable
        );
        assert_eq!(class("something else"), ErrorClass::Runtime);
        assert!(complaint("create", "", "exit status: 1").to_string().contains("exit status: 1"));
    }
}
