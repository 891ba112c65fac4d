//! The node's volumes: `DATA/volumes/NAME/_data`, made on first use, filled from the image when new.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use image::MergedRoot;
use model::{ServiceId, Timestamp, VolumeSpec, check_object_name};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::driver::{Driver, FileSystem};
use super::held::{HeldMounts, unmount_all};
use crate::containers::Record;
use crate::locks::Locks;
use crate::{Error, Result, random};

const DATA: &str = "_data";
const FILLING: &str = ".filling";
/// Before the name of a volume that is being removed; no volume's name begins so.
const GONE: &str = ".gone-";

/// A volume as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRecord {
    /// Its name on the node.
    pub name: String,
    /// How it was asked for.
    pub spec: VolumeSpec,
    /// When it was made.
    pub created_at: Timestamp,
    /// It goes with its container.
    pub anonymous: bool,
    /// The place that it was made for, whose next container takes it over.
    pub owner: Option<VolumeOwner>,
}

/// A place of a service's containers: each container there has its anonymous volume in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeOwner {
    /// Which service.
    pub service: ServiceId,
    /// Which of its replicas.
    pub slot: u32,
    /// Where it is mounted.
    pub target: String,
    /// The version of the service's spec whose container it was made for.
    pub spec_version: u64,
}

impl VolumeOwner {
    /// Whether both mean the same place, whatever the spec.
    fn is_place_of(&self, other: &Self) -> bool {
        (self.service, self.slot) == (other.service, other.slot)
            && self.target.trim_end_matches('/') == other.target.trim_end_matches('/')
    }
}

/// The node's volumes. Calls that touch the disk block.
#[derive(Debug)]
pub struct Volumes {
    root: PathBuf,
    records: Mutex<BTreeMap<String, VolumeRecord>>,
    /// Mounting and filling a volume is one caller's work at a time.
    filling: Locks<String, Mutex<()>>,
    held: HeldMounts,
}

impl Volumes {
    /// The volumes of these records. What is mounted besides them goes into `mounts`.
    pub fn new(root: PathBuf, mounts: PathBuf, records: BTreeMap<String, VolumeRecord>) -> Self {
        Self { root, records: Mutex::new(records), filling: Locks::default(), held: HeldMounts::new(mounts) }
    }

    /// What is mounted for containers, and for whom.
    pub fn held(&self) -> &HeldMounts {
        &self.held
    }

