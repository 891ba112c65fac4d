//! `orca shim --cleanup --bundle DIR`: what is left to do when a shim was killed: end its container, remove the cgroups,
//! leave a record.

use std::path::Path;

use model::shim::{ERROR_FILE, EXIT_FILE, ExitRecord, SPEC_VERSION};

use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::error::{Result, ShimError};

/// Cleans up after the dead shim of the bundle at `path`. May be repeated.
///
/// # Errors
/// If the shim lives, or something of the container resists.
pub fn cleanup(path: &Path) -> Result<()> {
    let bundle = Bundle::open(path)?;
    let spec = bundle.spec()?;
    let _lock = bundle.lock()?;
    let cgroup = Cgroup::of(&spec.cgroup)?;
    let oom_killed = cgroup.oom_kills().is_some_and(|kills| kills > 0);
    cgroup.kill(|| {})?;
    cgroup.remove()?;
    let state_dir = bundle.path().join(&spec.state_dir);
    match std::fs::remove_dir_all(&state_dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(ShimError::io("remove", &state_dir)(error));
        }
        _ => {}
    }
    bundle.unlisten();
    if has_record(&bundle, spec.run_generation) || bundle.has(ERROR_FILE) {
        return Ok(());
    }
    let record = ExitRecord {
        version: SPEC_VERSION,
        run_generation: spec.run_generation,
        exit_code: 137,
        signal: Some(libc::SIGKILL),
        oom_killed,
        started_at: 0,
        finished_at: crate::time::now(),
        log_lines_lost: 0,
        reason: Some("shim died".to_owned()),
    };
    bundle.write_exit_record(&record, true)
}

fn has_record(bundle: &Bundle, generation: u64) -> bool {
    bundle
        .read(EXIT_FILE)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<ExitRecord>(&bytes).ok())
        .is_some_and(|record| record.run_generation == generation)
}
