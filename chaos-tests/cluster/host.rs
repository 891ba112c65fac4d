//! One host: namespaces, a daemon in them, and a cable.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// The switch's end of a host's cable.
pub fn cable(number: usize) -> String {
    format!("port{number}")
}

/// Namespaces that live as long as their first process, which does nothing but reap.
pub struct Namespaces {
    unshare: Child,
    init: u32,
}

impl Namespaces {
    /// Of a machine of this name, with the mounts of `others` or of this one.
    pub fn new(name: &str, others: Option<&Self>) -> Self {
        let script = "hostname \"$0\"; mount --make-rprivate /; while :; do sleep 600 & wait; done";
        let init = others.map_or_else(std::process::id, |others| others.init);
        let unshare = Command::new("nsenter")
            .args(["-t", &init.to_string(), "--mount", "--", "unshare"])
            .args(["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc", "--"])
            .args(["sh", "-c", script, name])
            .stdin(Stdio::null())
            // What a terminal sends to who started it is not for hosts.
            .process_group(0)
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let begin = Instant::now();
        let init = loop {
            let text = std::fs::read_to_string(&children).unwrap_or_default();
            // Only once it has a name of its own are all its namespaces there.
            if let Some(init) = text.split_whitespace().next().and_then(|pid| pid.parse().ok())
                && Command::new("nsenter")
                    .args(["-t", &format!("{init}"), "--uts", "hostname"])
                    .output()
                    .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).trim() == name)
            {
                break init;
            }
            assert!(begin.elapsed() < PATIENCE, "no namespaces");
            std::thread::sleep(Duration::from_millis(5));
        };
        let namespaces = Self { unshare, init };
        namespaces.run(&["ip", "link", "set", "lo", "up"]);
        namespaces
    }

    /// A command inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "--net", "--mount", "--pid", "--uts", "--ipc", "--", program]);
        command.stdin(Stdio::null());
        command
    }

    /// A command that is inside only as far as the network goes, and knows this machine's processes.
    fn on_its_network(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.init.to_string(), "--net", "--", program]).stdin(Stdio::null());
        command
    }

    /// Runs a program inside, which must succeed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args[0]).args(&args[1..]).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        // The first process of a process namespace takes all others with it.
        let _ = Command::new("kill").args(["-9", &self.init.to_string()]).status();
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// One host.
pub struct Host {
    dir: PathBuf,
    program: PathBuf,
    number: usize,
    namespaces: Option<Namespaces>,
    daemon: Option<Child>,
}

/// What fills a disk, in a host's data directory.
const BALLAST: &str = "ballast";

