//! The image store of a node: what the agent calls.
//!
//! One process owns the directory (a lock file holds the others off). Changes to the catalog are one atomic rename of
//! `index.json`; content is published before the catalog names it, so a crash at any step leaves only garbage, which
//! [`Store::collect`] removes. `staging/` is emptied when the store is opened.

mod build;
mod cache;
mod commit;
mod compress;
mod history;
mod import;
mod inspect;
mod lease;
mod load;
mod pulled;
mod remove;
mod save;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

pub use build::{BuiltLayer, HeldImage, Scratch};
pub use cache::{CacheEntry, CacheRecord};
pub use commit::CommitOptions;
pub use history::HistoryEntry;
pub use import::ImportOptions;
pub use inspect::{ImageDetails, ImageMetadata, ImageSummary, RootFsDetails};
pub use lease::Lease;
pub use load::Loaded;
pub(crate) use pulled::Pulled;
pub use pulled::{Known, LayerFacts};
pub use remove::Pruned;

use crate::archive::Limits;
use crate::catalog::{Catalog, Record};
use crate::content::{BlobWriter, ContentStore, Ingested, StagedBlob, sync_dir};
use crate::digest::{Digest, chain_ids};
use crate::error::{Error, Result};
use crate::gc::{self, Holdings};
use crate::manifest::{DOCUMENT_LIMIT, Descriptor, ImageConfig, MEDIA_CONFIG, MEDIA_MANIFEST, Manifest, to_json};
use crate::reference::Reference;
use crate::rootfs::MergedRoot;
use crate::snapshot::{Layer, Snapshots, Unpacker, remove_tree};

/// Images of one node. All methods may be called from several threads.
pub struct Store {
    root: PathBuf,
    content: ContentStore,
    snapshots: Snapshots,
    limits: Limits,
    catalog: Mutex<Catalog>,
    /// Taken shared while content is added that the catalog doesn't name yet, and alone to collect garbage.
    collecting: RwLock<()>,
    /// What work that takes longer than anyone should hold that lock still needs.
    leases: Arc<lease::Leases>,
    /// Images that a build needs for the time of one step, and how often.
    held: Mutex<BTreeMap<Digest, (Image, usize)>>,
    next_scratch: AtomicU64,
    _lock: File,
}

/// An image with its documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The config's digest.
    pub id: Digest,
    pub manifest: Manifest,
    pub config: ImageConfig,
}

/// What a collection removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    pub blobs: usize,
    pub snapshots: usize,
}

impl Store {
    /// Opens or makes the store in `data_dir/image`, with default [`Limits`].
    ///
    /// # Errors
    /// [`Error::StoreBusy`] if another process has it open, [`Error::StoreVersion`], [`Error::Io`].
    pub fn open(data_dir: &Path) -> Result<Store> {
        Store::open_with(data_dir, Limits::default())
    }

