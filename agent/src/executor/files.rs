//! How to come by the files of a container that doesn't run.

use std::sync::Arc;

use image::MergedRoot;
use model::ContainerId;
use model::shim::LOCK_FILE;
use tokio::sync::Mutex;

use super::{Executor, blocking, patiently};
use crate::Result;
use crate::containers::Record;
use crate::files::{Site, StoppedMount};
use crate::mounts::{self, Contents, Sources};

impl Executor {
    /// Held while a container is started, and while its own layer is written to.
    pub fn exclusive(&self, id: ContainerId) -> Arc<Mutex<()>> {
        self.exclusive.of(id)
    }

    /// Keeps what the secrets and configs of a new container hold.
    ///
    /// # Errors
    /// [`crate::Error::Spec`] for another number of them than its spec has, [`crate::Error::Io`].
    pub async fn hand_over(&self, record: &Record, contents: Contents) -> Result<()> {
        contents.check(&record.spec)?;
        if contents.is_empty() {
            return Ok(());
        }
        let (paths, record) = (self.paths.clone(), record.clone());
        blocking("keeping secrets and configs", move || {
            // By its directory the next daemon finds what is left of a container that did not come to be.
            super::make_dirs(&paths, record.id)?;
            mounts::hand_over(&paths, &record, &contents)
        })
        .await
    }

    /// Removes what was kept for a container that did not come to be.
    pub async fn take_back(&self, id: ContainerId) {
        let dirs = [self.paths.secrets().join(id.to_string()), self.paths.bundle(id)];
        let remove = move || dirs.iter().try_for_each(|dir| super::remove_tree(dir));
        if let Err(error) = blocking("removing secrets and configs", remove).await {
            tracing::warn!(container = %id.short(), %error, "what was kept for a container stays");
        }
    }

    /// Lets go of what was mounted for a run.
    pub async fn release_mounts(&self, id: ContainerId) {
        let volumes = self.volumes.clone();
        let release = move || {
            volumes.held().release(&id.to_string());
            Ok(())
        };
        if let Err(error) = patiently("unmounting volumes", release).await {
            tracing::warn!(container = %id.short(), %error, "volumes stay mounted");
        }
    }

    /// Notes what a container that an earlier daemon has started holds.
    pub fn adopt_mounts(&self, record: &Record) {
        let holder = record.id.to_string();
        self.volumes.adopt(record.volumes.iter().map(|volume| volume.name.as_str()), &holder);
        let held = self.volumes.held();
        for (index, mount) in record.spec.mounts.iter().enumerate() {
            use model::MountSource::{Image, Volume};
            if let Volume { subpath: Some(_), .. } | Image { subpath: Some(_), .. } = &mount.source {
                held.adopt(&held.part_point(record.id, index), &holder);
            }
            if let model::MountSource::Image { id: Some(id), .. } = &mount.source {
                held.adopt(&held.image_point(id), &holder);
            }
        }
    }

    /// Unmounts what no container holds.
    pub async fn settle_mounts(&self) {
        let volumes = self.volumes.clone();
        let settle = move || {
            volumes.settle();
            Ok(())
        };
        if let Err(error) = blocking("unmounting volumes", settle).await {
            tracing::warn!(%error, "volumes stay mounted");
        }
    }

    /// The program that works on containers' files.
    pub fn files_program(&self) -> std::process::Command {
        self.programs.files()
    }

    /// The layers of a container, to be mounted; what is written to them stays only if `lasting`. File systems of volumes are
    /// mounted for `holder`.
    ///
    /// # Errors
    /// A damaged layer, a missing bind source.
    pub async fn stopped_site(
        self: Arc<Self>,
        record: Record,
        with_mounts: bool,
        lasting: bool,
        holder: String,
    ) -> Result<Site> {
        patiently("making a container's files ready", move || {
            let image = self.images.get(&record.image_id)?;
            let lower = self.lower_dirs(&image)?;
            super::make_dirs(&self.paths, record.id)?;
            let upper = self.paths.upper(record.id);
            let root = MergedRoot::new(std::iter::once(upper.clone()).chain(lower.iter().cloned()).collect());
            let contents = self.contents.borrow().clone();
            let images = mounts::Images { store: &self.images, unpacker: &self.unpacker };
            let sources = Sources {
                paths: &self.paths,
                volumes: &self.volumes,
                images,
                root: &root,
                contents: &contents,
                kernel: self.host.kernel,
                hostname: &self.host.hostname,
                architecture: &self.host.architecture,
                holder: &holder,
                map: None,
            };
            let mut points = if with_mounts { mounts::lasting(&record, &sources)? } else { Vec::new() };
            points.sort_by_key(|point| point.target.split('/').filter(|part| !part.is_empty()).count());
            let mount = |point: crate::bundle::MountPoint| StoppedMount {
                read_only: point.options.iter().any(|option| option == "ro" || option == "rro"),
                source: point.source,
                target: point.target,
            };
            Ok(Site::Stopped {
                lower,
                upper,
                work: lasting.then(|| self.paths.work(record.id)),
                rootfs: self.paths.rootfs(record.id),
                lock: self.paths.bundle(record.id).join(LOCK_FILE),
                mounts: points.into_iter().map(mount).collect(),
                read_only: lasting && record.spec.read_only,
            })
        })
        .await
    }

    /// The layers of a container, to be looked at.
    ///
    /// # Errors
    /// A damaged layer.
    pub async fn layers_site(self: Arc<Self>, record: Record) -> Result<Site> {
        blocking("making a container's layers ready", move || {
            let image = self.images.get(&record.image_id)?;
            let lower = self.lower_dirs(&image)?;
            super::make_dirs(&self.paths, record.id)?;
            Ok(Site::Layers { lower, upper: self.paths.upper(record.id) })
        })
        .await
    }
}
