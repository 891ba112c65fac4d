//! A bundle with a busybox root file system, a shim that runs it, and a client of its socket.
#![allow(dead_code, clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use model::shim::frame::{Kind, decode, encode};
use model::shim::*;
use serde_json::{Value, json};

static NEXT: AtomicU32 = AtomicU32::new(0);

const APPLETS: &[&str] = &[
    "sh", "true", "false", "cat", "echo", "sleep", "ps", "id", "stty", "tty", "kill", "seq", "head", "dd", "yes",
    "grep", "pwd", "env", "wc", "mkdir", "ls", "mknod", "printf", "readlink", "test",
];

pub struct Sandbox {
    pub dir: tempfile::TempDir,
    pub id: String,
    pub config: Value,
    pub spec: ShimSpec,
    children: Vec<Child>,
}

impl Sandbox {
    pub fn new(args: &[&str]) -> Self {
        let id = format!("orca-t{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::Builder::new().prefix(&id).tempdir().unwrap();
        let lower = dir.path().join("lower");
        for name in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "secret"] {
            fs::create_dir_all(lower.join(name)).unwrap();
        }
        fs::copy("/bin/busybox", lower.join("bin/busybox"))
            .or_else(|_| fs::copy("/usr/bin/busybox", lower.join("bin/busybox")))
            .unwrap();
        for applet in APPLETS {
            symlink("busybox", lower.join("bin").join(applet)).unwrap();
        }
        fs::write(lower.join("bin/plain"), "no program").unwrap();
        fs::write(lower.join("bin/garbage"), "\u{1}\u{2}").unwrap();
        fs::set_permissions(lower.join("bin/garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        fs::write(lower.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/tmp:/bin/sh\n").unwrap();
        fs::write(lower.join("etc/group"), "root:x:0:\nweb:x:34:\nvideo:x:44:web\n").unwrap();
        let snapshot = Snapshot {
            lower: vec![lower],
            upper: dir.path().join("upper"),
            work: dir.path().join("work"),
            volatile: false,
        };
        for path in [&snapshot.upper, &snapshot.work] {
            fs::create_dir(path).unwrap();
        }
        let cgroup = PathBuf::from(format!("/{id}/c"));
        let config = config(args, &cgroup);
        let spec = ShimSpec {
            version: SPEC_VERSION,
            container_id: id.clone(),
            run_generation: 1,
            snapshot: Some(snapshot),
            log: LogConfig::plain(dir.path().join("c.log")),
            cgroup,
            terminal: false,
            terminal_size: None,
            stdin: StdinMode::Null,
            state_dir: "state".into(),
            start_immediately: true,
            user: None,
            create_cwd: false,
            runtime: None,
            shared_shm: None,
            users: None,
            namespace_dirs: Vec::new(),
            donors: Vec::new(),
        };
        Self { dir, id, config, spec, children: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn terminal(mut self) -> Self {
        self.spec.terminal = true;
        self.spec.stdin = StdinMode::Open;
        self.config["process"]["terminal"] = json!(true);
        self
    }

    pub fn write(&self) {
        fs::write(self.path().join(CONFIG_FILE), serde_json::to_vec(&self.config).unwrap()).unwrap();
        fs::write(self.path().join(SPEC_FILE), serde_json::to_vec(&self.spec).unwrap()).unwrap();
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_orca-shim"));
        command.arg("shim").arg("--bundle").arg(self.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    /// Starts the shim and reads its report.
    pub fn launch(&mut self) -> Report {
        self.write();
        let mut child = self.command().spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        self.children.push(child);
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("report {line:?}: {error}"))
    }

    pub fn started(&mut self) -> i32 {
        match self.launch() {
            Report::Started { pid, .. } => pid,
            other => panic!("{other:?}"),
        }
    }

    pub fn shim_pid(&self) -> u32 {
        self.children.last().unwrap().id()
    }

    /// Waits for the shim's end; its code.
    pub fn wait(&mut self) -> i32 {
        let child = self.children.last_mut().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "the shim does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn kill_shim(&mut self) {
        let child = self.children.last_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub fn record(&self) -> ExitRecord {
        serde_json::from_slice(&fs::read(self.path().join(EXIT_FILE)).unwrap()).unwrap()
    }

    /// Runs to the end.
    pub fn run(&mut self) -> ExitRecord {
        self.started();
        assert_eq!(self.wait(), 0);
        self.record()
    }

    /// The log's lines: stream and text.
    pub fn log(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(&self.spec.log.path).unwrap_or_default();
        text.lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
                (value["stream"].as_str().unwrap().to_owned(), value["log"].as_str().unwrap().to_owned())
            })
            .collect()
    }

    pub fn output(&self) -> String {
        self.log().into_iter().map(|(_, text)| text).collect()
    }

    pub fn connect(&self) -> Client {
        let mut client = self.connect_raw();
        match client.ask(&Request::Hello { version: PROTOCOL_VERSION }) {
            Reply::Hello { version: PROTOCOL_VERSION, container_id, .. } => assert_eq!(container_id, self.id),
            other => panic!("{other:?}"),
        }
        client
    }

    pub fn connect_raw(&self) -> Client {
        let dir = fs::File::open(self.path()).unwrap();
        let stream = UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_FILE}", dir.as_raw_fd())).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    /// Cgroup directories of this sandbox that exist.
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let roots = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
        roots
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .map(|root| root.join(&self.id))
            .filter(|path| path.exists())
            .collect()
    }

    pub fn container_cgroups(&self) -> Vec<PathBuf> {
        self.cgroups().into_iter().map(|path| path.join("c")).filter(|path| path.exists()).collect()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_orca-shim"));
        let _ = command.arg("--cleanup").arg("--bundle").arg(self.path()).stderr(Stdio::null()).status();
        for dir in self.cgroups() {
            let _ = fs::remove_dir(dir);
        }
    }
}

fn config(args: &[&str], cgroup: &Path) -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_DAC_OVERRIDE",
        "CAP_FSETID",
        "CAP_FOWNER",
        "CAP_MKNOD",
        "CAP_NET_RAW",
        "CAP_SETGID",
        "CAP_SETUID",
        "CAP_SETFCAP",
        "CAP_SETPCAP",
        "CAP_NET_BIND_SERVICE",
        "CAP_SYS_CHROOT",
        "CAP_KILL",
        "CAP_AUDIT_WRITE"
    ]);
    let namespaces: Vec<Value> =
        ["pid", "ipc", "uts", "mount", "network", "cgroup"].iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": false},
        "hostname": "box",
        "process": {
            "terminal": false, "user": {"uid": 0, "gid": 0}, "args": args, "cwd": "/",
            "env": ["PATH=/usr/local/bin:/bin", "TERM=xterm"],
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps}
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"]
        }
    })
}

