//! `tag`, `history` and `prune`.

use std::time::Duration;

use api::image as wire;
use image::Reference;
use image::catalog::{Filter, PruneRules, Removal};
use image::store::HistoryEntry;
use tonic::Status;

use super::server::ImagesService;
use super::{blocking, now_seconds, platform};
use crate::events::Kind;
use crate::logs::parse_rfc3339;
use crate::{Error, Result};

pub async fn tag(service: &ImagesService, request: wire::TagRequest) -> Result<wire::TagReply, Status> {
    let target = request.target.parse::<Reference>().map_err(Error::from)?;
    let store = service.containers().images().clone();
    blocking("naming an image", move || Ok(store.tag(&request.source, &target, now_seconds())?)).await?;
    Ok(wire::TagReply {})
}

pub async fn history(service: &ImagesService, request: wire::HistoryRequest) -> Result<wire::HistoryReply, Status> {
    let wanted = platform(request.platform.as_deref())?;
    let store = service.containers().images().clone();
    let steps = blocking("reading an image's history", move || {
        if let Some(wanted) = wanted {
            store.check_platform(&request.image, &wanted)?;
        }
        Ok(store.history(&request.image)?)
    })
    .await?;
    Ok(wire::HistoryReply { steps: steps.into_iter().map(step).collect() })
}

fn step(entry: HistoryEntry) -> wire::HistoryStep {
    let HistoryEntry { id, created, created_by, size, comment, tags } = entry;
    wire::HistoryStep {
        id: id.map(|id| id.to_string()),
        created_at: parse_rfc3339(created.as_bytes()).unwrap_or_default().0,
        created_by,
        size,
        comment,
        tags,
    }
}

pub async fn prune(service: &ImagesService, request: wire::PruneRequest) -> Result<wire::PruneReply, Status> {
    let mut all = request.all;
    let mut filters = Vec::new();
    for text in request.filters {
        match text.as_str() {
            "dangling=true" | "dangling=1" => all = false,
            "dangling=false" | "dangling=0" => all = true,
            text => filters.push(Filter::parse(text, |value| until(value, now_seconds())).map_err(Error::from)?),
        }
    }
    let rules = PruneRules { all, filters };
    let containers = service.containers().clone();
    let pruned =
        blocking("pruning images", move || Ok(containers.images().prune(&rules, || containers.image_users())?)).await?;
    let mut reply = wire::PruneReply { reclaimed: pruned.reclaimed, ..wire::PruneReply::default() };
    let events = service.containers().events();
    for removal in pruned.removals {
        match removal {
            Removal::Untagged(name) => {
                events.record(Kind::Image, "untag", &name, &[("name", name.clone())]);
                reply.untagged.push(name);
            }
            Removal::Deleted(id) => {
                events.record(Kind::Image, "delete", id.to_string(), &[("name", id.to_string())]);
                reply.deleted.push(id.to_string());
            }
        }
    }
    events.record(Kind::Image, "prune", "", &[("reclaimed", reply.reclaimed.to_string())]);
    Ok(reply)
}

/// The time that a value of `until` means, in seconds: RFC 3339, seconds since 1970, or how long ago (`1h30m`, `2d`).
pub fn until(text: &str, now: i64) -> Option<i64> {
    if let Some(time) = parse_rfc3339(text.as_bytes()) {
        return Some(time.0.div_euclid(1_000_000_000));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.bytes().all(|b| b.is_ascii_digit())
        && let Ok(seconds) = whole.parse()
    {
        return Some(seconds);
    }
    let ago = duration(text)?;
    now.checked_sub(i64::try_from(ago.as_secs()).ok()?)
}

/// Go's durations, and days.
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|digits| *digits > 0)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = total.checked_add(part)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_time_or_how_long_ago() {
        for (text, time) in [
            ("1970-01-01T00:01:00Z", Some(60)),
            ("77", Some(77)),
            ("77.5", Some(77)),
            ("1h30m", Some(1_000_000 - 5400)),
            ("2d", Some(1_000_000 - 172_800)),
            ("1.5h", Some(1_000_000 - 5400)),
            ("", None),
            ("h", None),
            ("5 weeks", None),
            ("9999999999999999999999h", None),
        ] {
            assert_eq!(until(text, 1_000_000), time, "{text}");
        }
    }
}
