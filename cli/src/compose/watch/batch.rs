//! Changes that come together are one: an editor's save is several events, a change of branch thousands. Pure.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// So long nothing more must have changed, as in Compose.
pub const QUIET: Duration = Duration::from_millis(500);
/// What never rests is taken after so long.
pub const LONGEST: Duration = Duration::from_secs(5);

/// Changed paths that wait.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    paths: BTreeSet<PathBuf>,
    /// When the first and the last of them came.
    came: Option<(Duration, Duration)>,
}

impl Batch {
    /// Adds what has changed at `now`, a time since some moment.
    pub fn add(&mut self, paths: impl IntoIterator<Item = PathBuf>, now: Duration) {
        for path in paths {
            self.paths.insert(path);
            self.came = Some((self.came.map_or(now, |(first, _)| first), now));
        }
    }

    /// Puts back what could not be carried out: it goes with the next change, and waits for one.
    pub fn owe(&mut self, paths: BTreeSet<PathBuf>) {
        self.paths.extend(paths);
    }

    /// When they are to be taken; `None` while nothing has changed.
    pub fn due(&self) -> Option<Duration> {
        self.came.map(|(first, last)| (last + QUIET).min(first + LONGEST))
    }

    /// Takes them all.
    pub fn take(&mut self) -> BTreeSet<PathBuf> {
        self.came = None;
        std::mem::take(&mut self.paths)
    }
}
