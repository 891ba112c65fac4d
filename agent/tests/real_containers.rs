//! Containers on the real stack: images, shims with the runtime in them, network namespaces, netd, the database.
//!
//! No test harness: this program is its own `orca shim`, `orca netd` and `orca unpack`, and first leaves the host's network
//! and mounts for namespaces of its own. Needs root; never skips.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::containers::{CreateContainer, WaitCondition};
use agent::{Agent, AgentConfig, Programs};
use image::Unpacker;
use model::{ContainerSpec, HealthTest, Healthcheck, Mount, MountSource, NetworkMode, RestartCondition, VolumeSpec};
use shim::SealedBinary;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_ref().and_then(|word| word.to_str()) {
        Some("shim") => return shim::main(arguments),
        Some("netd") => return net::netd::main(arguments),
        Some("files") => return agent::files::main(arguments),
        Some("--list") => return ExitCode::SUCCESS,
        _ => {}
    }
    isolate();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(all());
    ExitCode::SUCCESS
}

/// A network and mounts of its own, so that nothing of the host's is touched.
fn isolate() {
    use nix::mount::{MsFlags, mount};
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).unwrap();
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap();
    assert!(up.success(), "the loopback device can't be set up");
}

struct Selves {
    binary: SealedBinary,
}

impl Programs for Selves {
    fn shim(&self, bundle: &Path) -> Command {
        self.binary.shim(bundle)
    }

    fn cleanup(&self, bundle: &Path) -> Command {
        self.binary.cleanup(bundle)
    }

