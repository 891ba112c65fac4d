//! The files of a context: their names at once, what is in them when it is asked for.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use api::image::{BuildFile, BuildFileKind};
use image::build::{ContextKind, TarFile, hash, read_archive};
use image::dockerfile::{IGNORE_SIZE_LIMIT, Ignore};

use crate::error::{Error, Result};

/// The most files of one context.
const FILE_LIMIT: usize = 2_000_000;

/// A context.
#[derive(Debug)]
pub enum Tree {
    /// A directory of this machine.
    Directory {
        /// Where.
        root: PathBuf,
        /// What is left out.
        ignore: Ignore,
        /// Files in the order that they were told in, and their sizes.
        told: Vec<(PathBuf, u64)>,
    },
    /// An archive.
    Archive {
        /// The contents of its files.
        spool: File,
        /// Its files.
        files: Vec<TarFile>,
    },
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::File { action, path, source }
}

/// What `.dockerignore` says: the one beside the Dockerfile with its name goes before the context's own.
pub fn ignore_rules(context: &Path, dockerfile: Option<&Path>) -> Result<Ignore> {
    let beside = dockerfile.map(|path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for path in beside.into_iter().chain([context.join(".dockerignore")]) {
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            file => file.map_err(failed("open", &path))?,
        };
        let mut text = String::new();
        file.take(IGNORE_SIZE_LIMIT).read_to_string(&mut text).map_err(failed("read", &path))?;
        return Ignore::parse(&text).map_err(|reason| Error::Files(format!("{}: {reason}", path.display())));
    }
    Ok(Ignore::default())
}

impl Tree {
    /// A directory.
    pub fn directory(root: &Path, ignore: Ignore) -> Result<Tree> {
        let metadata = std::fs::metadata(root).map_err(failed("read the build context", root))?;
        if !metadata.is_dir() {
            return Err(Error::Files(format!("the build context must be a directory: {}", root.display())));
        }
        Ok(Tree::Directory { root: root.to_path_buf(), ignore, told: Vec::new() })
    }

    /// An archive, read to its end.
    pub fn archive(source: impl Read) -> Result<Tree> {
        let dir = std::env::temp_dir();
        let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
        let spool = rustix::fs::open(&dir, flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR);
        let spool = File::from(spool.map_err(|error| failed("make a file in", &dir)(error.into()))?);
        let mut writer = BufWriter::new(spool);
        let files =
            read_archive(source, &mut writer).map_err(|error| Error::Files(format!("the build context: {error}")))?;
        let spool = writer.into_inner().map_err(|error| failed("write", &dir)(error.into_error()))?;
        Ok(Tree::Archive { spool, files })
    }

    /// A file of an archive, if it has it.
    pub fn archived(&self, path: &str) -> Result<Option<Vec<u8>>> {
        let Tree::Archive { files, .. } = self else { return Ok(None) };
        let clean = |path: &[u8]| String::from_utf8_lossy(path).trim_start_matches("./").trim_matches('/').to_owned();
        let Some(number) = files.iter().position(|file| clean(&file.entry.path) == clean(path.as_bytes())) else {
            return Ok(None);
        };
        let mut content = Vec::new();
        self.open(number)?
            .take(image::dockerfile::SIZE_LIMIT as u64 + 1)
            .read_to_end(&mut content)
            .map_err(failed("read", Path::new(path)))?;
        Ok(Some(content))
    }

    /// Leaves out what these rules ignore.
    pub fn ignoring(self, ignore: &Ignore) -> Tree {
        match self {
            Tree::Archive { spool, mut files } => {
                files.retain(|file| {
                    let path =
                        String::from_utf8_lossy(&file.entry.path).trim_start_matches("./").trim_matches('/').to_owned();
                    file.entry.kind == ContextKind::Directory || !ignore.ignores(path.as_bytes())
                });
                Tree::Archive { spool, files }
            }
            directory => directory,
        }
    }

    /// All files, each numbered by its place.
    pub fn list(&mut self) -> Result<Vec<BuildFile>> {
        match self {
            Tree::Archive { files, .. } => Ok(files.iter().map(archive_file).collect()),
            Tree::Directory { root, ignore, told } => {
                let mut files = Vec::new();
                told.clear();
                walk(root, Path::new(""), ignore, &mut files, told)?;
                Ok(files)
            }
        }
    }

    /// The content of a file.
    pub fn open(&self, number: usize) -> Result<Box<dyn Read>> {
        let missing = || Error::Files(format!("the daemon asks for file {number} of a context, which there is not"));
        match self {
            Tree::Directory { root, told, .. } => {
                let path = root.join(&told.get(number).ok_or_else(missing)?.0);
                let flags = rustix::fs::OFlags::RDONLY
                    | rustix::fs::OFlags::NOFOLLOW
                    | rustix::fs::OFlags::CLOEXEC
                    | rustix::fs::OFlags::NONBLOCK;
                let file = rustix::fs::open(&path, flags, rustix::fs::Mode::empty());
                Ok(Box::new(File::from(file.map_err(|error| failed("open", &path)(error.into()))?)))
            }
            Tree::Archive { spool, files } => {
                let file = files.get(number).ok_or_else(missing)?;
                let size = if let ContextKind::File(size) = file.entry.kind { size } else { 0 };
                let path = Path::new("the build context");
                let mut spool = spool.try_clone().map_err(failed("read", path))?;
                spool.seek(SeekFrom::Start(file.offset)).map_err(failed("read", path))?;
                Ok(Box::new(spool.take(size)))
            }
        }
    }

