//! The processes that outlive the daemon, all of them this very program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use shim::SealedBinary;

/// Commands for them.
pub struct OwnPrograms {
    /// Shims run from a sealed copy in memory: a container that breaks out of its namespaces finds no file to overwrite.
    sealed: SealedBinary,
    program: PathBuf,
}

impl OwnPrograms {
    /// Takes the copy.
    pub fn new(sealed: SealedBinary, program: PathBuf) -> Self {
        Self { sealed, program }
    }
}

impl agent::Programs for OwnPrograms {
    fn shim(&self, bundle: &Path) -> Command {
        let mut command = self.sealed.shim(bundle);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command
    }

    fn cleanup(&self, bundle: &Path) -> Command {
        let mut command = self.sealed.cleanup(bundle);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    fn files(&self) -> Command {
        let mut command = self.sealed.program("files");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn netd(&self, run_dir: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("netd").arg("--run-dir").arg(run_dir);
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let log = std::fs::OpenOptions::new().create(true).append(true).open(run_dir.join("netd.log"));
        command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
        command
    }
}
