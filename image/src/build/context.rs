//! The files of a client: their names and metadata in memory, their content in a directory of the store once it was sent.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::files::{Files, Seen};
use crate::archive::Kind;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};
use crate::snapshot::components;

/// The most files of one context.
const ENTRY_LIMIT: usize = 2_000_000;

/// One file of a context, as a client tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContextEntry {
    /// Relative to the context.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ContextKind,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: i64,
}

/// What a file of a context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextKind {
    /// A directory.
    Directory,
    /// A file of so many bytes.
    File(u64),
    /// A link to there.
    Symlink(Vec<u8>),
    /// The same file as the one of this path, which came before.
    HardLink(Vec<u8>),
}

/// A client's files.
pub struct Context {
    files: BTreeMap<Vec<u8>, (u32, Seen)>,
    names: HashMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    /// Where contents are, by number.
    spool: PathBuf,
    digests: Mutex<BTreeMap<u32, Digest>>,
    held: Mutex<BTreeSet<u32>>,
}

impl Context {
    /// No files yet; contents will be in the directory `spool`, which exists and is the context's own.
    pub fn new(spool: PathBuf) -> Context {
        Context {
            files: BTreeMap::new(),
            names: HashMap::new(),
            spool,
            digests: Mutex::default(),
            held: Mutex::default(),
        }
    }

    /// Takes the next files, which are numbered from 0 in the order that they come in. A directory may come after what is in
    /// it, or not at all.
    ///
    /// # Errors
    /// [`Error::InvalidEntry`], [`Error::LimitExceeded`].
    pub fn add(&mut self, number: u32, entry: ContextEntry) -> Result<()> {
        if self.files.len() >= ENTRY_LIMIT {
            return Err(Error::LimitExceeded { what: "files of a context", limit: ENTRY_LIMIT as u64 });
        }
        let parts = components(&entry.path)?;
        if parts.is_empty() {
            return Ok(());
        }
        let path = parts.join(&b'/');
        let (mut number, mut content) = (number, None);
        let kind = match entry.kind {
            ContextKind::Directory => Kind::Directory,
            ContextKind::File(size) => Kind::File(size),
            ContextKind::Symlink(target) => Kind::Symlink(target),
            ContextKind::HardLink(target) => {
                let target = components(&target)?.join(&b'/');
                let Some((first, seen)) = self.files.get(&target).filter(|(_, seen)| seen.is_file()) else {
                    return Err(Error::entry(&entry.path, "it is a hard link to what is no file of the context"));
                };
                number = *first;
                content = Some(seen.kind.clone());
                Kind::Fifo
            }
        };
        let kind = content.unwrap_or(kind);
        let (mode, uid, gid, mtime) = (entry.mode & 0o7777, entry.uid, entry.gid, entry.mtime);
        let seen = Seen { kind, mode, uid, gid, mtime, xattrs: Vec::new() };
        for depth in 1..parts.len() {
            let dir = parts[..depth].join(&b'/');
            let known = self.files.entry(dir).or_insert_with(|| (u32::MAX, directory()));
            if !known.1.is_dir() {
                return Err(Error::entry(&entry.path, "its parent is no directory"));
            }
            self.names.entry(parts[..depth - 1].join(&b'/')).or_default().insert(parts[depth - 1].to_vec());
        }
        let (name, dirs) = (parts[parts.len() - 1].to_vec(), parts[..parts.len() - 1].join(&b'/'));
        if !seen.is_dir() && self.names.contains_key(&path) {
            return Err(Error::entry(&entry.path, "it is a directory and something else"));
        }
        self.names.entry(dirs).or_default().insert(name);
        self.files.insert(path, (number, seen));
        Ok(())
    }

    /// The numbers of those of `paths` that are files whose digest nobody has told yet.
    pub fn without_digest<'a>(&self, paths: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u32> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        self.numbers(paths).filter(|number| !digests.contains_key(number)).collect()
    }

    /// The numbers and sizes of those of `paths` that are files whose content isn't here yet.
    pub fn without_content<'a>(&self, paths: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<(u32, u64)> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sizes: BTreeMap<u32, u64> = BTreeMap::new();
        for path in paths {
            if let Some((number, Seen { kind: Kind::File(size), .. })) = self.files.get(path)
                && !held.contains(number)
            {
                sizes.insert(*number, *size);
            }
        }
        sizes.into_iter().collect()
    }

    fn numbers<'a>(&self, paths: impl IntoIterator<Item = &'a Vec<u8>>) -> impl Iterator<Item = u32> {
        let files = paths.into_iter().filter_map(|path| self.files.get(path)).filter(|(_, seen)| seen.is_file());
        let numbers: BTreeSet<u32> = files.map(|(number, _)| *number).collect();
        numbers.into_iter()
    }

    /// Notes the digest that the client tells of a file.
    pub fn set_digest(&self, number: u32, digest: Digest) {
        self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(number, digest);
    }

    /// Takes the content of a file: exactly `size` bytes of `source`. It must be what the client has told of it.
    ///
    /// # Errors
    /// [`Error::DigestMismatch`] if the file has changed meanwhile, [`Error::Io`].
    pub fn receive(&self, number: u32, size: u64, source: &mut impl Read) -> Result<()> {
        let path = self.spool.join(number.to_string());
        let failed = |error| Error::io("write", path.display(), error);
        let mut file = File::create(&path).map_err(failed)?;
        let (mut hasher, mut left) = (Hasher::new(), size);
        let mut buffer = vec![0; 128 << 10];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match source.read(&mut buffer[..want]) {
                Ok(0) => return Err(Error::io("read", "the context", io::Error::from(io::ErrorKind::UnexpectedEof))),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    file.write_all(&buffer[..count]).map_err(failed)?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", "the context", error)),
            }
        }
        let digest = hasher.finish();
        let told = self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(number, digest);
        if let Some(expected) = told.filter(|told| *told != digest) {
            let path = self.files.iter().find(|(_, (own, _))| *own == number).map(|(path, _)| path.as_slice());
            let name = String::from_utf8_lossy(path.unwrap_or_default()).into_owned();
            let what = format!("{name} of the context, which has changed while it was read");
            return Err(Error::DigestMismatch { what, expected, actual: digest });
        }
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        Ok(())
    }
}

/// A directory that nobody has told of.
fn directory() -> Seen {
    Seen { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, mtime: 0, xattrs: Vec::new() }
}

impl Files for Context {
    fn look(&self, path: &[u8]) -> Result<Option<Seen>> {
        if path.is_empty() {
            return Ok(Some(directory()));
        }
        Ok(self.files.get(path).map(|(_, seen)| seen.clone()))
    }

    fn names(&self, path: &[u8]) -> Result<Vec<Vec<u8>>> {
        Ok(self.names.get(path).map(|names| names.iter().cloned().collect()).unwrap_or_default())
    }

    fn open(&self, path: &[u8]) -> Result<Box<dyn Read + '_>> {
        let shown = || String::from_utf8_lossy(path).into_owned();
        let (number, _) = self.files.get(path).ok_or_else(|| Error::NotFoundInRootfs { path: shown() })?;
        let file = File::open(self.spool.join(number.to_string()));
        Ok(Box::new(file.map_err(|error| Error::io("open", shown(), error))?))
    }

    fn digest(&self, path: &[u8]) -> Result<Digest> {
        let number = self.files.get(path).map(|(number, _)| *number);
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let known = number.and_then(|number| digests.get(&number).copied());
        known.ok_or_else(|| Error::NotFoundInRootfs { path: String::from_utf8_lossy(path).into_owned() })
    }
}
