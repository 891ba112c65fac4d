//! The executable that shims run: one sealed copy in memory for all of a daemon's shims.
//!
//! A process in a container can reach the executable of the process that entered it (CVE-2019-5736); a sealed memfd can't be
//! written, and it also keeps old shims' code when the file on disk is upgraded.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{SealFlags, fcntl_add_seals};

use crate::error::{Result, ShimError};

/// Since Linux 6.3. (memfd_create(2))
const MFD_EXEC: libc::c_uint = 0x10;

/// What to execute for a shim.
#[derive(Debug)]
pub enum SealedBinary {
    /// A sealed copy.
    Memory(OwnedFd),
    /// The running executable itself, where the host forbids executable memory files (`vm.memfd_noexec=2`). The image is
    /// then protected by the kernel's refusal to write to a file that runs (ETXTBSY).
    File,
}

impl SealedBinary {
    /// Copies the running executable.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn of_current() -> Result<Self> {
        Self::of(Path::new("/proc/self/exe"))
    }

    /// Copies `executable`.
    ///
    /// # Errors
    /// If it can't be read, or there is no memory for it.
    pub fn of(executable: &Path) -> Result<Self> {
        let Some(fd) = create_memory_file()? else { return Ok(Self::File) };
        let mut source = File::open(executable).map_err(ShimError::io("open", executable))?;
        let mut copy = File::from(fd);
        io::copy(&mut source, &mut copy).map_err(ShimError::io("copy", executable))?;
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&copy, seals).map_err(ShimError::system("seal the executable's copy"))?;
        Ok(Self::Memory(copy.into()))
    }

    /// A command that runs `orca shim --bundle BUNDLE`: no standard input, standard error discarded, and standard output a
    /// pipe on which one [`Report`](model::shim::Report) line comes.
    #[must_use]
    pub fn shim(&self, bundle: &Path) -> Command {
        let mut command = self.command();
        command.arg("--bundle").arg(bundle);
        command
    }

    /// A command that runs `orca shim --cleanup --bundle BUNDLE`; it prints its error and ends 0 or 125.
    #[must_use]
    pub fn cleanup(&self, bundle: &Path) -> Command {
        let mut command = self.command();
        command.arg("--cleanup").arg("--bundle").arg(bundle).stderr(Stdio::piped());
        command
    }

    fn command(&self) -> Command {
        self.program("shim")
    }

    /// A command that runs this program's hidden subcommand `word`: no standard input, a pipe as standard output, standard
    /// error discarded.
    #[must_use]
    pub fn program(&self, word: &str) -> Command {
        let mut command = match self {
            // The descriptor is close-on-exec; the kernel opens this name before it closes anything.
            Self::Memory(fd) => Command::new(format!("/proc/self/fd/{}", fd.as_raw_fd())),
            Self::File => Command::new("/proc/self/exe"),
        };
        command.arg(word).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).env_clear();
        std::os::unix::process::CommandExt::arg0(&mut command, "orca");
        command
    }
}

/// An executable, sealable memory file; `None` where the host forbids it.
fn create_memory_file() -> Result<Option<OwnedFd>> {
    let name = CString::from(c"orca-shim");
    let base = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    for flags in [base | MFD_EXEC, base] {
        // SAFETY: memfd_create(2) reads a valid C string and returns a new descriptor or -1.
        let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
        if fd >= 0 {
            // SAFETY: it was just made and nobody else owns it.
            return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
        }
        match io::Error::last_os_error() {
            // vm.memfd_noexec=2.
            error if error.raw_os_error() == Some(libc::EACCES) => return Ok(None),
            // A kernel that doesn't know MFD_EXEC makes executable ones without it.
            error if error.raw_os_error() == Some(libc::EINVAL) && flags != base => {}
            error => return Err(ShimError::system("make a memory file")(error)),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_copy_runs_and_cannot_be_written() {
        let binary = SealedBinary::of(Path::new("/bin/true")).unwrap();
        assert!(binary.shim(Path::new("/nowhere")).status().unwrap().success());
        if let SealedBinary::Memory(fd) = binary {
            assert!(File::from(fd).write_all(b"x").is_err());
        }
    }
}