    fn files(&self) -> Command {
        let mut command = self.binary.program("files");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn netd(&self, run_dir: &Path) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg("netd")
            .arg("--run-dir")
            .arg(run_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

struct Node {
    dir: PathBuf,
    programs: Arc<Selves>,
}

impl Node {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("orca-t{}-agent", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self { dir, programs: Arc::new(Selves { binary: SealedBinary::of_current().unwrap() }) }
    }

    async fn start(&self) -> Agent {
        Agent::start(AgentConfig {
            data_dir: self.dir.join("data"),
            run_dir: self.dir.join("run"),
            managers: tokio::sync::watch::channel(agent::session::Managers::local(self.dir.join("no-manager.sock"))).1,
            session: tokio::sync::watch::channel(agent::session::SessionStatus::default()).0,
            unpacker: Unpacker::InProcess,
            programs: self.programs.clone(),
            bridge_subnet: "172.30.0.0/16".parse().unwrap(),
            logging: agent::Logging { default: model::LogConfig::default(), journal: "/nonexistent/journal".into() },
            runtimes: Default::default(),
            users: None,
            cdi: None,
            registries: image::registry::Settings {
                mirrors: Vec::new(),
                insecure: Vec::new(),
                certificates: Vec::new(),
                patience: std::time::Duration::from_secs(1),
                proxies: Default::default(),
            },
            labels: Default::default(),
            generic: Default::default(),
        })
        .await
        .unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A failed test leaves shims and netd: those whose command line names this test's own directory.
        let dir = self.dir.display().to_string();
        for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if let Some(pid) = pid.filter(|_| String::from_utf8_lossy(&command).contains(&dir)) {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
            }
        }
        // Mounts of the run directory end with this program's mount namespace.
        let _ = nix::mount::umount2(&self.dir.join("run/secrets"), nix::mount::MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A static busybox, its applets, users, and a directory that volumes are filled from.
fn image() -> Vec<u8> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    let busybox = std::fs::read(busybox.expect("busybox-static is needed: apt-get install busybox-static")).unwrap();
    let mut tar = tar_writer();
    tar.file("bin/busybox", 0o755, &busybox);
    for applet in [
        "sh", "sleep", "cat", "echo", "true", "false", "id", "ls", "nc", "hostname", "wget", "env", "touch", "test",
        "ip",
    ] {
        tar.link(&format!("bin/{applet}"), "busybox");
    }
    tar.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n");
    tar.file("etc/group", 0o644, b"root:x:0:\napp:x:1000:\n");
    tar.file("srv/seed", 0o644, b"from the image\n");
    tar.finish()
}

/// The few lines of ustar that the image needs.
struct Tar(Vec<u8>);

fn tar_writer() -> Tar {
    Tar(Vec::new())
}

impl Tar {
    fn entry(&mut self, name: &str, kind: u8, mode: u32, link: &str, content: &[u8]) {
        let mut header = [0u8; 512];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}").as_bytes());
        put(108, b"0000000");
        put(116, b"0000000");
        put(124, format!("{:011o}", content.len()).as_bytes());
        put(136, b"00000000000");
        put(148, b"        ");
        put(156, &[kind]);
        put(157, link.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend(header);
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entry(name, b'0', mode, "", content);
    }

    fn link(&mut self, name: &str, to: &str) {
        self.entry(name, b'2', 0o777, to, b"");
    }

    fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }
}

fn request(script: &str) -> CreateContainer {
    CreateContainer {
        name: None,
        spec: ContainerSpec {
            image: "busybox".into(),
            command: Some(["sh", "-c", script].map(String::from).to_vec()),
            ..ContainerSpec::default()
        },
        network: NetworkMode::default(),
        ports: Vec::new(),
        auto_remove: false,
        publish_all: false,
        task: None,
        contents: Default::default(),
    }
}

async fn run(agent: &Agent, request: CreateContainer) -> (i32, String) {
    let containers = agent.containers();
    let created = containers.create(request).await.unwrap();
    let log = containers.log_path(created.id);
    containers.start(created.id).await.unwrap();
    let waited = containers.wait(created.id, WaitCondition::NotRunning).await.unwrap();
    let text = output(&log);
    containers.remove(created.id, false, true).await.unwrap();
    (waited.exit_code, text)
}

fn output(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    lines.filter_map(|line| Some(line.get("log")?.as_str()?.to_owned())).collect()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn all() {
    let node = Node::new();
    let agent = node.start().await;
    let options = image::store::ImportOptions {
        name: Some("busybox".parse().unwrap()),
        changes: vec!["ENV A=b".into(), "WORKDIR /srv".into()],
        message: None,
        platform: None,
        source: "-".into(),
        now: 1,
    };
    agent.containers().images().import(std::io::Cursor::new(image()), &options).unwrap();
    said("a run gives its output and code");
    runs_and_exits(&agent).await;
    said("what cannot start says why");
    refusals(&agent).await;
    said("volumes are filled");
    volumes(&agent).await;
    said("containers meet on the node's network");
    network(&agent).await;
    said("restart policy, stop and start run the same container");
    lives(&agent).await;
    said("a healthy container");
    health(&agent).await;
    said("the next daemon goes on");
    let agent = next_daemon(&node, agent).await;
    said("a dead shim is cleaned up after");
    dead_shim(&agent).await;
    agent.networks().teardown().await.unwrap();
    agent.shutdown().await.unwrap();
    println!("all passed");
}

fn said(what: &str) {
    println!("{what}");
    let _ = std::io::stdout().flush();
}

async fn runs_and_exits(agent: &Agent) {
    let (code, text) = run(agent, request("echo $A; pwd; hostname; id -u; exit 37")).await;
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((code, lines.len()), (37, 4), "{text}");
    assert_eq!((lines[0], lines[1], lines[3]), ("b", "/srv", "0"));
    let mut as_user = request("id -u; echo $HOME");
    as_user.spec.user = Some("app".into());
    assert_eq!(run(agent, as_user).await.1, "1000\n/home/app\n");
    // The time of one run, for the eye; benchmarks are elsewhere.
    let begin = Instant::now();
    let mut quick = request("true");
    quick.auto_remove = true;
    let containers = agent.containers();
    let created = containers.create(quick).await.unwrap();
    containers.start(created.id).await.unwrap();
    assert_eq!(
        containers.wait(created.id, WaitCondition::NextExit).await.map(|waited| waited.exit_code).unwrap_or(0),
        0
    );
    println!("create, start, wait: {:?}", begin.elapsed());
    until("auto-remove", || containers.get(created.id).is_err()).await;
    assert!(!containers.bundle(created.id).exists());
}

async fn refusals(agent: &Agent) {
    let containers = agent.containers();
    let mut missing = request("true");
    missing.spec.command = Some(vec!["no-such-command".into()]);
    let created = containers.create(missing).await.unwrap();
    let error = containers.start(created.id).await.unwrap_err();
    assert!(matches!(error, agent::Error::Start { code: 127, .. }), "{error}");
    containers.remove(created.id, false, false).await.unwrap();

    let mut named = request("true");
    named.name = Some("twice".into());
    let first = containers.create(named.clone()).await.unwrap();
    assert!(matches!(containers.create(named).await, Err(agent::Error::NameInUse { .. })));
    assert_eq!(containers.resolve("twice").unwrap(), first.id);
    assert_eq!(containers.resolve(&first.id.short()).unwrap(), first.id);
    containers.remove(first.id, false, false).await.unwrap();

    let mut no_image = request("true");
    no_image.spec.image = "nothing".into();
    assert!(containers.create(no_image).await.unwrap_err().to_string().contains("nothing"));
    let mut bad_bind = request("true");
    let source = MountSource::Bind {
        path: "/no/such/path".into(),
        create: false,
        propagation: Default::default(),
        recursive: Default::default(),
        relabel: None,
    };
    bad_bind.spec.mounts = vec![Mount { target: "/x".into(), read_only: false, source }];
    let created = containers.create(bad_bind).await.unwrap();
    let error = containers.start(created.id).await.unwrap_err().to_string();
    assert!(error.contains("/no/such/path"), "{error}");
    containers.remove(created.id, false, false).await.unwrap();
}

async fn volumes(agent: &Agent) {
    let with_volume = |script: &str| {
        let mut request = request(script);
        let source = MountSource::Volume {
            name: Some("data".into()),
            no_copy: false,
            subpath: None,
            spec: VolumeSpec::default(),
        };
        request.spec.mounts = vec![Mount { target: "/srv".into(), read_only: false, source }];
        request
    };
    assert_eq!(run(agent, with_volume("cat /srv/seed; echo changed > /srv/seed")).await.1, "from the image\n");
    assert_eq!(run(agent, with_volume("cat /srv/seed")).await.1, "changed\n");
    agent.containers().remove_volume("data", false).await.unwrap();
}

async fn network(agent: &Agent) {
    let containers = agent.containers();
    let mut server = request("echo hello > /page; while true; do nc -l -p 80 < /page; done");
    server.name = Some("server".into());
    let server = containers.create(server).await.unwrap();
    containers.start(server.id).await.unwrap();
    let address = containers.get(server.id).unwrap().attachments[0].addresses[0];
    let script = format!("for i in 1 2 3 4 5 6 7 8 9; do nc {address} 80 < /dev/null && break; sleep 0.1; done");
    assert_eq!(run(agent, request(&script)).await.1, "hello\n");
    let by_name = "for i in 1 2 3 4 5 6 7 8 9; do nc server 80 < /dev/null && break; sleep 0.1; done";
    assert_eq!(run(agent, request(by_name)).await.1, "hello\n");
    let mut alone = request("ip -o link | cat");
    alone.network = NetworkMode::None;
    assert_eq!(run(agent, alone).await.1.lines().count(), 1);
    containers.remove(server.id, true, true).await.unwrap();
}

async fn lives(agent: &Agent) {
    let containers = agent.containers();
    let mut again = request("echo run >> /count; cat /count; exit 1");
    again.spec.restart.condition = RestartCondition::OnFailure;
    again.spec.restart.max_attempts = Some(2);
    let created = containers.create(again).await.unwrap();
    containers.start(created.id).await.unwrap();
    until("two restarts", || {
        let view = containers.get(created.id).unwrap();
        view.status.restart_count == 2 && view.status.phase == model::ContainerPhase::Exited
    })
    .await;
    // One run, then two, then three lines: the writable layer and the log were kept.
    assert_eq!(output(&containers.log_path(created.id)).lines().count(), 6);
    containers.remove(created.id, false, true).await.unwrap();

    let created = containers.create(request("trap 'exit 5' TERM; while true; do sleep 0.05; done")).await.unwrap();
    containers.start(created.id).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    containers.stop(created.id, None, None).await.unwrap();
    assert_eq!(containers.get(created.id).unwrap().status.exit_code, Some(5));
    containers.restart(created.id, None, None).await.unwrap();
    assert!(containers.pid(created.id).is_some());
    containers.kill(created.id, "KILL").await.unwrap();
    let waited = containers.wait(created.id, WaitCondition::NotRunning).await.unwrap();
    assert_eq!(waited.exit_code, 137);
    assert!(matches!(containers.kill(created.id, "TERM").await, Err(agent::Error::NotRunning { .. })));
    containers.remove(created.id, false, true).await.unwrap();
}

async fn health(agent: &Agent) {
    let containers = agent.containers();
    let mut checked = request("sleep 100");
    checked.spec.healthcheck = Some(Healthcheck {
        test: Some(HealthTest::Shell("echo probed; test -e /srv/seed".into())),
        interval: Some(Duration::from_millis(100)),
        ..Healthcheck::default()
    });
    let created = containers.create(checked).await.unwrap();
    containers.start(created.id).await.unwrap();
    until("healthy", || containers.get(created.id).unwrap().status.health == model::Health::Healthy).await;
    assert_eq!(containers.get(created.id).unwrap().health_log[0].output, "probed\n");
    containers.remove(created.id, true, true).await.unwrap();
}

async fn next_daemon(node: &Node, agent: Agent) -> Agent {
    let containers = agent.containers().clone();
    let mut kept = request("i=0; while test $i -lt 40; do i=$((i+1)); echo $i; sleep 0.05; done; exit 37");
    kept.name = Some("kept".into());
    let kept = containers.create(kept).await.unwrap();
    containers.start(kept.id).await.unwrap();
    let pid = containers.pid(kept.id);
    let ended = containers.create(request("exit 4")).await.unwrap();
    drop(containers);
    agent.shutdown().await.unwrap();
    let agent = node.start().await;
    let containers = agent.containers();
    assert_eq!(containers.pid(kept.id), pid);
    let waited = containers.wait(kept.id, WaitCondition::NotRunning).await.unwrap();
    assert_eq!(waited.exit_code, 37);
    assert_eq!(output(&containers.log_path(kept.id)).lines().count(), 40);
    containers.start(ended.id).await.unwrap();
    assert_eq!(containers.wait(ended.id, WaitCondition::NotRunning).await.unwrap().exit_code, 4);
    for id in [kept.id, ended.id] {
        containers.remove(id, false, true).await.unwrap();
    }
    agent
}

async fn dead_shim(agent: &Agent) {
    let containers = agent.containers();
    let created = containers.create(request("sleep 100")).await.unwrap();
    containers.start(created.id).await.unwrap();
    let pid = containers.pid(created.id).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let parent: i32 = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), nix::sys::signal::Signal::SIGKILL).unwrap();
    let waited = containers.wait(created.id, WaitCondition::NotRunning).await.unwrap();
    assert_ne!(waited.exit_code, 0);
    until("its process ends", || !Path::new(&format!("/proc/{pid}")).exists()).await;
    containers.remove(created.id, false, true).await.unwrap();
}
