//! Where the result of a build goes: `--output`.

use std::io::Write;
use std::path::{Path, PathBuf};

use api::image::BuildExport;
use image::tree::{Conflicts, ExtractOptions, Owner, Root, Within, extract};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Chunks that wait for the disk.
const AHEAD: usize = 8;

/// Where the result goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Output {
    /// Into the node's images, under further names.
    #[default]
    Image,
    /// Into the node's images under this name too.
    Named(String),
    /// Its files into a directory.
    Local(PathBuf),
    /// Its files as a tar; `-` is standard output.
    Tar(PathBuf),
    /// The image as an archive that is an OCI layout and Docker's at once.
    Archive(PathBuf),
    /// Nowhere.
    Cache,
}

impl Output {
    /// Reads `type=local,dest=DIR`, `DIR`, `-`.
    pub fn parse(text: &str) -> std::result::Result<Output, String> {
        if text == "-" {
            return Ok(Output::Tar("-".into()));
        }
        if !text.contains('=') {
            return Ok(Output::Local(text.into()));
        }
        let fields = model::csv::fields(text)?;
        let (mut kind, mut dest, mut name) = ("", None, None);
        for field in &fields {
            match field.split_once('=').ok_or_else(|| format!("{field:?} is no KEY=VALUE"))? {
                ("type", value) => kind = value,
                ("dest", value) => dest = Some(PathBuf::from(value)),
                ("name", value) => name = Some(value.to_owned()),
                ("tar", "true") => {}
                ("rewrite-timestamp", "true") => {}
                ("push", "false") => {}
                ("push", _) => return Err("push: push the image with `orca push` when it is built".to_owned()),
                (key, _) => return Err(format!("there is no {key} here: type, dest and name are known")),
            }
        }
        let needed = |dest: Option<PathBuf>| dest.ok_or_else(|| format!("type={kind} needs dest=PATH"));
        match kind {
            "local" => Ok(Output::Local(needed(dest)?)),
            "tar" => Ok(Output::Tar(dest.unwrap_or_else(|| "-".into()))),
            "oci" => Ok(Output::Archive(dest.unwrap_or_else(|| "-".into()))),
            "docker" if dest.is_some() => Ok(Output::Archive(needed(dest)?)),
            "image" | "docker" => Ok(name.map_or(Output::Image, Output::Named)),
            "cacheonly" => Ok(Output::Cache),
            "registry" => Err("type=registry: push the image with `orca push` when it is built".to_owned()),
            other => Err(format!("there is no type {other:?}: local, tar, oci, docker, image and cacheonly are known")),
        }
    }

    /// What the daemon is asked for.
    pub fn export(&self) -> BuildExport {
        match self {
            Output::Image | Output::Named(_) => BuildExport::Image,
            Output::Local(_) | Output::Tar(_) => BuildExport::Files,
            Output::Archive(_) => BuildExport::Archive,
            Output::Cache => BuildExport::None,
        }
    }

    /// Whether something goes to standard output.
    pub fn is_stdout(&self) -> bool {
        matches!(self, Output::Tar(path) | Output::Archive(path) if path == Path::new("-"))
    }
}

/// What takes the daemon's bytes.
#[derive(Debug)]
pub struct Sink {
    chunks: Option<mpsc::Sender<Vec<u8>>>,
    work: Option<JoinHandle<Result<()>>>,
}

impl Sink {
    /// Opens what the output needs, so that a path that can't be written is told before anything is built.
    pub fn open(output: &Output) -> Result<Sink> {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let work = match output {
            Output::Image | Output::Named(_) | Output::Cache => return Ok(Sink { chunks: None, work: None }),
            Output::Local(dir) => {
                let failed = |source| Error::File { action: "make", path: dir.clone(), source };
                std::fs::create_dir_all(dir).map_err(failed)?;
                let root = Root::open(dir).map_err(|error| Error::Files(error.to_string()))?;
                tokio::task::spawn_blocking(move || {
                    let options = ExtractOptions {
                        owner: Owner::Caller,
                        conflicts: Conflicts::Replaced,
                        within: Within::Directory,
                        rename: None,
                        keep_directories: false,
                    };
                    let mut chunks = Chunks { chunks, current: Vec::new(), taken: 0, any: false };
                    let extracted = extract(&mut chunks, &root, b"", options);
                    // Without a chunk the build has failed, which says more.
                    if !chunks.any {
                        return Ok(());
                    }
                    extracted.map(drop).map_err(|error| Error::Files(error.to_string()))
                })
            }
            Output::Tar(path) | Output::Archive(path) => write_file(path, chunks)?,
        };
        Ok(Sink { chunks: Some(sender), work: Some(work) })
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        if let Some(chunks) = &self.chunks
            && chunks.send(bytes).await.is_err()
        {
            return self.finish().await;
        }
        Ok(())
    }

    /// Waits until all is written.
    pub async fn finish(&mut self) -> Result<()> {
        self.chunks = None;
        match self.work.take() {
            Some(work) => work.await.unwrap_or_else(|_| Err(Error::Files("writing the output failed".into()))),
            None => Ok(()),
        }
    }
}

fn write_file(path: &Path, mut chunks: mpsc::Receiver<Vec<u8>>) -> Result<JoinHandle<Result<()>>> {
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::File { action: "write", path, source }
    };
    let mut out: Box<dyn Write + Send> = match path == Path::new("-") {
        true => Box::new(std::io::stdout()),
        false => Box::new(std::fs::File::create(path).map_err(failed(path))?),
    };
    let path = path.to_path_buf();
    Ok(tokio::task::spawn_blocking(move || {
        while let Some(chunk) = chunks.blocking_recv() {
            out.write_all(&chunk).map_err(failed(&path))?;
        }
        out.flush().map_err(failed(&path))
    }))
}

/// What comes, as a reader.
struct Chunks {
    chunks: mpsc::Receiver<Vec<u8>>,
    current: Vec<u8>,
    taken: usize,
    any: bool,
}

impl std::io::Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.taken == self.current.len() {
            let Some(chunk) = self.chunks.blocking_recv() else { return Ok(0) };
            (self.current, self.taken, self.any) = (chunk, 0, true);
        }
        let rest = &self.current[self.taken..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}
