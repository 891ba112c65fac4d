//! Life and listing of containers.

use std::collections::BTreeMap;
use std::time::Duration;

use api::node as wire;
use model::{ContainerPhase, ContainerSpec, SecretData};
use tonic::Status;

use super::{NodeService, terminal_size, usage, view};
use crate::containers::{BUILD_LABEL, ContainerView, CreateContainer, LimitChange, WaitCondition, check_labels};
use crate::mounts::Contents;
use crate::shim_client;

pub async fn create_container(
    service: &NodeService,
    request: wire::CreateContainerRequest,
) -> Result<wire::CreateContainerReply, Status> {
    let wire::CreateContainerRequest { name, spec, network, ports, auto_remove, publish_all, secrets, configs } =
        request;
    let spec = spec.ok_or_else(|| Status::invalid_argument("the request has no container spec"))?;
    let spec: ContainerSpec = spec.try_into()?;
    check_labels(&spec.labels)?;
    let request = CreateContainer {
        name: name.filter(|name| !name.is_empty()),
        spec,
        network: network.map(TryInto::try_into).transpose()?.unwrap_or_default(),
        ports: ports.into_iter().map(TryInto::try_into).collect::<Result<_, api::Error>>()?,
        auto_remove,
        publish_all,
        task: None,
        contents: Contents { secrets: secrets.into_iter().map(SecretData::new).collect(), configs },
    };
    let created = service.containers().create(request).await?;
    Ok(wire::CreateContainerReply { id: created.id.to_string(), name: created.name, warnings: created.warnings })
}

pub async fn start_container(
    service: &NodeService,
    request: wire::StartContainerRequest,
) -> Result<wire::StartContainerReply, Status> {
    service.containers().start(service.resolve(&request.container)?).await?;
    Ok(wire::StartContainerReply {})
}

pub async fn stop_container(
    service: &NodeService,
    request: wire::StopContainerRequest,
) -> Result<wire::StopContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let timeout = request.timeout.map(Duration::from_nanos);
    service.containers().stop(id, timeout, request.signal.as_deref()).await?;
    Ok(wire::StopContainerReply {})
}

pub async fn restart_container(
    service: &NodeService,
    request: wire::RestartContainerRequest,
) -> Result<wire::RestartContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let timeout = request.timeout.map(Duration::from_nanos);
    service.containers().restart(id, timeout, request.signal.as_deref()).await?;
    Ok(wire::RestartContainerReply {})
}

pub async fn kill_container(
    service: &NodeService,
    request: wire::KillContainerRequest,
) -> Result<wire::KillContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let signal = if request.signal.is_empty() { "SIGKILL" } else { &request.signal };
    service.containers().kill(id, signal).await?;
    Ok(wire::KillContainerReply {})
}

pub async fn remove_container(
    service: &NodeService,
    request: wire::RemoveContainerRequest,
) -> Result<wire::RemoveContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    service.containers().remove(id, request.force, request.volumes).await?;
    Ok(wire::RemoveContainerReply {})
}

pub async fn pause_container(
    service: &NodeService,
    request: wire::PauseContainerRequest,
) -> Result<wire::PauseContainerReply, Status> {
    service.containers().pause(service.resolve(&request.container)?).await?;
    Ok(wire::PauseContainerReply {})
}

pub async fn unpause_container(
    service: &NodeService,
    request: wire::UnpauseContainerRequest,
) -> Result<wire::UnpauseContainerReply, Status> {
    service.containers().unpause(service.resolve(&request.container)?).await?;
    Ok(wire::UnpauseContainerReply {})
}

pub async fn rename_container(
    service: &NodeService,
    request: wire::RenameContainerRequest,
) -> Result<wire::RenameContainerReply, Status> {
    service.containers().rename(service.resolve(&request.container)?, &request.name).await?;
    Ok(wire::RenameContainerReply {})
}

pub async fn update_container(
    service: &NodeService,
    request: wire::UpdateContainerRequest,
) -> Result<wire::UpdateContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let wire::UpdateContainerRequest { container: _, limits, memory_reservation, restart } = request;
    let change = LimitChange {
        limits: limits.unwrap_or_default().try_into()?,
        memory_reservation,
        restart: restart.map(TryInto::try_into).transpose()?,
    };
    service.containers().update(id, change).await?;
    Ok(wire::UpdateContainerReply {})
}

