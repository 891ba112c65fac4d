//! What a request of the distribution API is for, by its path. Pure.

use crate::digest::Digest;
use crate::reference::is_repository;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: whether this is a registry, and lets one in.
    Base,
    /// `/v2/NAME/manifests/TAG` or `…/DIGEST`.
    Manifest {
        /// The repository.
        name: String,
        /// A tag or a digest.
        reference: Wanted,
    },
    /// `/v2/NAME/blobs/DIGEST`.
    Blob {
        /// The repository.
        name: String,
        /// Which.
        digest: Digest,
    },
    /// `/v2/_catalog`: the repositories.
    Catalog,
    /// `/v2/NAME/tags/list`.
    Tags {
        /// The repository.
        name: String,
    },
    /// `/v2/NAME/referrers/DIGEST`: manifests that say something about another one.
    Referrers {
        /// The repository.
        name: String,
        /// The other one.
        digest: Digest,
    },
    /// `/v2/NAME/blobs/uploads/`: where uploads begin.
    Uploads {
        /// The repository.
        name: String,
    },
    /// `/v2/NAME/blobs/uploads/ID`.
    Upload {
        /// The repository.
        name: String,
        /// Which.
        id: String,
    },
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A name that may mean another one later.
    Tag(String),
    /// The manifest itself.
    Digest(Digest),
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unrouted {
    /// There is nothing of that kind.
    Unknown,
    /// The repository's name is none.
    Name,
    /// The digest is none.
    Digest,
    /// The tag is none.
    Tag,
}

/// Reads a path.
///
/// # Errors
/// Why it names nothing.
pub fn parse(path: &str) -> Result<Route, Unrouted> {
    let rest = path.strip_prefix("/v2").ok_or(Unrouted::Unknown)?;
    if rest.is_empty() || rest == "/" {
        return Ok(Route::Base);
    }
    let rest = rest.strip_prefix('/').ok_or(Unrouted::Unknown)?;
    if rest == "_catalog" {
        return Ok(Route::Catalog);
    }
    if let Some((name, id)) = upload(rest) {
        let name = if is_repository(name) { name.to_owned() } else { return Err(Unrouted::Name) };
        return Ok(if id.is_empty() { Route::Uploads { name } } else { Route::Upload { name, id: id.to_owned() } });
    }
    let (front, last) = rest.rsplit_once('/').ok_or(Unrouted::Unknown)?;
    let (name, kind) = front.rsplit_once('/').ok_or(Unrouted::Unknown)?;
    // Some clients write the colon of a digest so.
    let last = last.replace("%3A", ":").replace("%3a", ":");
    let name = || if is_repository(name) { Ok(name.to_owned()) } else { Err(Unrouted::Name) };
    match kind {
        "manifests" => Ok(Route::Manifest { name: name()?, reference: wanted(&last)? }),
        "blobs" => Ok(Route::Blob { name: name()?, digest: last.parse().map_err(|_| Unrouted::Digest)? }),
        "referrers" => Ok(Route::Referrers { name: name()?, digest: last.parse().map_err(|_| Unrouted::Digest)? }),
        "tags" if last == "list" => Ok(Route::Tags { name: name()? }),
        _ => Err(Unrouted::Unknown),
    }
}

/// The repository and the id of `NAME/blobs/uploads/ID`; without an id an upload is to begin.
fn upload(path: &str) -> Option<(&str, &str)> {
    const UPLOADS: &str = "/blobs/uploads";
    match path.rsplit_once('/') {
        Some((front, id)) if front.ends_with(UPLOADS) => Some((front.strip_suffix(UPLOADS)?, id)),
        _ => Some((path.strip_suffix(UPLOADS)?, "")),
    }
}

fn wanted(text: &str) -> Result<Wanted, Unrouted> {
    if text.contains(':') {
        return text.parse().map(Wanted::Digest).map_err(|_| Unrouted::Digest);
    }
    if crate::reference::is_tag(text) { Ok(Wanted::Tag(text.to_owned())) } else { Err(Unrouted::Tag) }
}

/// The value of a parameter, if it is given once and needs no decoding.
pub fn parameter<'q>(query: Option<&'q str>, name: &str) -> Option<&'q str> {
    let mut values = query?.split('&').filter_map(|pair| pair.split_once('=')).filter(|(key, _)| *key == name);
    let (_, value) = values.next()?;
    values.next().is_none().then_some(value)
}

/// The bytes that a `Range` header asks for, of so many: first and length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of them: none was asked for, or in a form that need not be understood.
    Whole,
    /// Some.
    From(u64, u64),
    /// None of those are there.
    Unsatisfiable,
}

