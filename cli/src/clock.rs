//! The wall clock and the time zone of people: UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use model::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// `2026-11-24 12:38:20 +0000 UTC`, as Docker's listings have it.
pub fn docker_time(at: Timestamp) -> String {
    let text = at.to_rfc3339();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{} +0000 UTC", seconds.replacen('T', " ", 1))
}

/// A moment given by a user: RFC 3339, a date, Unix seconds, or a duration before now (`10m`).
pub fn parse(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(before) = crate::container::flags::duration(text) {
        return Ok(Timestamp(now.0.saturating_sub(i64::try_from(before.as_nanos()).unwrap_or(i64::MAX))));
    }
    if let Some(at) = unix(text).or_else(|| rfc3339(text)) {
        return Ok(at);
    }
    Err(format!("{text:?} is not a time: expected 10m, 2026-01-02T15:04:05Z or Unix seconds"))
}

fn unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    Some(Timestamp(seconds.checked_mul(1_000_000_000)?.checked_add(nanos(fraction)?)?))
}

fn nanos(fraction: &str) -> Option<i64> {
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").parse().ok()
}

fn rfc3339(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00Z"));
    let [year, month, day] = numbers(date, '-')?;
    let (time, offset) = zone(time)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    // Seconds, and minutes too, may be left out.
    let [hour, minute, second] = match time.matches(':').count() {
        0 => numbers(time, ':').map(|[hour]| [hour, 0, 0])?,
        1 => numbers(time, ':').map(|[hour, minute]| [hour, minute, 0])?,
        _ => numbers(time, ':')?,
    };
    let ranges = (1..=12).contains(&month) && (1..=31).contains(&day) && (1970..=2262).contains(&year);
    if !ranges || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(Timestamp(seconds.checked_mul(1_000_000_000)?.checked_add(nanos(fraction)?)?))
}

/// The time without its zone, and the zone's seconds east of UTC.
fn zone(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    match time.rfind(['+', '-']) {
        None => Some((time, 0)),
        Some(at) => {
            let sign = if time.as_bytes()[at] == b'+' { 1 } else { -1 };
            let [hours, minutes] = numbers(&time[at + 1..], ':')?;
            Some((&time[..at], sign * (hours * 3600 + minutes * 60)))
        }
    }
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Option<Vec<i64>> = text
        .split(separator)
        .map(|part| if part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit()) { part.parse().ok() } else { None })
        .collect();
    parts?.try_into().ok()
}

/// Days since 1970-01-01. Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_users() {
        let now = Timestamp(1_000_000_000_000);
        assert_eq!(parse("10s", now), Ok(Timestamp(990_000_000_000)));
        assert_eq!(parse("5", now), Ok(Timestamp(5_000_000_000)));
        assert_eq!(parse("5.25", now), Ok(Timestamp(5_250_000_000)));
        let at = "2026-11-24T12:39:59.999999999Z";
        assert_eq!(parse(at, now).map(Timestamp::to_rfc3339), Ok(at.into()));
        assert_eq!(parse("2026-11-24T13:39:59.999999999+01:00", now), parse(at, now));
        assert_eq!(parse("1970-01-01T02:03", now), Ok(Timestamp(7_380_000_000_000)));
        assert_eq!(parse("1970-01-01T02Z", now), Ok(Timestamp(7_200_000_000_000)));
        assert_eq!(parse("1970-01-02", now), Ok(Timestamp(86_400_000_000_000)));
        for bad in ["", "x", "2026-13-01", "12:00", "1.0000000001", "2026-11-24T"] {
            assert!(parse(bad, now).is_err(), "{bad}");
        }
    }
}