    /// Notes what a container that runs holds of these volumes.
    pub fn adopt<'a>(&self, names: impl Iterator<Item = &'a str>, holder: &str) {
        for name in names {
            let driver = self.get(name).map(|record| Driver::of(name, &record.spec));
            if let Some(Ok(Driver::Mounted(_))) = driver {
                self.held.adopt(&self.mountpoint(name), holder);
            }
        }
    }

    /// Unmounts what no container holds, after an earlier daemon's end.
    pub fn settle(&self) {
        self.held.settle(&self.root);
        // What an earlier daemon did not come to the end of removing.
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(GONE)
                && let Err(error) = unmount_all(&entry.path()).and_then(|()| remove_tree(&entry.path()))
            {
                tracing::warn!(path = %entry.path().display(), %error, "what is left of a volume stays");
            }
        }
    }

    /// The directory of a volume that is no more than that; none if it is elsewhere or a file system of its own.
    pub fn directory(&self, name: &str) -> Option<PathBuf> {
        let record = self.get(name)?;
        matches!(Driver::of(name, &record.spec), Ok(Driver::Directory)).then(|| self.mountpoint(name))
    }

    fn records(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, VolumeRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All volumes by name.
    pub fn list(&self) -> Vec<VolumeRecord> {
        self.records().values().cloned().collect()
    }

    /// One volume.
    pub fn get(&self, name: &str) -> Option<VolumeRecord> {
        self.records().get(name).cloned()
    }

    /// The volumes that a container has.
    pub fn of(&self, container: &Record) -> Vec<VolumeRecord> {
        let records = self.records();
        container.volumes.iter().filter_map(|volume| records.get(&volume.name).cloned()).collect()
    }

    /// Where its files are.
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        self.root.join(name).join(DATA)
    }

    /// Records a volume; one of that name is returned as it is. Its directory is made by its first use, or by
    /// [`source`](Self::source).
    ///
    /// # Errors
    /// [`Error::Name`], [`Error::Volume`] for unsupported driver options, or if it must exist and doesn't.
    pub fn create(&self, name: Option<String>, spec: VolumeSpec, now: Timestamp) -> Result<VolumeRecord> {
        let anonymous = name.is_none();
        let name = match name {
            Some(name) => name,
            None => anonymous_name()?,
        };
        self.ensure(VolumeRecord { name, spec, created_at: now, anonymous, owner: None })
    }

    /// Records a volume like this one; one of its name is returned as it is.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn ensure(&self, wanted: VolumeRecord) -> Result<VolumeRecord> {
        let (name, spec) = (&wanted.name, &wanted.spec);
        check_object_name("volume", name)?;
        Driver::of(name, spec)?;
        let mut records = self.records();
        if let Some(record) = records.get(name) {
            return Ok(record.clone());
        }
        if spec.external {
            let reason =
                "it is declared external, and this node has none of that name; create it with `orca volume create`";
            return Err(Error::Volume { name: name.into(), reason: reason.into() });
        }
        records.insert(name.clone(), wanted.clone());
        Ok(wanted)
    }

    /// The newest volume that a container in this place has left, made for this or a later version of its service's spec.
    pub fn left_for(&self, place: &VolumeOwner, since: u64, but: &BTreeSet<String>) -> Option<String> {
        let records = self.records();
        let is_its = |owner: &VolumeOwner| owner.is_place_of(place) && owner.spec_version >= since;
        let left =
            records.values().filter(|record| record.owner.as_ref().is_some_and(is_its) && !but.contains(&record.name));
        left.max_by_key(|record| (record.created_at, &record.name)).map(|record| record.name.clone())
    }

    /// The directory to mount, made where it is missing. While it is empty it is filled with what the image has at `path`,
    /// if `fill` says so. A file system of its own is mounted for `holder`.
    pub fn source(&self, name: &str, fill: Option<(&MergedRoot, &str)>, holder: &str) -> Result<PathBuf> {
        let filling = self.filling.of(name.to_owned());
        let _alone = filling.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.get(name).ok_or_else(|| Error::NoSuchVolume(name.into()))?;
        let data = self.mountpoint(name);
        match Driver::of(name, &record.spec)? {
            Driver::Path(path) if path.exists() => return Ok(path),
            Driver::Path(path) => {
                let reason = format!("its device {} does not exist", path.display());
                return Err(Error::Volume { name: name.into(), reason });
            }
            Driver::Mounted(system) => {
                self.held.hold(&data, holder, |point| mount_on(point, &system))?;
            }
            Driver::Directory => {}
        }
        if let Some((image, path)) = fill.filter(|_| is_empty(&data)) {
            self.fill(name, image, path)?;
        }
        make_dir(&data)?;
        Ok(data)
    }

    /// Copies beside the volume and moves what was copied: a crash leaves no half-filled volume.
    fn fill(&self, name: &str, image: &MergedRoot, path: &str) -> Result<()> {
        let (data, filling) = (self.mountpoint(name), self.root.join(name).join(FILLING));
        remove_tree(&filling)?;
        make_dir(&filling)?;
        let is_mounted =
            matches!(self.get(name).map(|record| Driver::of(name, &record.spec)), Some(Ok(Driver::Mounted(_))));
        if is_mounted {
            // Beside it is another file system; what is cut off here stays half-filled, as in Docker.
            remove_tree(&filling)?;
            return match image.copy_tree(path, &data) {
                Err(image::Error::Rootfs { .. }) => Ok(()),
                done => Ok(done.map(drop)?),
            };
        }
        let copied = match image.copy_tree(path, &filling) {
            // A file in the image where the volume is mounted: nothing to fill it with.
            Err(image::Error::Rootfs { .. }) => false,
            done => done?,
        };
        if !copied {
            return remove_tree(&filling);
        }
        if !data.exists() {
            return fs::rename(&filling, &data).map_err(Error::io("move into place", &data));
        }
        // It exists, empty, and may be mounted: it must stay the same directory.
        for entry in fs::read_dir(&filling).map_err(Error::io("read", &filling))? {
            let entry = entry.map_err(Error::io("read", &filling))?;
            let target = data.join(entry.file_name());
            fs::rename(entry.path(), &target).map_err(Error::io("move into place", &target))?;
        }
        let stat = rustix::fs::stat(&filling).map_err(Error::io("inspect", &filling))?;
        let copy_owner = || -> std::io::Result<()> {
            std::os::unix::fs::chown(&data, Some(stat.st_uid), Some(stat.st_gid))?;
            rustix::fs::chmod(&data, rustix::fs::Mode::from_raw_mode(stat.st_mode & 0o7777))?;
            Ok(())
        };
        copy_owner().map_err(Error::io("set the owner of", &data))?;
        remove_tree(&filling)
    }

    /// Forgets volumes that were recorded for a container that is not to be after all; nothing of them is on disk yet.
    pub fn forget<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut records = self.records();
        names.for_each(|name| drop(records.remove(name)));
    }

    /// Takes a volume and its directory away from its name, for [`discard`](Self::discard): the next one of that name is another. Who
    /// uses it must have been asked before, while nobody could begin to.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::Io`].
    pub fn take(&self, name: &str) -> Result<Taken> {
        let mut records = self.records();
        if !records.contains_key(name) {
            return Err(Error::NoSuchVolume(name.into()));
        }
        let dir = self.root.join(name);
        let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
        let gone = (0..u32::MAX).map(|number| self.root.join(format!("{GONE}{number}"))).find(free);
        let gone = gone.ok_or_else(|| Error::NoSuchVolume(name.into()))?;
        match fs::rename(&dir, &gone) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            renamed => renamed.map_err(Error::io("move away", &dir))?,
        }
        let record = records.remove(name).ok_or_else(|| Error::NoSuchVolume(name.into()))?;
        Ok(Taken { record, gone })
    }

    /// Removes the files of a volume that was taken away. If they cannot be removed it has its name back, unless another one has
    /// that by now.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub async fn discard(&self, taken: Taken) -> Result<()> {
        let gone = taken.gone.clone();
        // What is mounted there is somebody else's, and must not be removed with it.
        let removed = tokio::task::spawn_blocking(move || unmount_all(&gone).and_then(|()| remove_tree(&gone)));
        let removed = removed.await.unwrap_or(Err(Error::Thread("removing a volume")));
        if removed.is_err() {
            let mut records = self.records();
            let Taken { record, gone } = taken;
            if !records.contains_key(&record.name) && fs::rename(gone, self.root.join(&record.name)).is_ok() {
                records.insert(record.name.clone(), record);
            }
        }
        removed
    }
}

