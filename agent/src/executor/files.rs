//! How to come by the files of a container that doesn't run.

use std::sync::Arc;

use image::MergedRoot;
use model::ContainerId;
use model::shim::LOCK_FILE;
use tokio::sync::Mutex;

use super::{Executor, blocking};
use crate::Result;
use crate::containers::Record;
use crate::files::{Site, StoppedMount};
use crate::mounts::{self, Sources};

impl Executor {
    /// Held while a container is started, and while its own layer is written to.
    pub fn exclusive(&self, id: ContainerId) -> Arc<Mutex<()>> {
        let mut locks = self.exclusive.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Those that nobody holds or waits for are forgotten.
        locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        locks.entry(id).or_default().clone()
    }

    /// The program that works on containers' files.
    pub fn files_program(&self) -> std::process::Command {
        self.programs.files()
    }

    /// The layers of a container, to be mounted; what is written to them stays only if `lasting`.
    ///
    /// # Errors
    /// A damaged layer, a missing bind source.
    pub async fn stopped_site(self: Arc<Self>, record: Record, with_mounts: bool, lasting: bool) -> Result<Site> {
        blocking("making a container's files ready", move || {
            let image = self.images.get(&record.image_id)?;
            let lower = self.lower_dirs(&image)?;
            super::make_dirs(&self.paths, record.id)?;
            let upper = self.paths.upper(record.id);
            let root = MergedRoot::new(std::iter::once(upper.clone()).chain(lower.iter().cloned()).collect());
            let contents = self.contents.borrow().clone();
            let sources =
                Sources { paths: &self.paths, volumes: &self.volumes, root: &root, contents: &contents, map: None };
            let mut points = if with_mounts { mounts::lasting(&record, &sources)? } else { Vec::new() };
            points.sort_by_key(|point| point.target.split('/').filter(|part| !part.is_empty()).count());
            let mount = |point: crate::bundle::MountPoint| StoppedMount {
                read_only: point.options.iter().any(|option| option == "ro"),
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
