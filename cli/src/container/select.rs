//! Which containers `orca ps` lists. Pure.

use std::collections::BTreeSet;

use api::node::{Container, Image};
use api::types::{ContainerPhase, PortSpec};

use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::output::human;

/// What can be filtered by.
pub const KEYS: &[&str] = &[
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// Which containers are wanted.
#[derive(Debug)]
pub struct Selection {
    /// Also those that do not run.
    pub all: bool,
    /// Only the newest so many, running or not.
    pub last: Option<usize>,
    /// Conditions.
    pub filters: Filters,
}

impl Selection {
    /// Refuses values that there are not.
    pub fn check(&self) -> Result<()> {
        let states = ["created", "running", "paused", "restarting", "removing", "exited", "dead"];
        self.filters.only("status", &states)?;
        self.filters.only("health", &["starting", "healthy", "unhealthy", "none"])?;
        self.filters.only("isolation", &["default", "process", "hyperv"])?;
        self.filters.switch("is-task")?;
        let bad = |key: &str, value: &str, reason: &str| {
            Err(Error::Flag { flag: "--filter", value: format!("{key}={value}"), reason: reason.into() })
        };
        if let Some(value) = self.filters.values("exited").find(|value| value.parse::<i32>().is_err()) {
            return bad("exited", value, "expected an exit code");
        }
        for key in ["publish", "expose"] {
            if let Some(value) = self.filters.values(key).find(|value| ports(value).is_none()) {
                return bad(key, value, "expected PORT[-PORT][/tcp|udp]");
            }
        }
        Ok(())
    }

    /// Whether containers that do not run must be asked for.
    pub fn needs_all(&self) -> bool {
        self.all || self.last.is_some() || !self.filters.is_empty()
    }

    /// The wanted ones of all containers, the newest first.
    pub fn of(&self, mut containers: Vec<Container>, images: &[Image]) -> Result<Vec<Container>> {
        containers.sort_by_key(|container| std::cmp::Reverse(container.created_at));
        let before = self.moment("before", &containers)?;
        let since = self.moment("since", &containers)?;
        let ancestors = self.ancestors(images);
        let shows_all = self.all || self.last.is_some() || self.filters.has("status");
        containers.retain(|container| {
            (shows_all || human::is_up(container))
                && before.is_none_or(|moment| container.created_at < moment)
                && since.is_none_or(|moment| container.created_at > moment)
                && (!self.filters.has("ancestor") || ancestors.contains(container.image_id.as_str()))
                && self.fits(container)
        });
        containers.truncate(self.last.unwrap_or(usize::MAX));
        Ok(containers)
    }

    /// When the container that a filter names was made.
    fn moment(&self, key: &str, containers: &[Container]) -> Result<Option<i64>> {
        let Some(name) = self.filters.values(key).last() else { return Ok(None) };
        let bare = name.trim_start_matches('/');
        let found = containers.iter().find(|c| c.name == bare || c.id == bare);
        let found = found.or_else(|| containers.iter().find(|c| !bare.is_empty() && c.id.starts_with(bare)));
        match found {
            Some(container) => Ok(Some(container.created_at)),
            None => Err(Error::NotFound { kind: "container", name: name.to_owned() }),
        }
    }

    /// The ids of the images that a filter names, and of those that are built upon them.
    fn ancestors<'a>(&self, images: &'a [Image]) -> BTreeSet<&'a str> {
        let named = |image: &&Image| self.filters.values("ancestor").any(|name| is_named(image, name));
        let bases: Vec<&Image> = images.iter().filter(named).collect();
        let descends = |image: &&Image| {
            bases
                .iter()
                .any(|base| base.id == image.id || (!base.layers.is_empty() && image.layers.starts_with(&base.layers)))
        };
        images.iter().filter(descends).map(|image| image.id.as_str()).collect()
    }

    fn fits(&self, container: &Container) -> bool {
        let filters = &self.filters;
        let status = container.status.clone().unwrap_or_default();
        let health = match human::health(&status) {
            "" => "none",
            health => health,
        };
        let exited = |code: &str| {
            matches!(status.phase(), ContainerPhase::Exited | ContainerPhase::Dead)
                && status.exit_code.is_some_and(|exit| code.parse() == Ok(exit))
        };
        let labels = container.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let is_task = container.task.is_some();
        filters.matches("id", &container.id)
            && (filters.matches("name", &container.name) || filters.matches("name", &format!("/{}", container.name)))
            && filters.fits_labels(&labels)
            && filters.any("status", |wanted| wanted == human::state(&status))
            && filters.any("health", |wanted| wanted == health)
            && filters.any("exited", exited)
            && filters.any("is-task", |wanted| matches!(wanted, "1" | "t" | "T" | "true" | "TRUE" | "True") == is_task)
            && filters.any("isolation", |wanted| wanted == "default")
            && filters.any("network", |wanted| on_network(container, wanted))
            && filters.any("volume", |wanted| {
                container.mounts.iter().any(|mount| mount.name == wanted || mount.target == wanted)
            })
            && filters.any("publish", |wanted| has_port(container, wanted, |port| port.published))
            && filters.any("expose", |wanted| {
                has_port(container, wanted, |port| Some(port.target)) || exposes(container, wanted)
            })
    }
}