/// Reads `Range` (RFC 9110, section 14.2) of a single range.
pub fn part(range: Option<&str>, size: u64) -> Part {
    let Some(range) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else { return Part::Whole };
    let Some((first, last)) = range.split_once('-').filter(|_| !range.contains(',')) else { return Part::Whole };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let (first, last) = match (number(first), number(last)) {
        (None, Some(count)) if first.is_empty() && count > 0 && size > 0 => (size.saturating_sub(count), size - 1),
        (None, Some(_)) if first.is_empty() => return Part::Unsatisfiable,
        (Some(first), None) if last.is_empty() => (first, size.saturating_sub(1)),
        (Some(first), Some(last)) if first <= last => (first, last.min(size.saturating_sub(1))),
        _ => return Part::Whole,
    };
    if first >= size { Part::Unsatisfiable } else { Part::From(first, last - first + 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_name_things_or_say_what_is_wrong() {
        let digest = Digest::of(b"x");
        let manifest = |name: &str, reference| Ok(Route::Manifest { name: name.into(), reference });
        assert_eq!((parse("/v2"), parse("/v2/")), (Ok(Route::Base), Ok(Route::Base)));
        assert_eq!(parse("/v2/a/b/manifests/1.0"), manifest("a/b", Wanted::Tag("1.0".into())));
        assert_eq!(parse("/v2/manifests/manifests/latest"), manifest("manifests", Wanted::Tag("latest".into())));
        assert_eq!(parse(&format!("/v2/a/manifests/{digest}")), manifest("a", Wanted::Digest(digest)));
        let escaped = format!("/v2/a/blobs/sha256%3A{}", digest.hex());
        assert_eq!(parse(&escaped), Ok(Route::Blob { name: "a".into(), digest }));
        let name = || "a/b".to_owned();
        assert_eq!(parse("/v2/a/b/tags/list"), Ok(Route::Tags { name: name() }));
        assert_eq!(parse("/v2/a/b/blobs/uploads/"), Ok(Route::Uploads { name: name() }));
        assert_eq!(parse("/v2/a/b/blobs/uploads"), Ok(Route::Uploads { name: name() }));
        assert_eq!(parse("/v2/a/b/blobs/uploads/7"), Ok(Route::Upload { name: name(), id: "7".into() }));
        assert_eq!(parse(&format!("/v2/a/b/referrers/{digest}")), Ok(Route::Referrers { name: name(), digest }));
        assert_eq!(parse("/v2/_catalog"), Ok(Route::Catalog));
        for (path, why) in [
            ("/", Unrouted::Unknown),
            ("/v22/", Unrouted::Unknown),
            ("/v2/a", Unrouted::Unknown),
            ("/v2/manifests/x", Unrouted::Unknown),
            ("/v2/A/manifests/x", Unrouted::Name),
            ("/v2/../../etc/manifests/x", Unrouted::Name),
            ("/v2/a/manifests/-x", Unrouted::Tag),
            ("/v2/a/blobs/x", Unrouted::Digest),
            ("/v2/a/blobs/sha256:12", Unrouted::Digest),
        ] {
            assert_eq!(parse(path), Err(why), "{path}");
        }
    }

    #[test]
    fn parts_of_ten_bytes() {
        for (range, expected) in [
            (None, Part::Whole),
            (Some("bytes=3-"), Part::From(3, 7)),
            (Some("bytes=3-4"), Part::From(3, 2)),
            (Some("bytes=3-99"), Part::From(3, 7)),
            (Some("bytes=-4"), Part::From(6, 4)),
            (Some("bytes=-40"), Part::From(0, 10)),
            (Some("bytes=10-"), Part::Unsatisfiable),
            (Some("bytes=-0"), Part::Unsatisfiable),
            (Some("bytes=4-3"), Part::Whole),
            (Some("bytes=0-1,3-4"), Part::Whole),
            (Some("lines=1-"), Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range:?}");
        }
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!((parameter(Some("a=1&b=2"), "b"), parameter(Some("a=1&a=2"), "a")), (Some("2"), None));
    }

    proptest! {
        #[test]
        fn a_part_is_within(range in "bytes=[0-9]{0,20}-[0-9]{0,20}|.{0,20}", size in 0u64..5000) {
            if let Part::From(first, length) = part(Some(&range), size) {
                prop_assert!(length > 0 && first + length <= size);
            }
        }

        #[test]
        fn any_path_is_read(path in "/v2/[a-zA-Z0-9./:%-]{0,40}|.{0,40}") {
            let _ = parse(&path);
        }
    }
}
