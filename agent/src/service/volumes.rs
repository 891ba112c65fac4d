//! Volumes.

use std::path::Path;

use api::node as wire;
use tonic::Status;

use super::containers::has_labels;
use super::{NodeService, blocking};
use crate::Error;
use crate::containers::Containers;
use crate::mounts::VolumeRecord;

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
        volumes = blocking("measuring volumes", move || {
            for volume in &mut volumes {
                volume.size = Some(super::usage::bytes(Path::new(&volume.mountpoint)));
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

fn volume(containers: &Containers, record: VolumeRecord) -> wire::Volume {
    let VolumeRecord { name, spec, created_at, anonymous } = record;
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