    /// The digest of a file's content, in hex.
    pub fn digest(&self, number: usize) -> Result<String> {
        let digest =
            hash(self.open(number)?).map_err(|error| Error::Files(format!("{}: {error}", self.name(number))))?;
        Ok(digest.hex())
    }

    /// As many bytes as the daemon was told that a file has.
    pub fn size(&self, number: usize) -> u64 {
        match self {
            Tree::Directory { told, .. } => told.get(number).map_or(0, |(_, size)| *size),
            Tree::Archive { files, .. } => match files.get(number).map(|file| &file.entry.kind) {
                Some(ContextKind::File(size)) => *size,
                _ => 0,
            },
        }
    }

    /// What a file is called, for messages.
    pub fn name(&self, number: usize) -> String {
        match self {
            Tree::Directory { told, .. } => {
                told.get(number).map(|(path, _)| path.display().to_string()).unwrap_or_default()
            }
            Tree::Archive { files, .. } => {
                files.get(number).map(|file| String::from_utf8_lossy(&file.entry.path).into_owned()).unwrap_or_default()
            }
        }
    }
}

fn archive_file(file: &TarFile) -> BuildFile {
    let entry = file.entry.clone();
    let (kind, size, target) = match entry.kind {
        ContextKind::Directory => (BuildFileKind::Directory, 0, Vec::new()),
        ContextKind::File(size) => (BuildFileKind::File, size, Vec::new()),
        ContextKind::Symlink(target) => (BuildFileKind::Symlink, 0, target),
        ContextKind::HardLink(target) => (BuildFileKind::HardLink, 0, target),
    };
    let (path, mode, uid, gid, mtime) = (entry.path, entry.mode, entry.uid, entry.gid, entry.mtime);
    BuildFile { path, kind: kind.into(), mode, uid, gid, mtime, size, target }
}

fn walk(
    root: &Path,
    below: &Path,
    ignore: &Ignore,
    files: &mut Vec<BuildFile>,
    told: &mut Vec<(PathBuf, u64)>,
) -> Result<()> {
    let dir = root.join(below);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(failed("read", &dir))? {
        names.push(entry.map_err(failed("read", &dir))?.file_name());
    }
    names.sort();
    for name in names {
        let path = below.join(&name);
        let bytes = path.as_os_str().as_bytes();
        let ignored = ignore.ignores(bytes);
        if ignored && ignore.prunes(bytes) {
            continue;
        }
        let whole = root.join(&path);
        let metadata = match std::fs::symlink_metadata(&whole) {
            // It has gone meanwhile.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(failed("read", &whole))?,
        };
        let kind = metadata.file_type();
        if !ignored && let Some(file) = build_file(&whole, bytes, &metadata)? {
            if files.len() >= FILE_LIMIT {
                let root = root.display();
                return Err(Error::Files(format!(
                    "the build context {root} has more than {FILE_LIMIT} files: leave some out with .dockerignore"
                )));
            }
            files.push(file);
            told.push((path.clone(), metadata.len()));
        }
        if kind.is_dir() {
            walk(root, &path, ignore, files, told)?;
        }
    }
    Ok(())
}

/// A file as the daemon is told of it: root's, whoever has it here. `None` for what can't be copied.
fn build_file(whole: &Path, path: &[u8], metadata: &std::fs::Metadata) -> Result<Option<BuildFile>> {
    let kind = metadata.file_type();
    let (kind, size, target) = if kind.is_dir() {
        (BuildFileKind::Directory, 0, Vec::new())
    } else if kind.is_file() {
        (BuildFileKind::File, metadata.len(), Vec::new())
    } else if kind.is_symlink() {
        let target = std::fs::read_link(whole).map_err(failed("read", whole))?;
        (BuildFileKind::Symlink, 0, OsStr::as_bytes(target.as_os_str()).to_vec())
    } else {
        return Ok(None);
    };
    let (mode, mtime) = (metadata.mode() & 0o7777, metadata.mtime());
    Ok(Some(BuildFile { path: path.to_vec(), kind: kind.into(), mode, uid: 0, gid: 0, mtime, size, target }))
}

/// What remains of a file that has become shorter than was told is an error, and what is more is cut.
pub fn send_exactly(source: &mut dyn Read, size: u64, name: &str, mut send: impl FnMut(Vec<u8>) -> bool) -> Result<()> {
    const CHUNK: usize = 256 << 10;
    let mut left = size;
    while left > 0 {
        let mut chunk = vec![0; usize::try_from(left).unwrap_or(CHUNK).min(CHUNK)];
        let count = match source.read(&mut chunk) {
            Ok(0) => return Err(Error::Files(format!("{name} has become shorter while it was read"))),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::Files(format!("{name}: {error}"))),
        };
        chunk.truncate(count);
        left -= count as u64;
        if !send(chunk) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether bytes begin an archive, compressed or not.
pub fn is_archive(head: &[u8]) -> bool {
    head.starts_with(&[0x1f, 0x8b])
        || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || head.get(257..262) == Some(b"ustar")
}