    /// Opens or makes the store with bounds for the archives it takes.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_with(data_dir: &Path, limits: Limits) -> Result<Store> {
        let root = data_dir.join("image");
        fs::create_dir_all(&root).map_err(|error| Error::io("create", root.display(), error))?;
        let lock_path = root.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(|error| Error::io("open", lock_path.display(), error))?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(
            |error| match error {
                rustix::io::Errno::WOULDBLOCK => Error::StoreBusy { path: root.clone() },
                error => Error::io("lock", lock_path.display(), error),
            },
        )?;
        let staging = root.join("staging");
        remove_tree(&staging)?;
        let content = ContentStore::open(&root, &staging)?;
        let snapshots = Snapshots::open(root.join("snapshots"), staging)?;
        let index = root.join("index.json");
        let catalog = match fs::read(&index) {
            Ok(bytes) => Catalog::parse(&index, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Catalog::default(),
            Err(error) => return Err(Error::io("read", index.display(), error)),
        };
        Ok(Store {
            root,
            content,
            snapshots,
            limits,
            catalog: Mutex::new(catalog),
            collecting: RwLock::new(()),
            leases: Arc::default(),
            held: Mutex::default(),
            next_scratch: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// The image that `text` (name, id, id prefix, digest) means.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], [`Error::AmbiguousId`], or what is wrong with its documents on disk.
    pub fn get(&self, text: &str) -> Result<Image> {
        if let Some(held) = self.held_image(text) {
            return Ok(held);
        }
        let (id, record) = self.find(text)?;
        self.read_image(id, &record)
    }

    /// The image that has this digest, of its manifest or at a registry, under whatever name.
    ///
    /// # Errors
    /// [`Error::NoSuchImage`], or what is wrong with its documents on disk.
    pub fn by_digest(&self, digest: &Digest) -> Result<Image> {
        let found = {
            let catalog = self.locked();
            let mut images = catalog.images();
            images.find(|(_, record)| record.has_digest(digest)).map(|(id, record)| (*id, record.clone()))
        };
        let (id, record) = found.ok_or_else(|| Error::NoSuchImage(digest.to_string()))?;
        self.read_image(id, &record)
    }

    /// Makes `name` mean the image that `source` means, from `now` on (seconds since the epoch).
    ///
    /// # Errors
    /// As [`Catalog::resolve`] and [`Catalog::tag`]; [`Error::Io`].
    pub fn tag(&self, source: &str, name: &Reference, now: i64) -> Result<()> {
        self.change(|catalog| {
            let id = catalog.resolve(source)?;
            catalog.touch(&id, now);
            catalog.tag(name, &id)
        })
    }

    /// The image's lower directories for overlayfs, top first. They exist only after [`Store::prepare`].
    pub fn lower_dirs(&self, image: &Image) -> Vec<PathBuf> {
        let chain = chain_ids(&image.config.rootfs.diff_ids);
        chain.iter().rev().map(|chain_id| self.snapshots.dir(chain_id)).collect()
    }

    /// Unpacks the layers that aren't unpacked yet; returns the lower directories, top first.
    ///
    /// # Errors
    /// What is wrong with a layer; no half-made snapshot stays.
    pub fn prepare(&self, image: &Image, unpacker: &Unpacker) -> Result<Vec<PathBuf>> {
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        self.unpack(image, unpacker, |_| ())
    }

    fn unpack(&self, image: &Image, unpacker: &Unpacker, mut tell: impl FnMut(usize)) -> Result<Vec<PathBuf>> {
        let diff_ids = &image.config.rootfs.diff_ids;
        let mut lower: Vec<PathBuf> = Vec::with_capacity(diff_ids.len());
        let layers = image.manifest.layers.iter().zip(diff_ids).zip(chain_ids(diff_ids));
        for (index, ((blob, diff_id), chain_id)) in layers.enumerate() {
            tell(index);
            let layer = Layer {
                blob: self.content.path(&blob.digest),
                digest: blob.digest,
                size: blob.size,
                diff_id: *diff_id,
                chain_id,
                parents: &lower,
            };
            let dir = self.snapshots.ensure(&layer, self.limits, unpacker)?;
            lower.insert(0, dir);
        }
        Ok(lower)
    }

    /// The merged view of a prepared image, for lookups and copies without a mount.
    pub fn merged_root(&self, image: &Image) -> MergedRoot {
        MergedRoot::new(self.lower_dirs(image))
    }

    /// Deletes blobs and snapshots that no image holds. `in_use` are the ids of snapshots in containers' overlay mounts.
    ///
    /// # Errors
    /// [`Error::Io`]; what was not deleted goes the next time. If an image's documents can't be read, nothing is deleted.
    pub fn collect(&self, in_use: &BTreeSet<Digest>) -> Result<Collected> {
        let _alone = self.collecting.write().unwrap_or_else(PoisonError::into_inner);
        self.sweep(in_use)
    }

    /// As [`Store::collect`], for who holds the lock already.
    fn sweep(&self, in_use: &BTreeSet<Digest>) -> Result<Collected> {
        let records: Vec<(Digest, Record)> = self.locked().images().map(|(id, record)| (*id, record.clone())).collect();
        let mut images = Vec::with_capacity(records.len());
        for (id, record) in records {
            let image = self.read_image(id, &record)?;
            images.push(Holdings::of(record.manifest.digest, &image.manifest, &image.config.rootfs.diff_ids));
        }
        let leased = self.leases.held();
        images.push(Holdings { blobs: leased.clone(), snapshots: leased });
        images.push(self.cache_holdings()?);
        images.push(Holdings { blobs: self.registry_digests(), ..Holdings::default() });
        let blobs = self.content.list()?.into_iter().collect();
        let snapshots = self.snapshots.list()?.into_iter().collect();
        let plan = gc::plan(&images, in_use, &blobs, &snapshots);
        plan.blobs.iter().try_for_each(|digest| self.content.remove(digest))?;
        plan.snapshots.iter().try_for_each(|chain_id| self.snapshots.remove(chain_id))?;
        Ok(Collected { blobs: plan.blobs.len(), snapshots: plan.snapshots.len() })
    }

    /// The ids of the image's snapshots: what a container that uses it keeps `in_use` for [`Store::collect`].
    pub fn snapshot_ids(image: &Image) -> BTreeSet<Digest> {
        chain_ids(&image.config.rootfs.diff_ids).into_iter().collect()
    }

    /// What registries have images under: indexes, as far as they were kept.
    fn registry_digests(&self) -> BTreeSet<Digest> {
        self.locked().images().flat_map(|(_, record)| record.registry_digests().collect::<Vec<_>>()).collect()
    }

    fn find(&self, text: &str) -> Result<(Digest, Record)> {
        let catalog = self.locked();
        let id = catalog.resolve(text)?;
        let record = catalog.get(&id).ok_or_else(|| Error::NoSuchImage(text.to_owned()))?;
        Ok((id, record.clone()))
    }

    fn read_image(&self, id: Digest, record: &Record) -> Result<Image> {
        let manifest = self.content.read(&record.manifest.digest, DOCUMENT_LIMIT)?;
        let manifest = Manifest::parse(&format!("manifest of image {}", id.short()), &manifest)?;
        let config = self.content.read(&id, DOCUMENT_LIMIT)?;
        let config = ImageConfig::parse(&format!("config of image {}", id.short()), &config)?;
        Ok(Image { id, manifest, config })
    }

    /// Publishes a new image made here, of `layers` bottom first, and names it.
    fn add_image(
        &self,
        layers: Vec<Ingested>,
        config: &ImageConfig,
        name: Option<&Reference>,
        now: i64,
    ) -> Result<Digest> {
        let descriptors = layers.iter().map(Ingested::layer_descriptor).collect();
        let sizes = layers.iter().filter_map(|layer| layer.diff.as_ref().ok()).map(|(_, size)| *size).collect();
        let config_bytes = to_json("image config", config)?;
        let id = Digest::of(&config_bytes);
        let manifest = Manifest::new(Descriptor::new(MEDIA_CONFIG, id, config_bytes.len() as u64), descriptors);
        let manifest = to_json("image manifest", &manifest)?;
        let _shared = self.collecting.read().unwrap_or_else(PoisonError::into_inner);
        layers.into_iter().try_for_each(|layer| self.publish(layer.blob))?;
        self.content.put(&config_bytes)?;
        let digest = self.content.put(&manifest)?;
        let descriptor = Descriptor::new(MEDIA_MANIFEST, digest, manifest.len() as u64);
        self.change(|catalog| {
            catalog.add(id, descriptor, sizes, now);
            catalog.touch(&id, now);
            name.map_or(Ok(()), |name| catalog.tag(name, &id))
        })?;
        Ok(id)
    }

    /// Adds an image whose one uncompressed layer `write` produces, and names it.
    pub(crate) fn add_layer_image(
        &self,
        name: &Reference,
        now: i64,
        write: impl FnOnce(&mut BlobWriter) -> Result<()>,
        config: impl FnOnce(&Ingested) -> Result<ImageConfig>,
    ) -> Result<Digest> {
        let mut writer = self.content.writer()?;
        write(&mut writer)?;
        let layer = Ingested::uncompressed(writer.finish()?);
        let config = config(&layer)?;
        self.add_image(vec![layer], &config, Some(name), now)
    }

    fn publish(&self, blob: StagedBlob) -> Result<()> {
        self.content.publish(blob)
    }

    fn locked(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a copy of the catalog, writes it, and only then takes it as the catalog.
    fn change<T>(&self, change: impl FnOnce(&mut Catalog) -> Result<T>) -> Result<T> {
        let mut catalog = self.locked();
        let mut changed = catalog.clone();
        let outcome = change(&mut changed)?;
        if changed != *catalog {
            self.write_catalog(&changed.to_bytes()?)?;
            *catalog = changed;
        }
        Ok(outcome)
    }

    fn write_catalog(&self, bytes: &[u8]) -> Result<()> {
        let path = self.root.join("index.json");
        let staged = self.root.join("staging/index.json");
        let failed = |error| Error::io("write", path.display(), error);
        let mut file = File::create(&staged).map_err(failed)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&staged, &path).map_err(failed)?;
        sync_dir(&self.root)
    }
}
