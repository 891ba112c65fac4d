//! What builds have kept: listing it, and forgetting it.

use api::image as wire;
use image::store::CacheEntry;
use tonic::Status;

use crate::clock;
use crate::service::blocking;
use crate::service::images::{ImagesService, until};

fn entry(entry: &CacheEntry) -> wire::BuildCacheEntry {
    wire::BuildCacheEntry {
        id: entry.key.hex(),
        description: entry.record.description.clone(),
        size: entry.size(),
        created_at: entry.record.created,
        used_at: entry.used,
    }
}

pub async fn list_build_cache(
    service: &ImagesService,
    _request: wire::ListBuildCacheRequest,
) -> Result<wire::ListBuildCacheReply, Status> {
    let store = service.containers().images().clone();
    let entries = blocking("listing what builds have kept", move || Ok(store.cache()?)).await?;
    Ok(wire::ListBuildCacheReply { entries: entries.iter().map(entry).collect() })
}

pub async fn prune_build_cache(
    service: &ImagesService,
    request: wire::PruneBuildCacheRequest,
) -> Result<wire::ListBuildCacheReply, Status> {
    let now = clock::wall().0.div_euclid(1_000_000_000);
    let mut rules = Vec::new();
    for filter in &request.filters {
        let (key, value) = filter.split_once('=').unwrap_or((filter, ""));
        rules.push(match key {
            "until" => {
                let time = until(value, now)
                    .ok_or_else(|| Status::invalid_argument(format!("until={value}: it is no time and no duration")))?;
                Rule::Until(time)
            }
            "id" => Rule::Id(value.to_owned()),
            "description" => Rule::Description(value.to_owned()),
            _ => {
                return Err(Status::invalid_argument(format!(
                    "there is no filter {key:?}: use until, id or description"
                )));
            }
        });
    }
    let store = service.containers().images().clone();
    let gone = blocking("forgetting what builds have kept", move || {
        let mut kept = std::collections::BTreeSet::new();
        let mut bytes = 0;
        for entry in store.cache()? {
            bytes += entry.size();
            if request.keep.is_some_and(|keep| bytes <= keep) {
                kept.insert(entry.key);
            }
        }
        let keeps_mounts = request.keep.is_some() || !rules.is_empty();
        let gone =
            store.prune_cache(|entry| !kept.contains(&entry.key) && rules.iter().all(|rule| rule.takes(entry)))?;
        if !keeps_mounts {
            store.prune_cache_mounts()?;
        }
        Ok(gone)
    });
    Ok(wire::ListBuildCacheReply { entries: gone.await?.iter().map(entry).collect() })
}

/// One filter.
enum Rule {
    Until(i64),
    Id(String),
    Description(String),
}

impl Rule {
    fn takes(&self, entry: &CacheEntry) -> bool {
        match self {
            Rule::Until(time) => entry.used < *time,
            Rule::Id(id) => entry.key.hex().starts_with(id.as_str()),
            Rule::Description(text) => entry.record.description.contains(text.as_str()),
        }
    }
}
