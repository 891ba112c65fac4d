//! The layer that a COPY, an ADD or a WORKDIR becomes.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use super::chmod::Chmod;
use super::files::{Files, Seen, resolve};
use super::select::{Item, Selection};
use crate::archive::{Decoder, Entry, Kind, Limits, TarReader, TarWriter};
use crate::error::{Error, Result};

/// How files are put into an image.
#[derive(Clone, Debug, Default)]
pub struct CopyTo {
    /// Where to, an absolute path; with a slash at its end a directory.
    pub destination: String,
    /// Whose they become; none: whose they were.
    pub owner: Option<(u32, u32)>,
    /// Their modes.
    pub chmod: Option<Chmod>,
    /// Archives are unpacked.
    pub unpack: bool,
    /// Nothing of the image below is looked at.
    pub link: bool,
    /// The time of what is made on the way, seconds since the epoch.
    pub now: i64,
    /// No file is younger.
    pub newest: Option<i64>,
}

/// A file whose content an instruction brings along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name.
    pub name: String,
    /// What is in it.
    pub content: String,
}

struct Writer<'a, W> {
    tar: TarWriter<W>,
    below: &'a dyn Files,
    to: &'a CopyTo,
    /// What this layer has made.
    made: BTreeSet<Vec<u8>>,
}

/// Writes the layer of a COPY or ADD of `selection` and `texts` onto `below`.
///
/// # Errors
/// A directory where a file is to be, or the other way round; what is wrong with an archive; [`Error::Io`].
pub fn write(
    from: &dyn Files,
    selection: &Selection,
    texts: &[Text],
    below: &dyn Files,
    to: &CopyTo,
    out: impl Write,
) -> Result<()> {
    let mut writer = Writer { tar: TarWriter::new(out), below, to, made: BTreeSet::new() };
    let wanted = to.destination.trim_matches('/').as_bytes().to_vec();
    let landing = if to.link { wanted } else { resolve(below, &wanted, true)? };
    let several = selection.items.len() + texts.len() > 1;
    let there = !to.link && below.look(&landing)?.is_some_and(|seen| seen.is_dir());
    let into_dir = several || there || to.destination.ends_with('/');
    for item in &selection.items {
        writer.item(from, item, &landing, into_dir)?;
    }
    for text in texts {
        let path = if into_dir { join(&landing, text.name.as_bytes()) } else { landing.clone() };
        writer.parents(&path)?;
        let size = text.content.len() as u64;
        let seen = Seen { kind: Kind::File(size), mode: 0o644, uid: 0, gid: 0, mtime: to.now, xattrs: Vec::new() };
        writer.node(&path, &seen, &mut text.content.as_bytes())?;
    }
    writer.tar.finish()?;
    Ok(())
}

/// Writes a layer with the directory `path` and those above it that are missing; whether there was anything to make.
///
/// # Errors
/// [`Error::Rootfs`] if something else is there; [`Error::Io`].
pub fn make_dirs(below: &dyn Files, path: &str, to: &CopyTo, out: impl Write) -> Result<bool> {
    let landing = resolve(below, path.trim_matches('/').as_bytes(), true)?;
    let mut writer = Writer { tar: TarWriter::new(out), below, to, made: BTreeSet::new() };
    writer.parents(&join(&landing, b"x"))?;
    let made = !writer.made.is_empty();
    writer.tar.finish()?;
    Ok(made)
}

/// Writes a whole tree as an archive.
///
/// # Errors
/// [`Error::Io`].
pub fn pack_tree(files: &dyn Files, newest: Option<i64>, out: impl Write) -> Result<()> {
    let to = CopyTo { link: true, newest, ..CopyTo::default() };
    let selection = super::select::select(files, &["/".to_owned()], false, &crate::dockerfile::Ignore::default())?;
    let mut writer = Writer { tar: TarWriter::new(out), below: files, to: &to, made: BTreeSet::new() };
    for (_, path, seen) in selection.items.iter().flat_map(|item| &item.files).filter(|(below, _, _)| !below.is_empty())
    {
        match seen.kind {
            Kind::File(_) => writer.node(path, seen, &mut files.open(path)?)?,
            _ => writer.node(path, seen, &mut std::io::empty())?,
        }
    }
    writer.tar.finish()?;
    Ok(())
}

