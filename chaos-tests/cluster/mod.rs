//! Real clusters on one machine: each daemon on a host of its own, with its own network, mounts, processes and name, all on one
//! switch. A host can lose its power, its daemon, or its cable, and come back.

mod host;
mod links;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use host::Host;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A switch and hosts on it, gone with this value.
pub struct Cluster {
    dir: tempfile::TempDir,
    program: PathBuf,
    switch: host::Namespaces,
    disk: Option<String>,
    /// The hosts, from 1.
    pub hosts: Vec<Host>,
}

impl Cluster {
    /// So many hosts, each with a daemon of this program that is a lone node.
    pub fn start(program: &Path, hosts: usize) -> Self {
        Self::with_disks(program, hosts, None)
    }

    /// The same, where each has a disk of this size for its data (as mount(8) has it for a tmpfs).
    pub fn with_disks(program: &Path, hosts: usize, disk: Option<&str>) -> Self {
        let dir = tempfile::Builder::new().prefix(&format!("orca-c{}-", std::process::id())).tempdir().unwrap();
        let switch = host::Namespaces::new("switch", None);
        switch.run(&["ip", "link", "add", "switch", "type", "bridge"]);
        switch.run(&["ip", "link", "set", "switch", "up"]);
        let disk = disk.map(str::to_owned);
        let mut cluster = Self { dir, program: program.into(), switch, disk, hosts: Vec::new() };
        (0..hosts).for_each(|_| cluster.add());
        cluster
    }

    /// Whether hosts have disks of their own.
    pub fn has_disks(&self) -> bool {
        self.disk.is_some()
    }

    /// One more host.
    pub fn add(&mut self) {
        let number = self.hosts.len() + 1;
        let mut host = Host::new(&self.dir.path().join(number.to_string()), &self.program, number);
        if let Some(size) = &self.disk {
            host.give_disk(&self.switch, size);
        }
        host.power_on(&self.switch);
        host.start_daemon();
        self.hosts.push(host);
    }

    /// The host of this number, from 1.
    pub fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    /// Ends all processes of a host at once, as a loss of power does.
    pub fn cut_power(&mut self, number: usize) {
        self.hosts[number - 1].power_off();
    }

    /// Boots a host again.
    pub fn boot(&mut self, number: usize) {
        self.hosts[number - 1].power_on(&self.switch);
        self.hosts[number - 1].start_daemon();
    }

    /// Ends a host's daemon as a crash does; its containers go on.
    pub fn kill_daemon(&mut self, number: usize) {
        self.hosts[number - 1].kill_daemon();
    }

    /// Ends it in order, as a service manager does.
    pub fn stop_daemon(&mut self, number: usize) {
        self.hosts[number - 1].stop_daemon();
    }

    /// Starts it again.
    pub fn start_daemon(&mut self, number: usize) {
        self.hosts[number - 1].start_daemon();
    }

    /// Has a host's daemon stand still, in the middle of whatever it does; its containers go on.
    pub fn suspend_daemon(&self, number: usize) {
        self.hosts[number - 1].send("-STOP");
    }

    /// Has it go on.
    pub fn resume_daemon(&self, number: usize) {
        self.hosts[number - 1].send("-CONT");
    }

    /// Makes the first host a cluster, and lets so many managers and workers join it, in this order.
    pub fn form(&mut self, managers: usize, workers: usize) {
        let first = self.host(1).address();
        self.host(1).ok(&["swarm", "init", "--advertise-addr", &first]);
        for (number, role) in
            (2..=managers).map(|n| (n, "manager")).chain((1..=workers).map(|n| (managers + n, "worker")))
        {
            let token = self.host(1).ok(&["swarm", "join-token", "-q", role]);
            self.host(number).ok(&["swarm", "join", "--token", token.trim(), &first]);
        }
    }

    /// Waits until something is so.
    pub fn wait_for(&self, what: &str, mut done: impl FnMut() -> bool) -> Duration {
        let begin = Instant::now();
        while !done() {
            if begin.elapsed() > PATIENCE {
                self.hosts.iter().for_each(Host::tell);
                panic!("not within {PATIENCE:?}: {what}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        begin.elapsed()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.hosts.iter().for_each(Host::tell);
        }
        // What a host without power has left in the kernel of this machine, only its own daemon knows to remove.
        self.heal();
        for host in &mut self.hosts {
            if host.has_power() {
                host.free_disk();
            } else {
                host.power_on(&self.switch);
            }
            host.reset();
        }
    }
}
