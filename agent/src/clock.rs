//! The two clocks, read by shells only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::task::Now;

/// What time it is. The monotonic part is CLOCK_BOOTTIME, which goes on while the machine sleeps.
pub fn now() -> Now {
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(boot.tv_nsec).unwrap_or(0);
    Now { monotonic: Duration::new(seconds, nanos), wall: wall() }
}

/// Wall time, for display and records.
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}