impl<W: Write> Writer<'_, W> {
    fn item(&mut self, from: &dyn Files, item: &Item, landing: &[u8], into_dir: bool) -> Result<()> {
        let keeps = !item.parents.is_empty();
        let base = join(landing, &item.parents);
        let Some((_, first, seen)) = item.files.first() else { return Ok(()) };
        if !item.is_dir {
            if self.to.unpack && seen.is_file() && self.archive(from, first, &base)? {
                return Ok(());
            }
            let path = if into_dir || keeps { join(&base, &item.name) } else { base };
            self.parents(&path)?;
            return self.copy(from, first, &path, seen);
        }
        let base = if keeps { join(&base, &item.name) } else { base };
        // What is in a directory is copied, and the directory itself only made.
        self.parents(&join(&base, b"x"))?;
        for (below, path, seen) in item.files.iter().skip(1) {
            self.copy(from, path, &join(&base, below), seen)?;
        }
        Ok(())
    }

    fn copy(&mut self, from: &dyn Files, source: &[u8], path: &[u8], seen: &Seen) -> Result<()> {
        // Two sources may bring the same file: the later one counts, and a layer has each name once.
        if self.made.contains(path) && seen.is_dir() {
            return Ok(());
        }
        self.check(path, seen.is_dir())?;
        match seen.kind {
            Kind::File(_) => self.node(path, seen, &mut from.open(source)?),
            _ => self.node(path, seen, &mut std::io::empty()),
        }
    }

    /// Refuses a directory in the place of something else, and the other way round.
    fn check(&self, path: &[u8], is_dir: bool) -> Result<()> {
        if self.to.link {
            return Ok(());
        }
        let reason = match self.below.look(path)? {
            Some(old) if is_dir && !old.is_dir() => "cannot copy to non-directory",
            Some(old) if !is_dir && old.is_dir() => "cannot replace to directory with file",
            _ => return Ok(()),
        };
        Err(Error::Rootfs { path: format!("/{}", String::from_utf8_lossy(path)), reason: reason.to_owned() })
    }

    fn node(&mut self, path: &[u8], seen: &Seen, content: &mut dyn Read) -> Result<()> {
        if seen.kind.is_refused_device() {
            return Err(Error::entry(path, "it is a device node, which an image may not have"));
        }
        let is_dir = seen.is_dir();
        let (uid, gid) = self.to.owner.unwrap_or((seen.uid, seen.gid));
        let is_link = matches!(seen.kind, Kind::Symlink(_));
        let mode = match &self.to.chmod {
            Some(chmod) if !is_link => chmod.apply(seen.mode, is_dir),
            _ => seen.mode,
        };
        let mtime = self.to.newest.map_or(seen.mtime, |newest| seen.mtime.min(newest));
        let mut name = path.to_vec();
        if is_dir {
            name.push(b'/');
        }
        let (kind, xattrs) = (seen.kind.clone(), seen.xattrs.clone());
        self.tar.entry(&Entry { path: name, kind, mode, uid, gid, mtime: (mtime, 0), xattrs })?;
        if let Kind::File(size) = seen.kind {
            self.tar.content(path, &mut { content }, size)?;
        }
        self.made.insert(path.to_vec());
        Ok(())
    }

    /// Makes the directories above `path` that are missing.
    fn parents(&mut self, path: &[u8]) -> Result<()> {
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
        for depth in 1..parts.len() {
            let dir = parts[..depth].join(&b'/');
            if self.made.contains(&dir) || dir.is_empty() {
                continue;
            }
            // Without a look below nobody knows whose they are there; whoever unpacks the layer does.
            if self.to.link {
                continue;
            }
            match self.below.look(&dir)? {
                Some(seen) if seen.is_dir() => {}
                Some(_) => {
                    let path = format!("/{}", String::from_utf8_lossy(&dir));
                    return Err(Error::Rootfs { path, reason: "it is not a directory".to_owned() });
                }
                None => {
                    let mtime = self.to.now;
                    self.directory(&dir, mtime)?;
                }
            }
        }
        Ok(())
    }

    /// A directory that is only on the way: it has the owner that is asked for, but a mode of its own.
    fn directory(&mut self, path: &[u8], mtime: i64) -> Result<()> {
        let (uid, gid) = self.to.owner.unwrap_or((0, 0));
        let mtime = self.to.newest.map_or(mtime, |newest| mtime.min(newest));
        let (name, kind) = ([path, b"/"].concat(), Kind::Directory);
        self.tar.entry(&Entry { path: name, kind, mode: 0o755, uid, gid, mtime: (mtime, 0), xattrs: Vec::new() })?;
        self.made.insert(path.to_vec());
        Ok(())
    }

    /// Unpacks a file if it is an archive; whether it was.
    fn archive(&mut self, from: &dyn Files, source: &[u8], base: &[u8]) -> Result<bool> {
        if !is_archive(from, source)? {
            return Ok(false);
        }
        self.parents(&join(base, b"x"))?;
        let decoder = Decoder::detect(from.open(source)?).map_err(|error| Error::io("read", "the archive", error))?;
        let mut tar = TarReader::new(decoder, Limits::default());
        while let Some(entry) = tar.next_entry()? {
            let parts = crate::snapshot::components(&entry.path)?;
            let Some(name) = parts.last() else { continue };
            if name.starts_with(b".wh.") {
                return Err(Error::entry(&entry.path, "names that begin with .wh. mean deletions in a layer"));
            }
            let path = self.place(base, &parts)?;
            self.parents(&path)?;
            // As in Docker, a directory of an archive takes the place of a link.
            if entry.kind != Kind::Directory {
                self.check(&path, false)?;
            }
            let mut kind = entry.kind.clone();
            if let Kind::HardLink(target) = &mut kind {
                *target = self.place(base, &crate::snapshot::components(target)?)?;
            }
            let seen = Seen {
                kind,
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                mtime: entry.mtime.0,
                xattrs: entry.xattrs,
            };
            self.node(&path, &seen, &mut tar)?;
        }
        Ok(true)
    }
}

