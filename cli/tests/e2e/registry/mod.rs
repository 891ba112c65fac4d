//! Images from and to registries: Debian's docker-registry and a misbehaving one, on the test host's own network.

mod auth;
mod compose;
mod digests;
mod faults;
mod images;
mod manifests;
mod proxy;
mod publish;
mod resume;
mod serve;
mod server;
mod transfer;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::Node;

/// A real registry on the node's host, gone with this value.
pub struct Registry {
    process: Child,
    /// `host:port`.
    pub address: String,
    dir: PathBuf,
}

impl Registry {
    /// Serves on `address`; `more` are lines of its configuration.
    pub fn start(node: &Node, address: &str, more: &str) -> Self {
        let dir = node.files().join(format!("registry-{}", address.replace([':', '.'], "-")));
        std::fs::create_dir_all(&dir).unwrap();
        let (tls, rest) = more.split_once("---").unwrap_or(("", more));
        let config = format!(
            "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{tls}\n{rest}",
            dir.join("data").display()
        );
        let file = dir.join("config.yml");
        std::fs::write(&file, config).unwrap();
        let log = std::fs::File::create(dir.join("log")).unwrap();
        let process = node
            .host_command("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Self { process, address: address.to_owned(), dir };
        // Any answer will do, also the refusal of a request without TLS.
        let curl = ["-s", "--max-time", "5", "-o", "/dev/null", &format!("http://{address}/")];
        let ready = || node.host_command("curl").args(curl).status().unwrap().success();
        node.wait_for("the registry answers", ready);
        registry
    }

    /// A name in this registry.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.address)
    }

    /// What it wrote, for a failing test's message.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `orca` with a Docker configuration of the test's own.
pub fn orca_as(node: &Node, config: &Path, args: &[&str]) -> Command {
    let mut command = node.orca_command(args);
    // Credential helpers of the test's own come first.
    let path = format!("{}:{}", node.files().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    command.env("DOCKER_CONFIG", config).env("PATH", path);
    command
}