impl Host {
    pub(super) fn new(dir: &Path, program: &Path, number: usize) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        Self { dir: dir.into(), program: program.into(), number, namespaces: None, daemon: None }
    }

    /// Its address on the switch.
    pub fn address(&self) -> String {
        format!("10.77.0.{}", self.number)
    }

    /// Its host name.
    pub fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// Whether it runs.
    pub fn has_power(&self) -> bool {
        self.namespaces.is_some()
    }

    pub(super) fn power_on(&mut self, switch: &Namespaces) {
        let namespaces = Namespaces::new(&self.name(), Some(switch));
        let (port, init) = (cable(self.number), namespaces.init.to_string());
        let address = format!("{}/24", self.address());
        // The port of a host that has lost its power goes a moment later.
        let begin = Instant::now();
        loop {
            let words = ["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &init];
            if switch.on_its_network("ip").args(words).stderr(Stdio::null()).status().unwrap().success() {
                break;
            }
            assert!(begin.elapsed() < PATIENCE, "no cable");
            std::thread::sleep(Duration::from_millis(20));
        }
        switch.run(&["ip", "link", "set", &port, "master", "switch", "up"]);
        namespaces.run(&["ip", "addr", "add", &address, "dev", "eth0"]);
        namespaces.run(&["ip", "link", "set", "eth0", "up"]);
        // A boot empties what need not survive one.
        let _ = std::fs::remove_dir_all(self.run_dir());
        self.namespaces = Some(namespaces);
    }

    pub(super) fn power_off(&mut self) {
        self.namespaces = None;
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.wait();
        }
    }

    fn run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// The daemon's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("daemon.log")
    }

    /// Prints the end of the daemon's log.
    pub fn tell(&self) {
        let text = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("--- {}\n{}", self.name(), lines[lines.len().saturating_sub(40)..].join("\n"));
    }

    pub(super) fn start_daemon(&mut self) {
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let daemon = self
            .namespaces
            .as_ref()
            .unwrap()
            .command(&self.program.display().to_string())
            .args(["daemon", "--log", "debug", "--data-dir"])
            .arg(self.data_dir())
            .arg("--run-dir")
            .arg(self.run_dir())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        let begin = Instant::now();
        while !self.orca(&["ps"]).status.success() {
            if begin.elapsed() > PATIENCE {
                self.tell();
                panic!("the daemon of {} does not answer", self.name());
            }
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    pub(super) fn kill_daemon(&mut self) {
        self.signal_daemon("-KILL");
    }

    pub(super) fn stop_daemon(&mut self) {
        self.signal_daemon("-TERM");
    }

    fn signal_daemon(&mut self, signal: &str) {
        self.send(signal);
        let _ = self.daemon.take().unwrap().wait();
    }

    /// Sends a signal to its daemon.
    pub(super) fn send(&self, signal: &str) {
        // The parent of the daemon is the one that has entered its namespaces.
        let parent = self.daemon.as_ref().unwrap().id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap();
        for pid in children.split_whitespace() {
            let _ = Command::new("kill").args([signal, pid]).status();
        }
    }

    /// Gives it a disk of this size (as mount(8) has it for a tmpfs) for its data, which outlives its power.
    pub(super) fn give_disk(&self, switch: &Namespaces, size: &str) {
        let dir = self.data_dir();
        std::fs::create_dir_all(&dir).unwrap();
        let mount = ["mount", "-t", "tmpfs", "-o", &format!("size={size}"), "disk", dir.to_str().unwrap()];
        let done = switch.command("env").args(mount).status().unwrap();
        assert!(done.success(), "{mount:?}");
    }

    /// Fills its disk to the last byte.
    pub fn fill_disk(&self) {
        let ballast = self.data_dir().join(BALLAST);
        let script =
            "for size in 1M 4k 1; do cat /dev/zero | dd bs=$size oflag=append conv=notrunc of=\"$0\"; done; true";
        let output = self.namespaces.as_ref().unwrap().command("sh").args(["-c", script]).arg(&ballast).output();
        output.unwrap();
    }

    /// Makes room again.
    pub fn free_disk(&self) {
        self.run(&["rm", "-f", self.data_dir().join(BALLAST).to_str().unwrap()]);
    }

    /// Runs a program on it, which must succeed.
    pub fn run(&self, args: &[&str]) -> String {
        self.namespaces.as_ref().unwrap().run(args)
    }

    /// Whether it has a daemon, which may stand still.
    pub fn has_daemon(&self) -> bool {
        self.daemon.is_some()
    }

    /// Its `orca`.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A command on it; it has power.
    pub fn command(&self, program: &str) -> Command {
        self.namespaces.as_ref().unwrap().command(program)
    }

    /// Where its daemon answers.
    pub fn socket(&self) -> String {
        format!("unix://{}", self.run_dir().join("orca.sock").display())
    }

    /// A program on it, to be started.
    pub fn run_command(&self, program: &str) -> Command {
        self.namespaces.as_ref().unwrap().command(program)
    }

    /// Runs `orca` against its daemon.
    pub fn orca(&self, args: &[&str]) -> Output {
        self.orca_command(args).output().unwrap()
    }

    /// `orca` against its daemon, to be started.
    pub fn orca_command(&self, args: &[&str]) -> Command {
        let files = self.dir.join("files");
        std::fs::create_dir_all(&files).unwrap();
        let mut command = Command::new(&self.program);
        command.env("ORCA_HOST", self.socket()).env("NO_COLOR", "1").current_dir(files).args(args).stdin(Stdio::null());
        command
    }

    /// Runs `orca` with something on its standard input.
    pub fn orca_with(&self, args: &[&str], input: &str) -> Output {
        let file = self.dir.join("input");
        std::fs::write(&file, input).unwrap();
        self.orca_command(args).stdin(File::open(file).unwrap()).output().unwrap()
    }

    /// Runs `orca`, which must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.orca(args);
        if !output.status.success() {
            self.tell();
            panic!("orca {args:?} on {}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `orca`, which must fail; what it says.
    pub fn fails(&self, args: &[&str]) -> String {
        let output = self.orca(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "orca {args:?} on {} did not fail", self.name());
        error
    }

    pub(super) fn reset(&mut self) {
        if self.daemon.is_none() && self.namespaces.is_some() {
            self.start_daemon();
        }
        let output = self.orca(&["system", "reset", "--force"]);
        if !output.status.success() {
            eprintln!("{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        }
        let begin = Instant::now();
        if let Some(mut daemon) = self.daemon.take() {
            while matches!(daemon.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(15) {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.namespaces = None;
    }
}