/// A volume without its name, on its way out.
#[derive(Debug)]
pub struct Taken {
    record: VolumeRecord,
    gone: PathBuf,
}

/// A name for a volume that its user has not named: 64 hex digits, as Docker's.
pub fn anonymous_name() -> Result<String> {
    Ok(random::bits256()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none())
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(Error::io("make", dir))
}

fn remove_tree(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", dir)(error)),
        _ => Ok(()),
    }
}

fn mount_on(point: &Path, system: &FileSystem) -> Result<()> {
    let FileSystem { kind, device, flags, data } = system;
    let data = match system.server() {
        None => data.clone(),
        Some(host) => {
            let address = crate::resolver::address(host);
            let address = address.map_err(|reason| Error::FileServer { host: host.into(), reason })?;
            system.data_with(address)
        }
    };
    let (kind, data) = (Some(kind.as_str()), Some(data.as_str()).filter(|data| !data.is_empty()));
    let failed = |errno: nix::Error| Error::io("mount the volume's file system on", point)(errno);
    mount(Some(device.as_str()), point, kind, *flags, data).map_err(failed)?;
    // A bind takes its options only when it is mounted again (mount(2)).
    if flags.contains(MsFlags::MS_BIND) {
        let again = *flags | MsFlags::MS_REMOUNT;
        mount(None::<&str>, point, None::<&str>, again - MsFlags::MS_REC, None::<&str>).map_err(|errno| {
            let _ = umount2(point, MntFlags::MNT_DETACH);
            failed(errno)
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_volume_is_filled_once() {
        let dir = tempfile::tempdir().unwrap();
        let layer = dir.path().join("layer");
        fs::create_dir_all(layer.join("srv/sub")).unwrap();
        fs::write(layer.join("srv/file"), "from the image").unwrap();
        std::os::unix::fs::chown(layer.join("srv"), Some(12), Some(34)).unwrap();
        let image = MergedRoot::new(vec![layer]);
        let volumes = Volumes::new(dir.path().join("volumes"), dir.path().join("mounts"), BTreeMap::new());
        volumes.create(Some("data".into()), VolumeSpec::default(), Timestamp(1)).unwrap();
        let source = volumes.source("data", Some((&image, "/srv")), "test").unwrap();
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "from the image");
        assert_eq!(rustix::fs::stat(&source).unwrap().st_uid, 12);
        fs::write(source.join("file"), "changed").unwrap();
        volumes.source("data", Some((&image, "/srv")), "test").unwrap();
        assert_eq!(fs::read_to_string(source.join("file")).unwrap(), "changed");
        // Made empty before: filled at its first use, in place.
        volumes.create(Some("early".into()), VolumeSpec::default(), Timestamp(1)).unwrap();
        let early = volumes.source("early", None, "test").unwrap();
        let inode = rustix::fs::stat(&early).unwrap().st_ino;
        volumes.source("early", Some((&image, "/srv")), "test").unwrap();
        assert!(early.join("sub").is_dir());
        let stat = rustix::fs::stat(&early).unwrap();
        assert_eq!((stat.st_ino, stat.st_gid), (inode, 34));
    }

    /// A file system whose server never answers, mounted for a test (fuse(4)). It ends with the descriptor.
    struct Silent {
        server: Option<fs::File>,
        point: PathBuf,
    }

    impl Silent {
        fn options(&self) -> BTreeMap<String, String> {
            use std::os::fd::AsRawFd;
            let server = self.server.as_ref().map_or(-1, AsRawFd::as_raw_fd);
            let options = format!("fd={server},rootmode=40000,user_id=0,group_id=0");
            [("type", "fuse"), ("device", "silent"), ("o", options.as_str())]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into()
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.server.take();
            let _ = umount2(&self.point, MntFlags::MNT_DETACH);
        }
    }

    #[test]
    fn a_dead_file_server_holds_up_nobody_but_who_wants_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("volumes");
        let server = fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let mut silent = Silent { server: Some(server), point: root.join("silent").join(DATA) };
        let volumes = std::sync::Arc::new(Volumes::new(root.clone(), dir.path().join("mounts"), BTreeMap::new()));
        let create = |name: &str, driver_opts| {
            let spec = VolumeSpec { driver_opts, ..VolumeSpec::default() };
            volumes.create(Some(name.into()), spec, Timestamp(1)).unwrap();
        };
        create("silent", silent.options());
        create("plain", BTreeMap::new());
        create("memory", [("type".to_owned(), "tmpfs".to_owned())].into());
        let uses = |holder: &'static str| {
            let (volumes, layer) = (volumes.clone(), dir.path().join("layer"));
            std::thread::spawn(move || {
                volumes.source("silent", Some((&MergedRoot::new(vec![layer]), "/srv")), holder).is_ok()
            })
        };
        let waiting = [uses("one"), uses("two")];
        while !super::super::held::is_mounted(&silent.point).unwrap() {
            std::thread::yield_now();
        }
        let (done, others) = std::sync::mpsc::channel();
        let free = volumes.clone();
        std::thread::spawn(move || {
            let sources = ["plain", "memory"].map(|name| free.source(name, None, "other").is_ok());
            free.settle();
            free.held().release("other");
            // Who was using it and has ended; that it is unmounted asks no server.
            free.held().release("one");
            done.send(sources)
        });
        let in_time = others.recv_timeout(std::time::Duration::from_secs(30));
        assert!(waiting.iter().all(|thread| !thread.is_finished()));
        silent.server.take();
        assert!(waiting.into_iter().all(|thread| thread.join().is_ok()));
        assert_eq!(in_time.unwrap(), [true, true]);
        assert!(!super::super::held::is_mounted(&root.join("memory").join(DATA)).unwrap());
    }

    #[test]
    fn a_place_has_the_newest_volume_that_it_was_left_since_a_version() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().into(), dir.path().join("mounts"), BTreeMap::new());
        let place = |slot: u32, target: &str, spec_version: u64| VolumeOwner {
            service: ServiceId::from_random(1),
            slot,
            target: target.into(),
            spec_version,
        };
        let leave = |name: &str, owner: VolumeOwner, at: i64| {
            let (name, owner) = (name.to_owned(), Some(owner));
            let (spec, created_at) = (VolumeSpec::default(), Timestamp(at));
            volumes.ensure(VolumeRecord { name, spec, created_at, anonymous: true, owner }).unwrap();
        };
        leave("old", place(1, "/data", 1), 1);
        leave("new", place(1, "/data/", 2), 2);
        leave("other", place(2, "/data", 3), 3);
        let none = BTreeSet::new();
        let left = |since| volumes.left_for(&place(1, "/data", 9), since, &none);
        assert_eq!((left(0).as_deref(), left(2).as_deref(), left(3)), (Some("new"), Some("new"), None));
        let gone = BTreeSet::from(["new".to_owned()]);
        assert_eq!(volumes.left_for(&place(1, "/data", 9), 0, &gone).as_deref(), Some("old"));
        assert_eq!(volumes.left_for(&place(1, "/else", 9), 0, &none), None);
    }

    #[tokio::test]
    async fn the_next_volume_of_a_name_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().join("volumes"), dir.path().join("mounts"), BTreeMap::new());
        let make = |number: u8| {
            volumes.create(Some("data".into()), VolumeSpec::default(), Timestamp(1)).unwrap();
            let data = volumes.source("data", None, "one").unwrap();
            fs::write(data.join("file"), [number]).unwrap();
            data.join("file")
        };
        make(1);
        let first = volumes.take("data").unwrap();
        assert!(matches!(volumes.take("data"), Err(Error::NoSuchVolume(_))));
        let file = make(2);
        let second = volumes.take("data").unwrap();
        make(3);
        volumes.discard(first).await.unwrap();
        volumes.discard(second).await.unwrap();
        assert_eq!(fs::read(file).unwrap(), [3]);
        assert_eq!(fs::read_dir(dir.path().join("volumes")).unwrap().count(), 1);
        // What cannot be removed keeps its name, unless another has it.
        let stuck = volumes.take("data").unwrap();
        fs::remove_dir_all(&stuck.gone).unwrap();
        fs::write(&stuck.gone, "").unwrap();
        assert!(volumes.discard(stuck).await.is_err());
        assert!(volumes.get("data").is_some());
    }

    #[test]
    fn an_external_volume_must_exist() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = Volumes::new(dir.path().into(), dir.path().join("mounts"), BTreeMap::new());
        let external = VolumeSpec { external: true, ..VolumeSpec::default() };
        assert!(volumes.create(Some("data".into()), external, Timestamp(1)).is_err());
    }
}
