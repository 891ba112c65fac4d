//! Going on with a blob where the connection broke: what the answer to a `Range` request is worth. Pure.

/// What to do with the body of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// It begins so many bytes before what is still missing.
    Skip(u64),
    /// It is of no use.
    Refuse(&'static str),
}

/// The header of a request for a blob of which `have` bytes are here; none for all of it.
pub fn request(have: u64) -> Option<String> {
    (have > 0).then(|| format!("bytes={have}-"))
}

/// Judges an answer with status `status` (200 or 206) to a request for a blob of `size` bytes of which `have` are here.
pub fn judge(status: u16, content_range: Option<&str>, have: u64, size: u64) -> Body {
    if status == 200 {
        // The server knows no ranges, and sends all of it.
        return Body::Skip(have);
    }
    match content_range.and_then(parse) {
        None => Body::Refuse("a partial answer without a readable Content-Range"),
        Some((_, Some(total))) if total != size => Body::Refuse("its Content-Range has another size than the manifest"),
        Some((first, _)) if first > have => Body::Refuse("its Content-Range begins behind what was asked for"),
        Some((first, _)) => Body::Skip(have - first),
    }
}

/// How many bytes of `size` a registry has when it says `Range: 0-LAST` of an upload. `None`: it can't be told, as of one
/// byte, of which is said what is said of none, or there is nothing left to send.
pub fn uploaded(range: &str, size: u64) -> Option<u64> {
    let range = range.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let have = number(last)?.checked_add(1)?;
    (number(first)? == 0 && have > 1 && have < size).then_some(have)
}

/// First byte and total size of `bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4); the total may be `*`.
fn parse(value: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, total))
}

fn number(text: &str) -> Option<u64> {
    // `parse` would take a sign.
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_continues_is_taken() {
        assert_eq!((request(0), request(7).as_deref()), (None, Some("bytes=7-")));
        for (status, range, body) in [
            (200, None, Body::Skip(7)),
            (200, Some("bytes 7-9/10"), Body::Skip(7)),
            (206, Some("bytes 7-9/10"), Body::Skip(0)),
            (206, Some("bytes 7-9/*"), Body::Skip(0)),
            (206, Some("bytes 5-9/10"), Body::Skip(2)),
        ] {
            assert_eq!(judge(status, range, 7, 10), body, "{range:?}");
        }
        for bad in
            [None, Some(""), Some("bytes 8-9/10"), Some("bytes 7-9/11"), Some("bytes 9-7/10"), Some("bytes +7-9/10")]
        {
            assert!(matches!(judge(206, bad, 7, 10), Body::Refuse(_)), "{bad:?}");
        }
    }

    #[test]
    fn what_is_uploaded_is_told_or_not() {
        assert_eq!((uploaded("0-9", 20), uploaded("bytes=0-9", 20)), (Some(10), Some(10)));
        for bad in ["0-0", "1-9", "0-19", "0-20", "", "0-", "x-9", "0-18446744073709551615"] {
            assert_eq!(uploaded(bad, 20), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_more_is_skipped_than_is_here(value in "bytes [0-9]{0,4}-[0-9]{0,4}/[0-9*]{0,3}|.{0,30}", have in 0u64..2000) {
            match judge(206, Some(&value), have, 2000) {
                Body::Skip(count) => prop_assert!(count <= have),
                Body::Refuse(_) => {}
            }
        }
    }
}
