//! Mounts, volumes and files that Orca puts into containers.

use super::{WireEnum, optional_text, or_default, required};
use crate::{Error, types};

impl From<model::SecretFile> for types::SecretFile {
    fn from(model::SecretFile { secret, id, file, template }: model::SecretFile) -> Self {
        Self { secret, id: id.map(|id| id.to_string()), file: Some(file.into()), template }
    }
}

impl TryFrom<types::SecretFile> for model::SecretFile {
    type Error = Error;

    fn try_from(types::SecretFile { secret, id, file, template }: types::SecretFile) -> Result<Self, Error> {
        let id = optional_text("secret_file.id", id)?;
        Ok(Self { secret, id, file: required(file, "secret_file.file")?, template })
    }
}

impl From<model::ConfigFile> for types::ConfigFile {
    fn from(model::ConfigFile { config, id, file, template }: model::ConfigFile) -> Self {
        Self { config, id: id.map(|id| id.to_string()), file: Some(file.into()), template }
    }
}

impl TryFrom<types::ConfigFile> for model::ConfigFile {
    type Error = Error;

    fn try_from(types::ConfigFile { config, id, file, template }: types::ConfigFile) -> Result<Self, Error> {
        let id = optional_text("config_file.id", id)?;
        Ok(Self { config, id, file: required(file, "config_file.file")?, template })
    }
}

impl From<model::Mount> for types::Mount {
    fn from(model::Mount { target, read_only, source }: model::Mount) -> Self {
        use types::mount::Source;
        let source = match source {
            model::MountSource::Volume { name, no_copy, subpath, spec } => {
                Source::Volume(types::VolumeMount { name, no_copy, subpath, spec: Some(spec.into()) })
            }
            model::MountSource::Bind { path, create, propagation, recursive, relabel } => {
                let (propagation, recursive) = (propagation.number(), recursive.number());
                let relabel = match relabel {
                    None => types::Relabel::None,
                    Some(model::Relabel::Shared) => types::Relabel::Shared,
                    Some(model::Relabel::Private) => types::Relabel::Private,
                };
                Source::Bind(types::BindMount { path, create, propagation, recursive, relabel: relabel.into() })
            }
            model::MountSource::Tmpfs { size, mode, options } => {
                Source::Tmpfs(types::TmpfsMount { size, mode, options })
            }
            model::MountSource::Image { image, id, subpath } => Source::Image(types::ImageMount { image, id, subpath }),
            model::MountSource::VolumesOf { container } => Source::VolumesOf(container),
        };
        Self { target, read_only, source: Some(source) }
    }
}

impl TryFrom<types::Mount> for model::Mount {
    type Error = Error;

    fn try_from(types::Mount { target, read_only, source }: types::Mount) -> Result<Self, Error> {
        use types::mount::Source;
        let source = match source.ok_or(Error::Missing("mount.source"))? {
            Source::Volume(types::VolumeMount { name, no_copy, subpath, spec }) => {
                model::MountSource::Volume { name, no_copy, subpath, spec: or_default(spec)? }
            }
            Source::Bind(types::BindMount { path, create, propagation, recursive, relabel }) => {
                model::MountSource::Bind {
                    path,
                    create,
                    propagation: WireEnum::from_number("bind.propagation", propagation)?,
                    recursive: WireEnum::from_number("bind.recursive", recursive)?,
                    relabel: relabel_of(relabel)?,
                }
            }
            Source::Tmpfs(types::TmpfsMount { size, mode, options }) => {
                model::MountSource::Tmpfs { size, mode, options }
            }
            Source::Image(types::ImageMount { image, id, subpath }) => model::MountSource::Image { image, id, subpath },
            Source::VolumesOf(container) => model::MountSource::VolumesOf { container },
        };
        Ok(Self { target, read_only, source })
    }
}

fn relabel_of(number: i32) -> Result<Option<model::Relabel>, Error> {
    match types::Relabel::try_from(number) {
        Ok(types::Relabel::None) => Ok(None),
        Ok(types::Relabel::Shared) => Ok(Some(model::Relabel::Shared)),
        Ok(types::Relabel::Private) => Ok(Some(model::Relabel::Private)),
        Err(_) => Err(Error::invalid("bind.relabel", number)),
    }
}