fn is_named(image: &Image, name: &str) -> bool {
    let tagged = format!("{name}:latest");
    let bare = name.trim_start_matches("sha256:");
    let is_id = bare.len() >= 4 && image.id.trim_start_matches("sha256:").starts_with(bare);
    is_id || image.references.iter().chain(&image.digests).any(|own| own == name || *own == tagged)
}

fn on_network(container: &Container, wanted: &str) -> bool {
    let mode = container.network.as_ref().and_then(|network| network.mode.as_ref());
    match mode {
        Some(api::types::network_mode::Mode::None(_)) => wanted == "none",
        Some(api::types::network_mode::Mode::Host(_)) => wanted == "host",
        _ => container.attachments.iter().any(|own| own.network == wanted || own.network_id == wanted),
    }
}

fn has_port(container: &Container, wanted: &str, number: impl Fn(&PortSpec) -> Option<u32>) -> bool {
    let Some((range, protocol)) = ports(wanted) else { return false };
    container
        .ports
        .iter()
        .any(|port| human::protocol(port) == protocol && number(port).is_some_and(|number| range.contains(&number)))
}

fn exposes(container: &Container, wanted: &str) -> bool {
    let Some((range, protocol)) = ports(wanted) else { return false };
    human::exposed(container)
        .iter()
        .filter_map(|text| text.split_once('/'))
        .any(|(number, of)| of == protocol && number.parse::<u32>().is_ok_and(|number| range.contains(&number)))
}

/// `80`, `80-90`, `53/udp`.
fn ports(text: &str) -> Option<(std::ops::RangeInclusive<u32>, &str)> {
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (begin, end) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().ok().filter(|number| *number > 0).map(u32::from);
    let (begin, end) = (number(begin)?, number(end)?);
    (begin <= end && matches!(protocol, "tcp" | "udp" | "sctp")).then_some((begin..=end, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::types::ContainerStatus;

    fn container(name: &str, created_at: i64, phase: ContainerPhase, code: i32) -> Container {
        let status = ContainerStatus { phase: phase.into(), exit_code: Some(code), ..Default::default() };
        let port = PortSpec { published: Some(8080), target: 80, ..Default::default() };
        Container {
            id: format!("{created_at:064x}"),
            name: name.into(),
            created_at,
            image_id: format!("sha256:{name}"),
            status: Some(status),
            ports: vec![port],
            labels: [("tier".to_owned(), name.to_owned())].into(),
            ..Default::default()
        }
    }

    fn names(all: bool, last: Option<usize>, pairs: &[&str]) -> Vec<String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        let selection = Selection { all, last, filters: Filters::parse(&pairs, KEYS).unwrap() };
        selection.check().unwrap();
        let containers = vec![
            container("old", 1, ContainerPhase::Exited, 3),
            container("web", 2, ContainerPhase::Running, 0),
            container("new", 3, ContainerPhase::Created, 0),
        ];
        let image = |name: &str, layers: &[&str]| Image {
            id: format!("sha256:{name}"),
            references: vec![format!("{name}:latest")],
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            ..Default::default()
        };
        let images = [image("old", &["a"]), image("web", &["a", "b"]), image("new", &["c"])];
        selection.of(containers, &images).unwrap().into_iter().map(|container| container.name).collect()
    }

    #[test]
    fn what_runs_what_is_newest_and_what_fits() {
        assert_eq!(names(false, None, &[]), ["web"]);
        assert_eq!(names(true, None, &[]), ["new", "web", "old"]);
        assert_eq!(names(false, Some(2), &[]), ["new", "web"]);
        assert_eq!(names(false, None, &["status=exited", "status=created"]), ["new", "old"]);
        assert_eq!(names(true, None, &["exited=3"]), ["old"]);
        assert_eq!(names(true, None, &["name=e"]), ["new", "web"]);
        assert_eq!(names(true, None, &["name=^/web$"]), ["web"]);
        assert_eq!(names(true, None, &["label=tier=web"]), ["web"]);
        assert_eq!(names(true, None, &["before=web"]), ["old"]);
        assert_eq!(names(true, None, &["since=web"]), ["new"]);
        assert_eq!(names(true, None, &["publish=8000-8100"]), ["new", "web", "old"]);
        assert_eq!(names(true, None, &["publish=80"]), [""; 0]);
        assert_eq!(names(true, None, &["expose=80/tcp"]).len(), 3);
        assert_eq!(names(true, None, &["ancestor=old"]), ["web", "old"], "and what is built upon it");
        assert_eq!(names(true, None, &["health=none"]).len(), 3);
        assert_eq!(names(true, None, &["is-task=true"]), [""; 0]);
    }

    #[test]
    fn values_that_there_are_not_are_refused() {
        for bad in ["status=up", "health=ill", "exited=x", "publish=0", "publish=1/icmp", "expose=9-8", "is-task=maybe"]
        {
            let filters = Filters::parse(&[bad.to_owned()], KEYS).unwrap();
            assert!(Selection { all: true, last: None, filters }.check().is_err(), "{bad}");
        }
    }
}
