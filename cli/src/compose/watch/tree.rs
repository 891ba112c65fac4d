//! The directories that are watched: inotify(7), made recursive.
//!
//! What is there is remembered, so that a directory that goes is told with all that was in it, and what was missed when the
//! kernel's queue ran over is found by looking.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};

/// Room for events that are read at once.
const BUFFER: usize = 64 << 10;

/// Which directories are looked into: `true` for those in which something may be meant.
pub type Sees = Box<dyn Fn(&Path) -> bool + Send>;

/// Trees that are watched.
pub struct Tree {
    inotify: OwnedFd,
    roots: Vec<PathBuf>,
    sees: Sees,
    /// A directory can have several paths, by links that a root is.
    watches: HashMap<i32, BTreeSet<PathBuf>>,
    known: BTreeMap<PathBuf, Stamp>,
}

/// What tells that a file is another than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    mode: u32,
    size: u64,
    modified: (i64, i64),
}

/// What the kernel told.
struct Told {
    watch: i32,
    what: ReadFlags,
    name: Option<PathBuf>,
}

impl Tree {
    /// Begins to watch these files and directories, there or not, as far as `sees` lets it look into directories.
    pub fn new(roots: BTreeSet<PathBuf>, sees: Sees) -> Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC).map_err(|error| failed("watch files below", "/", error))?;
        let roots: Vec<PathBuf> = roots.into_iter().collect();
        let mut tree = Self { inotify, roots: roots.clone(), sees, watches: HashMap::new(), known: BTreeMap::new() };
        let mut present = BTreeSet::new();
        for root in &roots {
            tree.attach(root, &mut present)?;
        }
        Ok(tree)
    }

    /// All that is there.
    pub fn present(&self) -> impl Iterator<Item = &PathBuf> {
        self.known.keys()
    }

    /// Waits for changes, and tells the paths of what is new, has changed or is gone.
    pub fn changes(&mut self) -> Result<BTreeSet<PathBuf>> {
        let mut changed = BTreeSet::new();
        for told in self.read()? {
            self.take_in(&told, &mut changed)?;
        }
        Ok(changed)
    }

    fn read(&self) -> Result<Vec<Told>> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut told = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => told.push(Told {
                    watch: event.wd(),
                    what: event.events(),
                    name: event.file_name().map(|name| PathBuf::from(OsStr::from_bytes(name.to_bytes()))),
                }),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(failed("watch files below", "/", error)),
            }
            if reader.is_buffer_empty() {
                return Ok(told);
            }
        }
    }

    fn take_in(&mut self, told: &Told, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        if told.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.look_again(changed);
        }
        let dirs: Vec<PathBuf> = self.watches.get(&told.watch).into_iter().flatten().cloned().collect();
        if told.what.contains(ReadFlags::IGNORED) {
            self.watches.remove(&told.watch);
        }
        let gone = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED | ReadFlags::UNMOUNT;
        for dir in dirs {
            match &told.name {
                Some(name) => self.changed(&dir.join(name), told.what, changed)?,
                None if told.what.intersects(gone) => self.lost(&dir, changed)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Something of this path in a watched directory.
    fn changed(&mut self, path: &Path, what: ReadFlags, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let leads_to: Vec<PathBuf> = self.roots.iter().filter(|root| root.starts_with(path)).cloned().collect();
        if what.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.forget(path, changed);
        } else if self.is_below_a_root(path) {
            self.scan(path, changed)?;
            changed.insert(path.to_owned());
        }
        for root in leads_to {
            self.attach(&root, changed)?;
        }
        Ok(())
    }

    /// A watched directory is no longer where it was.
    fn lost(&mut self, dir: &Path, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let leads_to: Vec<PathBuf> = self.roots.iter().filter(|root| root.starts_with(dir)).cloned().collect();
        self.forget(dir, changed);
        for root in leads_to {
            self.attach(&root, changed)?;
        }
        Ok(())
    }

    fn is_below_a_root(&self, path: &Path) -> bool {
        // Of what is not looked into only the directory itself is told.
        self.roots.iter().any(|root| path == root)
            || path
                .parent()
                .is_some_and(|parent| self.roots.iter().any(|root| parent.starts_with(root)) && (self.sees)(parent))
    }

    /// Watches a root and what is in it, and the directory where it appears or is replaced; the nearest that is there.
    fn attach(&mut self, root: &Path, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        for above in root.ancestors().skip(1) {
            if self.watch(above, WatchFlags::empty())? {
                break;
            }
        }
        self.scan(root, changed)
    }

    /// Takes in what is at `path`, and watches the directories there.
    fn scan(&mut self, path: &Path, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let mut todo = vec![path.to_owned()];
        while let Some(path) = todo.pop() {
            // A root may be a link to a directory; whatever is in it is looked at as it is.
            let is_root = self.roots.contains(&path);
            let found = if is_root { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
            let Ok(found) = found else {
                self.forget(&path, changed);
                continue;
            };
            let stamp = Stamp::of(&found);
            let old = self.known.insert(path.clone(), stamp);
            if old.is_none_or(|old| old.is_another(stamp)) {
                changed.insert(path.clone());
            }
            if !found.is_dir() || !(self.sees)(&path) {
                continue;
            }
            // Watched first: what comes while it is read is told by the kernel.
            let flags = if is_root { WatchFlags::empty() } else { WatchFlags::DONT_FOLLOW };
            if self.watch(&path, flags)?
                && let Ok(entries) = std::fs::read_dir(&path)
            {
                todo.extend(entries.flatten().map(|entry| entry.path()));
            }
        }
        Ok(())
    }

    /// Watches one directory; `false` if there is none any more, or none that may be read.
    fn watch(&mut self, dir: &Path, flags: WatchFlags) -> Result<bool> {
        let events = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::MODIFY
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        match inotify::add_watch(&self.inotify, dir, events | flags) {
            Ok(watch) => {
                self.watches.entry(watch).or_default().insert(dir.to_owned());
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => Ok(false),
            Err(error) => Err(failed("watch", dir, error)),
        }
    }

    /// Lets go of what was at `path` and in it.
    fn forget(&mut self, path: &Path, changed: &mut BTreeSet<PathBuf>) {
        let from = (Bound::Included(path.to_owned()), Bound::Unbounded);
        let gone: Vec<PathBuf> = self
            .known
            .range(from)
            .map(|(known, _)| known)
            .take_while(|known| known.starts_with(path))
            .cloned()
            .collect();
        for path in gone {
            self.known.remove(&path);
            changed.insert(path);
        }
        let inotify = &self.inotify;
        self.watches.retain(|watch, dirs| {
            dirs.retain(|dir| !dir.starts_with(path));
            if dirs.is_empty() {
                // It has ended by itself if the directory is gone.
                let _ = inotify::remove_watch(inotify, *watch);
            }
            !dirs.is_empty()
        });
    }

    /// Finds by looking what the kernel could not tell.
    fn look_again(&mut self, changed: &mut BTreeSet<PathBuf>) -> Result<()> {
        let gone: Vec<PathBuf> =
            self.known.keys().filter(|path| std::fs::symlink_metadata(path).is_err()).cloned().collect();
        for path in gone {
            self.forget(&path, changed);
        }
        for root in self.roots.clone() {
            self.attach(&root, changed)?;
        }
        Ok(())
    }
}

impl Stamp {
    fn of(found: &std::fs::Metadata) -> Self {
        Self {
            inode: found.ino(),
            mode: found.mode(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        }
    }

    /// Whether a file with this stamp has changed since; of a directory only that it is another counts.
    fn is_another(self, now: Stamp) -> bool {
        let is_dir = |stamp: Stamp| stamp.mode & libc::S_IFMT == libc::S_IFDIR;
        if is_dir(self) && is_dir(now) { self.inode != now.inode } else { self != now }
    }
}

fn failed(action: &'static str, path: impl AsRef<Path>, error: Errno) -> Error {
    let path = path.as_ref().to_owned();
    let source = match error {
        Errno::NOSPC => std::io::Error::other(
            "the limit of watched directories is reached: raise it with sysctl fs.inotify.max_user_watches, or let `ignore` or \
             .dockerignore leave more out",
        ),
        Errno::MFILE => std::io::Error::other(
            "the limit of processes that watch files is reached: raise it with sysctl fs.inotify.max_user_instances",
        ),
        error => error.into(),
    };
    Error::File { action, path, source }
}
