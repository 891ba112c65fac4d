//! How long to wait before something is tried again. Pure.

use std::time::Duration;

/// How often something is tried in a row without progress.
pub const ATTEMPTS: u32 = 6;
/// The longest wait that a registry may ask for; whoever asks for more is told to the user instead.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
const FIRST: Duration = Duration::from_millis(250);
const MAX: Duration = Duration::from_secs(15);

/// The wait after failure number `failures` (from 1); `None`: give up. It doubles with each failure, between half of it and
/// all of it by `jitter` (0 to 1), so that many clients don't come back at once. What the registry asked for is respected.
pub fn wait(failures: u32, retry_after: Option<Duration>, jitter: f64) -> Option<Duration> {
    if failures >= ATTEMPTS || retry_after.is_some_and(|asked| asked > RETRY_AFTER_MAX) {
        return None;
    }
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(MAX);
    let own = doubled.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
    Some(retry_after.map_or(own, |asked| asked.max(own)))
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3), of which `now` is in seconds since 1970.
pub fn retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = http_date(value)?;
    Some(Duration::from_secs(u64::try_from(date.saturating_sub(now)).unwrap_or(0)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` in seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, text) = text.split_once(", ")?;
    let [day, month, year, time, "GMT"] = text.split(' ').collect::<Vec<_>>()[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    crate::rfc3339::parse_utc(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<Option<Duration>> = (1..=ATTEMPTS).map(|failures| wait(failures, None, 1.0)).collect();
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(waits, [millis(250), millis(500), millis(1000), millis(2000), millis(4000), None]);
        assert_eq!(wait(1, Some(Duration::from_secs(3)), 0.0), Some(Duration::from_secs(3)));
        assert_eq!(wait(1, Some(Duration::from_secs(61)), 0.0), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 7", 0), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_999), Some(Duration::ZERO));
        for bad in ["", "-1", "soon", "Sun, 06 Nox 1994 08:49:37 GMT", "99999999999"] {
            assert_eq!(retry_after(bad, 0), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_bounded(failures in 1u32..100, asked in proptest::option::of(0u64..100), jitter in 0f64..1.0) {
            let wait = wait(failures, asked.map(Duration::from_secs), jitter);
            prop_assert!(wait.is_none_or(|wait| wait >= FIRST / 2 && wait <= RETRY_AFTER_MAX));
            prop_assert_eq!(wait.is_none(), failures >= ATTEMPTS || asked.is_some_and(|asked| asked > 60));
        }
    }
}