pub struct Client {
    pub stream: UnixStream,
    buffer: Vec<u8>,
}

impl Client {
    pub fn send(&mut self, request: &Request) {
        self.send_frame(Kind::Control, &serde_json::to_vec(request).unwrap());
    }

    pub fn send_frame(&mut self, kind: Kind, bytes: &[u8]) {
        let mut out = Vec::new();
        encode(kind, bytes, &mut out).unwrap();
        self.stream.write_all(&out).unwrap();
    }

    pub fn frame(&mut self) -> Option<(Kind, Vec<u8>)> {
        loop {
            if let Some((frame, taken)) = decode(&self.buffer).unwrap() {
                let result = (frame.kind, frame.payload.to_vec());
                self.buffer.drain(..taken);
                return Some(result);
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk).unwrap() {
                0 => return None,
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }

    pub fn reply(&mut self) -> Reply {
        let (kind, payload) = self.frame().expect("a reply");
        assert_eq!(kind, Kind::Control, "{:?}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).unwrap()
    }

    pub fn ask(&mut self, request: &Request) -> Reply {
        self.send(request);
        self.reply()
    }

    /// Output until the final reply.
    pub fn follow(&mut self) -> (String, String, Reply) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        loop {
            let (kind, payload) = self.frame().expect("a final reply");
            match kind {
                Kind::Stdout => out.extend(payload),
                Kind::Stderr => err.extend(payload),
                _ => match serde_json::from_slice(&payload).unwrap() {
                    Reply::Ok | Reply::ExecStarted { .. } | Reply::Attached => {}
                    reply => {
                        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                        return (text(out), text(err), reply);
                    }
                },
            }
        }
    }
}

pub fn exec(args: &[&str]) -> ExecRequest {
    ExecRequest {
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: vec![],
        cwd: None,
        user: None,
        additional_gids: vec![],
        terminal: false,
        terminal_size: None,
        stdin: false,
        capabilities: None,
        no_new_privileges: None,
        privileged: false,
        kill_on_disconnect: false,
    }
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < deadline, "{what}: not within 15 s");
        std::thread::sleep(Duration::from_millis(5));
    }
}
