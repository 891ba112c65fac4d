//! Dates and times among plain scalars, in the forms that go-yaml knows: `2001-12-14`, `2001-12-14T21:59:43.10-05:00` (also
//! with `t`), `2001-12-14 21:59:43.10`.

use crate::node::{Timestamp, Value};

/// The value, if `text` is a timestamp.
pub fn parse(text: &str) -> Option<Value> {
    if !text.is_ascii() || text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let at = text.find(['T', 't', ' ']);
    let (date, clock) = match at {
        Some(at) => (&text[..at], Some((&text[at..=at], &text[at + 1..]))),
        None => (text, None),
    };
    let date = self::date(date)?;
    let (clock, zone) = match clock {
        None => ("00:00:00".to_owned(), Zone::Utc),
        Some((" ", clock)) => (self::clock(clock)?, Zone::Utc),
        Some((_, rest)) => {
            let split = rest.find(['Z', '+', '-'])?;
            (self::clock(&rest[..split])?, zone(&rest[split..])?)
        }
    };
    let (colon, plain, name) = match &zone {
        Zone::Utc => ("Z".to_owned(), "+0000".to_owned(), "UTC".to_owned()),
        Zone::Offset(text) => (text.clone(), text.replace(':', ""), text.replace(':', "")),
    };
    Some(Value::Time(Box::new(Timestamp {
        rfc3339: format!("{date}T{clock}{colon}"),
        text: format!("{date} {clock} {plain} {name}"),
    })))
}

enum Zone {
    Utc,
    Offset(String),
}

/// A number of at most `width` digits.
fn number(text: &str, width: usize) -> Option<u32> {
    let fits = !text.is_empty() && text.len() <= width && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let year = parts.next().filter(|year| year.len() == 4).and_then(|year| number(year, 4))?;
    let (month, day) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    ((1..=days).contains(&day) && parts.next().is_none()).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `H:M:S[.FRACTION]`, trailing zeros of the fraction dropped.
fn clock(text: &str) -> Option<String> {
    let mut parts = text.split(':');
    let (hour, minute, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?, parts.next()?);
    let (second, fraction) = second.split_once('.').map_or((second, None), |(second, part)| (second, Some(part)));
    let second = number(second, 2)?;
    if hour > 23 || minute > 59 || second > 59 || parts.next().is_some() {
        return None;
    }
    let fraction = match fraction {
        None => String::new(),
        Some(part) => {
            number(part, 9)?;
            let digits = part.trim_end_matches('0');
            if digits.is_empty() { String::new() } else { format!(".{digits}") }
        }
    };
    Some(format!("{hour:02}:{minute:02}:{second:02}{fraction}"))
}

fn zone(text: &str) -> Option<Zone> {
    if text == "Z" {
        return Some(Zone::Utc);
    }
    let (hours, minutes) = text[1..].split_once(':')?;
    let shape = hours.len() == 2 && minutes.len() == 2;
    let (hours, minutes) = (number(hours, 2)?, number(minutes, 2)?);
    if !shape || hours > 24 || minutes > 59 {
        return None;
    }
    Some(if hours == 0 && minutes == 0 { Zone::Utc } else { Zone::Offset(text.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (text, rfc3339, printed) in [
            ("2024-01-02", "2024-01-02T00:00:00Z", "2024-01-02 00:00:00 +0000 UTC"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00", "2001-12-14 21:59:43.1 -0500 -0500"),
            ("2001-12-15 2:59:43.10", "2001-12-15T02:59:43.1Z", "2001-12-15 02:59:43.1 +0000 UTC"),
            ("2024-2-29T1:2:3+00:00", "2024-02-29T01:02:03Z", "2024-02-29 01:02:03 +0000 UTC"),
        ] {
            let expected = Timestamp { rfc3339: rfc3339.into(), text: printed.into() };
            assert_eq!(parse(text), Some(Value::Time(Box::new(expected))), "{text}");
        }
        for text in
            ["2023-02-29", "2024-13-01", "24-01-02", "2024-01-02T1:2", "2024-01-02 1:2:3 -5", "2024-01-02T1:2:3"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
