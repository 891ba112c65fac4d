//! Volumes.

use api::node as wire;
use tonic::Status;

use super::containers::has_labels;
use super::{NodeService, blocking};
use crate::Error;
use crate::containers::Containers;
use crate::events::Kind;
use crate::mounts::{VolumeOwner, VolumeRecord};

pub async fn list_volumes(
    service: &NodeService,
    request: wire::ListVolumesRequest,
) -> Result<wire::ListVolumesReply, Status> {
    let containers = service.containers();
    let mut records = containers.volumes().list();
    records.retain(|record| has_labels(&record.spec.labels, &request.labels));
    records.sort_by(|a, b| a.name.cmp(&b.name));
    let mut volumes: Vec<wire::Volume> = records.into_iter().map(|record| volume(containers, record)).collect();
    if request.size {
        let counted = containers.clone();
        volumes = blocking("measuring volumes", move || {
            for volume in &mut volumes {
                volume.size = size(&counted, &volume.name);
            }
            Ok(volumes)
        })
        .await?;
    }
    Ok(wire::ListVolumesReply { volumes })
}

pub async fn create_volume(service: &NodeService, request: wire::CreateVolumeRequest) -> Result<wire::Volume, Status> {
    let spec = request.spec.map(TryInto::try_into).transpose()?.unwrap_or_default();
    let name = request.name.filter(|name| !name.is_empty());
    let record = service.containers().create_volume(name, spec).await?;
    Ok(volume(service.containers(), record))
}

pub async fn inspect_volume(
    service: &NodeService,
    request: wire::InspectVolumeRequest,
) -> Result<wire::Volume, Status> {
    let found = service.containers().volumes().get(&request.volume);
    let record = found.ok_or(Error::NoSuchVolume(request.volume))?;
    Ok(volume(service.containers(), record))
}

pub async fn remove_volume(
    service: &NodeService,
    request: wire::RemoveVolumeRequest,
) -> Result<wire::RemoveVolumeReply, Status> {
    service.containers().remove_volume(&request.volume, request.force).await?;
    Ok(wire::RemoveVolumeReply {})
}

/// Bytes of a volume's files; none if they are not Orca's own.
fn size(containers: &Containers, name: &str) -> Option<u64> {
    containers.volumes().directory(name).map(|directory| super::usage::bytes(&directory))
}

/// Whether the next container of a service's place is to have this anonymous volume of the one before, though none has it now: unless
/// the services are known that there were when the newest volume was made, it may be so.
fn is_awaited(owner: &VolumeOwner, created_at: i64, places: &[wire::VolumePlace], newest: Option<i64>) -> bool {
    let is_its = |place: &wire::VolumePlace| {
        place.service == owner.service.to_string()
            && owner.slot <= place.replicas
            && owner.spec_version >= place.volumes_since
    };
    newest.is_none_or(|newest| created_at > newest) || places.iter().any(is_its)
}

/// Removes what no container uses: anonymous volumes, or all.
pub async fn prune_volumes(
    service: &NodeService,
    request: wire::PruneVolumesRequest,
) -> Result<wire::PruneVolumesReply, Status> {
    let wire::PruneVolumesRequest { all, labels, without_labels, places, newest } = request;
    let containers = service.containers();
    let mut reply = wire::PruneVolumesReply::default();
    for record in containers.volumes().list() {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => record.spec.labels.get(key).is_some_and(|found| found == value),
            None => record.spec.labels.contains_key(wanted),
        };
        if !(all || record.anonymous) || !labels.iter().all(has) || without_labels.iter().any(has) {
            continue;
        }
        if record.owner.as_ref().is_some_and(|owner| is_awaited(owner, record.created_at.0, &places, newest)) {
            continue;
        }
        if !containers.users_of_volume(&record.name).is_empty() {
            continue;
        }
        let (counted, name) = (containers.clone(), record.name.clone());
        let size = blocking("counting a volume's size", move || Ok(size(&counted, &name))).await?;
        match containers.remove_volume(&record.name, false).await {
            Ok(()) => {
                reply.reclaimed += size.unwrap_or(0);
                reply.removed.push(record.name);
            }
            // Somebody has begun to use it, or has removed it, since.
            Err(Error::VolumeInUse { .. } | Error::NoSuchVolume(_)) => {}
            Err(error) if reply.removed.is_empty() => return Err(error.into()),
            // What went is told all the same; the next one says why this one stays.
            Err(error) => tracing::warn!(volume = record.name, %error, "a volume could not be removed"),
        }
    }
    containers.events().record(Kind::Volume, "prune", "", &[("reclaimed", reply.reclaimed.to_string())]);
    Ok(reply)
}

fn volume(containers: &Containers, record: VolumeRecord) -> wire::Volume {
    let VolumeRecord { name, spec, created_at, anonymous, owner: _ } = record;
    // `external` says that a project must not make it; a volume that exists is as any other.
    let model::VolumeSpec { labels, driver_opts, external: _ } = spec;
    wire::Volume {
        driver: "local".into(),
        mountpoint: containers.volumes().mountpoint(&name).display().to_string(),
        created_at: created_at.0,
        labels,
        options: driver_opts,
        anonymous,
        used_by: containers.users_of_volume(&name).iter().map(ToString::to_string).collect(),
        name,
        size: None,
    }
}
