//! Emptying and removing a container's cgroups in every hierarchy.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Cgroup, Setup, children};
use crate::error::{Result, ShimError};

const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Kills every process in it and waits until none is left. `reap` is called between looks, because a zombie child of
    /// the caller still counts.
    ///
    /// # Errors
    /// [`ShimError::CgroupBusy`] if some are left after ten seconds.
    pub fn kill(&self, mut reap: impl FnMut()) -> Result<()> {
        let deadline = Instant::now() + LIMIT;
        let mut pause = Duration::from_micros(100);
        let mut first = true;
        loop {
            let left = self.processes().len();
            if left == 0 {
                return Ok(());
            }
            if Instant::now() > deadline {
                let path = self.dirs.first().map(|dir| dir.path.clone()).unwrap_or_default();
                return Err(ShimError::CgroupBusy { path, left });
            }
            if self.setup == Setup::Unified
                && let Some(dir) = self.directory("")
            {
                // Since Linux 5.14; before it the loop does the same, only not at once.
                let _ = fs::write(dir.join("cgroup.kill"), "1");
            }
            self.signal(libc::SIGKILL);
            if first {
                // A frozen v1 process dies only when thawed. Not frozen or not there is fine.
                let _ = self.set_frozen(false);
                first = false;
            }
            reap();
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Removes its directories, the nested ones first, in every hierarchy, whatever fails in one of them.
    ///
    /// # Errors
    /// The first directory that could not be removed.
    pub fn remove(&self) -> Result<()> {
        let mut result = Ok(());
        for dir in &self.dirs {
            let removed = remove_tree(&dir.path).map_err(ShimError::io("remove cgroup", &dir.path));
            if result.is_ok() {
                result = removed;
            }
        }
        result
    }
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                for child in children(dir) {
                    remove_tree(&child)?;
                }
                if Instant::now() > deadline {
                    return Err(error);
                }
                // The kernel lets go of an emptied cgroup a moment after its last process.
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
