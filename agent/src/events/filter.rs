//! Which events a listener wants: values of one key are alternatives, keys must all fit. Pure.

use std::collections::BTreeMap;

use super::{Happening, Kind};
use crate::{Error, Result};

/// Values by key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(BTreeMap<String, Vec<String>>);

const KEYS: &[&str] = &[
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
];

impl Filters {
    /// Checked filters.
    ///
    /// # Errors
    /// [`Error::EventFilter`] for a key that there is not.
    pub fn new(filters: BTreeMap<String, Vec<String>>) -> Result<Self> {
        match filters.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(Error::EventFilter { key: key.clone(), known: KEYS.join(", ") }),
            None => Ok(Self(filters)),
        }
    }

    /// Whether the listener wants it.
    pub fn fit(&self, event: &Happening) -> bool {
        self.0.iter().all(|(key, values)| values.is_empty() || values.iter().any(|value| fits(key, value, event)))
    }
}

fn fits(key: &str, value: &str, event: &Happening) -> bool {
    let attribute = |key: &str| event.attributes.get(key).map(String::as_str);
    let names = |kind: Kind| {
        let name = attribute("name").unwrap_or_default();
        event.kind == kind && (event.id.starts_with(value) || name == value || name == value.trim_start_matches('/'))
    };
    match key {
        "type" => event.kind.word() == value,
        "scope" => value == "local",
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "container" => names(Kind::Container),
        "volume" => names(Kind::Volume),
        "network" => names(Kind::Network),
        "image" => {
            let untagged = |text: &str| text.rsplit_once(':').map_or(text.to_owned(), |(name, _)| name.to_owned());
            let of_image = if event.kind == Kind::Image { attribute("name") } else { attribute("image") };
            let of_image = of_image.unwrap_or_default();
            of_image == value || untagged(of_image) == value || event.kind == Kind::Image && event.id.starts_with(value)
        }
        "label" => match value.split_once('=') {
            Some((key, value)) => attribute(key) == Some(value),
            None => attribute(value).is_some(),
        },
        // No event of these kinds comes from a node.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn filters(pairs: &[(&str, &str)]) -> Filters {
        let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, value) in pairs {
            map.entry((*key).into()).or_default().push((*value).into());
        }
        Filters::new(map).unwrap()
    }

    #[test]
    fn keys_must_all_fit_and_one_value_of_each() {
        let attributes = [("name", "web"), ("image", "nginx:1.27"), ("tier", "front")];
        let event = Happening {
            at: Timestamp(1),
            kind: Kind::Container,
            action: "health_status: healthy".into(),
            id: "abcdef".into(),
            attributes: attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        for good in [
            &[][..],
            &[("type", "container")],
            &[("event", "health_status")],
            &[("event", "start"), ("event", "health_status: healthy")],
            &[("container", "web"), ("image", "nginx")],
            &[("container", "abc"), ("label", "tier"), ("label", "x=y")],
            &[("label", "tier=front"), ("scope", "local")],
        ] {
            assert!(filters(good).fit(&event), "{good:?}");
        }
        for bad in [
            &[("type", "image")][..],
            &[("event", "health")],
            &[("container", "db")],
            &[("container", "web"), ("label", "tier=back")],
            &[("network", "web")],
            &[("service", "web")],
        ] {
            assert!(!filters(bad).fit(&event), "{bad:?}");
        }
        assert!(Filters::new(BTreeMap::from([("colour".into(), Vec::new())])).is_err());
    }
}
