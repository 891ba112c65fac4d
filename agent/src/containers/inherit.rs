//! Mounts that a container takes over from another (`--volumes-from`). Decides; what it decides is kept in the record.

use model::{ContainerId, Mount, MountSource, VolumeSpec};

use super::record::Record;
use super::state::State;
use crate::{Error, Result};

/// The mounts of `record` with those of other containers in the place of [`MountSource::VolumesOf`]. A mount of its own, or an
/// earlier one, counts at the same target.
///
/// # Errors
/// [`Error::NoSuchContainer`].
pub fn mounts(state: &State, record: &Record) -> Result<Vec<Mount>> {
    let is_inherited = |mount: &&Mount| matches!(mount.source, MountSource::VolumesOf { .. });
    let mut mounts: Vec<Mount> = record.spec.mounts.iter().filter(|mount| !is_inherited(mount)).cloned().collect();
    for mount in record.spec.mounts.iter().filter(is_inherited) {
        let MountSource::VolumesOf { container } = &mount.source else { continue };
        let from = &state.get(find(state, record, container)?)?.record;
        for mut taken in lasting(from) {
            if !mounts.iter().any(|own| own.target == taken.target) {
                taken.read_only |= mount.read_only;
                mounts.push(taken);
            }
        }
    }
    Ok(mounts)
}

fn find(state: &State, record: &Record, container: &str) -> Result<ContainerId> {
    let Some(service) = container.strip_prefix("service:") else { return state.resolve(container) };
    let found = state.members(record, service).map(|entry| &entry.record).filter(|other| other.id != record.id);
    let newest = found.max_by_key(|other| (std::cmp::Reverse(other.task.map(|task| task.slot)), other.created_at));
    newest.map(|other| other.id).ok_or_else(|| Error::NoSuchContainer(format!("one of service {service}")))
}

/// What of a container's mounts others can have: volumes, binds and images.
fn lasting(record: &Record) -> Vec<Mount> {
    let named = |name: &str, no_copy: bool, subpath: Option<String>| MountSource::Volume {
        name: Some(name.to_owned()),
        no_copy,
        subpath,
        spec: VolumeSpec::default(),
    };
    let mut found = Vec::new();
    for mount in &record.spec.mounts {
        let source = match &mount.source {
            MountSource::Volume { no_copy, subpath, .. } => {
                let Some(volume) = record.volumes.iter().find(|volume| volume.target == mount.target) else { continue };
                named(&volume.name, *no_copy, subpath.clone())
            }
            MountSource::Bind { .. } | MountSource::Image { .. } => mount.source.clone(),
            MountSource::Tmpfs { .. } | MountSource::VolumesOf { .. } => continue,
        };
        found.push(Mount { source, ..mount.clone() });
    }
    let of_image = record.volumes.iter().filter(|volume| !found.iter().any(|mount| mount.target == volume.target));
    let of_image: Vec<Mount> = of_image
        .map(|volume| Mount {
            target: volume.target.clone(),
            read_only: false,
            source: named(&volume.name, false, None),
        })
        .collect();
    found.extend(of_image);
    found
}

/// What the user should know of these mounts.
pub fn warnings(mounts: &[Mount], has_selinux: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    for mount in mounts {
        if let MountSource::Bind { path, relabel: Some(relabel), .. } = &mount.source
            && !has_selinux
        {
            let option = relabel.letter();
            warnings.push(format!("SELinux is not active on this node: the option {option} of {path} has no effect"));
        }
    }
    warnings
}
