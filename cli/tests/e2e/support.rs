//! A node for a test: directories, a network namespace and a daemon of its own, all gone at the end.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A node that lives as long as this value.
pub struct Node {
    dir: TempDir,
    daemon: Option<Child>,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    has_disk: bool,
}

static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Node {
    /// Makes a network namespace that stands for a host, and starts a daemon on it.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with further arguments of the daemon.
    pub fn start_with(args: &[&str]) -> Self {
        let mut node = Self::prepare(args);
        node.start_daemon();
        node
    }

    /// A host without a daemon.
    pub fn prepare(args: &[&str]) -> Self {
        let prefix = format!("orca-t{}-{}-", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap();
        let node = Self {
            dir,
            daemon: None,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            variables: Vec::new(),
            has_disk: false,
        };
        net::netlink::netns::create(&node.host()).unwrap();
        node.in_host(&["ip", "link", "set", "lo", "up"]);
        node
    }

    /// Further arguments of the daemon, before it is started.
    pub fn add_args(&mut self, args: &[&str]) {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
    }

    /// A variable of the daemon's environment, before it is started.
    pub fn add_env(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The file that names the host's network namespace.
    pub fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }

    /// A directory for the test's own files.
    pub fn files(&self) -> PathBuf {
        let path = self.dir.path().join("files");
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// Writes a file into that directory and tells its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.files().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The daemon's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Gives the node a disk of its own for its data: a tmpfs of this size. Before the daemon is started.
    pub fn mount_disk(&mut self, size: &str) {
        self.mount_disk_of("tmpfs", &format!("size={size}"));
    }

    /// The same with another file system in memory.
    pub fn mount_disk_of(&mut self, kind: &str, options: &str) {
        std::fs::create_dir_all(self.data_dir()).unwrap();
        let disk = self.data_dir().display().to_string();
        let status = Command::new("mount").args(["-t", kind, "-o", options, "orca-test", &disk]).status().unwrap();
        assert!(status.success());
        self.has_disk = true;
    }

    /// Everything of the node is below it.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What names of the node's cgroups and devices have in them.
    pub fn key(&self) -> String {
        let text = std::fs::read_to_string(self.data_dir().join("node.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = document["id"].as_str().unwrap().parse().unwrap();
        net::plan::NodeKey::of(id).as_str().to_owned()
    }

    /// The daemon's process.
    pub fn daemon_pid(&self) -> i32 {
        self.daemon.as_ref().unwrap().id().try_into().unwrap()
    }

    /// Resets the node and waits for the daemon's end.
    pub fn reset(&mut self) {
        self.ok(&["system", "reset", "--force"]);
        let ended = self.daemon.take().unwrap().wait().unwrap();
        assert!(ended.success(), "{}", self.daemon_log());
    }

    /// The daemon's sockets and namespaces.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Starts the daemon and waits until it answers.
    pub fn start_daemon(&mut self) {
        let log = File::options().create(true).append(true).open(self.dir.path().join("daemon.log")).unwrap();
        let daemon = self
            .host_command(env!("CARGO_BIN_EXE_orca"))
            .args(["daemon", "--log", "debug", "--data-dir"])
            .arg(self.data_dir())
            .arg("--run-dir")
            .arg(self.run_dir())
            .args(&self.args)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(daemon);
        self.wait_for("the daemon answers", || self.orca(&["ps"]).status.success());
    }

    /// Ends the daemon as a crash would.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// The daemon's own log, for a failing test's message.
    pub fn daemon_log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("daemon.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// A command on the host's network.
    pub fn host_command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.host().display())).arg("--").arg(program);
        command
    }

    /// Runs a program on the host's network; it must succeed.
    pub fn in_host(&self, args: &[&str]) -> String {
        let output = self.host_command(args[0]).args(&args[1..]).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Where the daemon answers.
    pub fn address(&self) -> String {
        format!("unix://{}", self.run_dir().join("orca.sock").display())
    }

    /// `orca` with these arguments, to be run by the test itself.
    pub fn orca_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orca"));
        command
            .env("ORCA_HOST", self.address())
            .env("NO_COLOR", "1")
            .current_dir(self.files())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    /// Runs `orca`.
    pub fn orca(&self, args: &[&str]) -> Output {
        self.orca_command(args).output().unwrap()
    }

    /// Runs `orca`, which must succeed; what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.orca(args);
        assert!(
            output.status.success(),
            "orca {args:?} ended with {}\n{}{}\n--- daemon\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.daemon_log()
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs `orca`, which must end with this code; what it printed on standard error.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.orca(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "orca {args:?}\n{error}\n--- daemon\n{}", self.daemon_log());
        error
    }

    /// Asks a page from the host; `None` when nobody answers.
    pub fn get(&self, url: &str) -> Option<String> {
        let output =
            self.host_command("curl").args(["-fsS", "--max-time", "5", url]).stdin(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until something is so.
    pub fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !done() {
            assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n--- daemon\n{}", self.daemon_log());
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    /// Imports the busybox image.
    pub fn with_busybox(self) -> Self {
        let tar = busybox(&self.files());
        self.ok(&["import", tar.to_str().unwrap(), "busybox", "-c", "CMD [\"sh\"]"]);
        self
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- daemon\n{}", self.daemon_log());
        }
        if self.daemon.is_some() {
            let reset = self.orca(&["system", "reset", "--force"]);
            if !reset.status.success() {
                eprintln!("{}", String::from_utf8_lossy(&reset.stderr));
            }
        }
        if let Some(mut daemon) = self.daemon.take() {
            let begin = Instant::now();
            while matches!(daemon.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        if self.has_disk {
            let _ = Command::new("umount").arg("-l").arg(self.data_dir()).status();
        }
        let _ = net::netlink::netns::remove(&self.host());
        // A daemon that the test left dead has not unmounted what it had.
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = format!("{}/", self.dir.path().display());
        for point in table.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&below)) {
            let _ = Command::new("umount").args(["-l", point]).output();
        }
    }
}

/// A root file system of static busybox with its applets.
pub fn busybox(dir: &Path) -> PathBuf {
    let tar = dir.join("busybox.tar");
    let script = r#"
        set -e; root=$(mktemp -d); mkdir -p $root/bin $root/etc $root/tmp $root/root $root/var/data; chmod 1777 $root/tmp
        cp "$(command -v busybox)" $root/bin/busybox
        for applet in $($root/bin/busybox --list); do [ $applet = busybox ] || ln -sf /bin/busybox $root/bin/$applet; done
        printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n' > $root/etc/passwd
        printf 'root:x:0:\nuser:x:1000:\nextra:x:2000:user\n' > $root/etc/group
        echo from-the-image > $root/var/data/seed; chown 1000:1000 $root/var/data
        tar --numeric-owner -C $root -cf "$0" .; rm -rf $root"#;
    let status = Command::new("sh").args(["-c", script]).arg(&tar).status().unwrap();
    assert!(status.success());
    tar
}