pub async fn top_container(
    service: &NodeService,
    request: wire::TopContainerRequest,
) -> Result<wire::TopContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let containers = service.containers().clone();
    let listing = super::blocking("reading /proc", move || containers.top(id, &request.ps_args)).await?;
    let processes = listing.rows.into_iter().map(|cells| wire::TopProcess { cells }).collect();
    Ok(wire::TopContainerReply { titles: listing.titles, processes })
}

/// The newest first, as Docker lists them.
pub async fn list_containers(
    service: &NodeService,
    request: wire::ListContainersRequest,
) -> Result<wire::ListContainersReply, Status> {
    let mut views = service.containers().list();
    views.retain(|view| !view.labels.contains_key(BUILD_LABEL));
    views.retain(|view| (request.all || is_up(view)) && has_labels(&view.labels, &request.labels));
    views.sort_by_key(|view| std::cmp::Reverse((view.created_at, view.id)));
    let containers: Vec<wire::Container> = views.into_iter().map(view::container).collect();
    let containers = if request.size { usage::measure(service, containers).await? } else { containers };
    Ok(wire::ListContainersReply { containers })
}

/// Whether `docker ps` shows it without `--all`.
pub fn is_up(view: &ContainerView) -> bool {
    matches!(view.status.phase, ContainerPhase::Running | ContainerPhase::Paused | ContainerPhase::Restarting)
}

/// Whether all `wanted` labels are there; an empty value fits any.
pub fn has_labels(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| labels.get(key).is_some_and(|found| value.is_empty() || found == value))
}

pub async fn inspect_container(
    service: &NodeService,
    request: wire::InspectContainerRequest,
) -> Result<wire::Container, Status> {
    let id = service.resolve(&request.container)?;
    let view = service.containers().get(id)?;
    let host = service.containers().host();
    let profile = crate::bundle::apparmor_profile(&view.spec, host).map(str::to_owned);
    let labels = crate::bundle::labels(&view.spec, id, host);
    let mut container = view::container(view);
    container.apparmor_profile = profile.unwrap_or_else(|| match host.apparmor {
        true => crate::bundle::UNCONFINED.into(),
        false => String::new(),
    });
    if let Some(labels) = labels {
        (container.process_label, container.mount_label) = (labels.process, labels.mount);
    }
    let mut found = vec![container];
    if request.size {
        found = usage::measure(service, found).await?;
    }
    found.pop().ok_or_else(|| Status::internal("the container was lost while it was measured"))
}

pub async fn wait_container(
    service: &NodeService,
    request: wire::WaitContainerRequest,
) -> Result<wire::WaitContainerReply, Status> {
    let condition = match request.condition() {
        wire::WaitCondition::NotRunning => WaitCondition::NotRunning,
        wire::WaitCondition::NextExit => WaitCondition::NextExit,
        wire::WaitCondition::Removed => WaitCondition::Removed,
    };
    let id = service.resolve(&request.container)?;
    let waited = service.containers().wait(id, condition).await?;
    Ok(wire::WaitContainerReply { exit_code: waited.exit_code, error: waited.error })
}

pub async fn resize_container(
    service: &NodeService,
    request: wire::ResizeContainerRequest,
) -> Result<wire::ResizeContainerReply, Status> {
    let id = service.resolve(&request.container)?;
    let size = request.size.ok_or_else(|| Status::invalid_argument("the request has no terminal size"))?;
    let bundle = service.containers().bundle(id);
    shim_client::resize(&bundle, terminal_size(size)?).await.map_err(crate::Error::from)?;
    Ok(wire::ResizeContainerReply {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_must_all_fit() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
        };
        let labels = map(&[("a", "1"), ("b", "")]);
        assert!(has_labels(&labels, &map(&[])));
        assert!(has_labels(&labels, &map(&[("a", ""), ("b", "")])));
        assert!(!has_labels(&labels, &map(&[("a", "2")])));
        assert!(!has_labels(&labels, &map(&[("a", "1"), ("c", "")])));
    }
}