impl<W: Write> Writer<'_, W> {
    /// Where an archive's entry goes: links of the image in its directories are followed, those of the archive aren't here.
    fn place(&self, base: &[u8], parts: &[&[u8]]) -> Result<Vec<u8>> {
        let (name, dirs) = parts.split_last().map_or((&b""[..], &[][..]), |(name, dirs)| (*name, dirs));
        let own = (1..=dirs.len()).any(|depth| self.made.contains(&join(base, &dirs[..depth].join(&b'/'))));
        let dir = join(base, &dirs.join(&b'/'));
        let dir = if own || self.to.link { dir } else { resolve(self.below, &dir, true)? };
        Ok(join(&dir, name))
    }
}

/// Whether a file is a tar, compressed or not.
fn is_archive(from: &dyn Files, source: &[u8]) -> Result<bool> {
    let mut head = Vec::new();
    let read = from.open(source)?.take(6).read_to_end(&mut head);
    read.map_err(|error| Error::io("read", String::from_utf8_lossy(source), error))?;
    let unsupported = head.starts_with(b"\xfd7zXZ\0").then_some("xz").or(head.starts_with(b"BZh").then_some("bzip2"));
    if let Some(name) = unsupported {
        let reason = format!("{name} archives can't be unpacked: use --unpack=false, or compress it with gzip or zstd");
        return Err(Error::entry(source, reason));
    }
    let Ok(decoder) = Decoder::detect(from.open(source)?) else { return Ok(false) };
    let mut tar = TarReader::new(decoder, Limits::default());
    Ok(matches!(tar.next_entry(), Ok(Some(_))))
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match (dir.is_empty(), name.is_empty()) {
        (true, _) => name.to_vec(),
        (_, true) => dir.to_vec(),
        _ => [dir, b"/", name].concat(),
    }
}
