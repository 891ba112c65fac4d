//! `--cidfile`.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// A file for a container's id: made before the container, and removed again when there is none.
#[derive(Debug)]
pub struct Cidfile {
    path: PathBuf,
    written: bool,
}

impl Cidfile {
    /// Makes the file, which must not exist.
    pub fn create(path: PathBuf) -> Result<Self> {
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
        file.map_err(|source| Error::File { action: "create", path: path.clone(), source })?;
        Ok(Self { path, written: false })
    }

    /// Writes the id.
    pub fn write(&mut self, id: &str) -> Result<()> {
        let written = std::fs::write(&self.path, id);
        written.map_err(|source| Error::File { action: "write", path: self.path.clone(), source })?;
        self.written = true;
        Ok(())
    }
}

impl Drop for Cidfile {
    fn drop(&mut self) {
        if !self.written {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
