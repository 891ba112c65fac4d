//! The node as a whole.

use std::path::PathBuf;

use api::node as wire;
use model::ContainerPhase;
use tonic::Status;

use super::containers::is_up;
use super::{NodeService, blocking};
use crate::bundle::Host;

pub async fn get_node(service: &NodeService, _: wire::GetNodeRequest) -> Result<wire::GetNodeReply, Status> {
    let parts = &service.parts;
    let containers = parts.containers.list();
    let store = parts.containers.images().clone();
    let images = blocking("listing images", move || Ok(store.list()?.len())).await?;
    let runtime = |(name, path): (&String, &PathBuf)| (name.clone(), path.display().to_string());
    let default = model::LogConfig::default().over(parts.containers.default_log());
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(wire::GetNodeReply {
        id: parts.id.to_string(),
        description: Some(parts.description.clone().into()),
        data_dir: parts.data_dir.display().to_string(),
        daemon_pid: std::process::id(),
        containers_running: count(containers.iter().filter(|view| is_up(view)).count()),
        containers_total: count(containers.len()),
        images: count(images),
        containers_paused: count(containers.iter().filter(|view| view.status.phase == ContainerPhase::Paused).count()),
        kernel_version: rustix::system::uname().release().to_string_lossy().into_owned(),
        operating_system: std::fs::read_to_string("/etc/os-release").map(|text| pretty_name(&text)).unwrap_or_default(),
        security_options: security_options(parts.containers.host()),
        logging_driver: default.driver.name().into(),
        runtimes: parts.containers.runtimes().iter().map(runtime).collect(),
        open_files: count(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)),
        running_tasks: count(tokio::runtime::Handle::current().metrics().num_alive_tasks()),
        cgroup_version: if parts.containers.host().unified_cgroups { "2" } else { "1" }.into(),
    })
}

/// What confines containers that don't say, in Docker's words.
fn security_options(host: &Host) -> Vec<String> {
    let options = [
        (host.default_profile, "name=apparmor"),
        (true, "name=seccomp,profile=builtin"),
        (host.selinux, "name=selinux"),
        (host.unified_cgroups, "name=cgroupns"),
        (host.users.is_some(), "name=userns"),
    ];
    options.into_iter().filter(|(active, _)| *active).map(|(_, name)| name.to_owned()).collect()
}

/// What a distribution calls itself (os-release(5)).
fn pretty_name(text: &str) -> String {
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_say_their_names() {
        assert_eq!(pretty_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(pretty_name(""), "");
    }
}
