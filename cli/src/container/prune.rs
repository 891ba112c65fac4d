//! `orca container prune`.

use api::node::{Container, ListContainersRequest, RemoveContainerRequest};
use clap::Args;
use model::Timestamp;

use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::{format, human};
use crate::terminal;

/// Arguments of `orca container prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Do not ask
    #[arg(short, long)]
    force: bool,
    /// Only those that fit: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "FILTER")]
    filter: Vec<String>,
}

/// What may go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Made before.
    until: Option<Timestamp>,
    /// With these labels.
    labels: Vec<String>,
    /// Without these.
    not_labels: Vec<String>,
}

impl Wanted {
    /// Reads the filters.
    pub fn parse(filters: &[String], now: Timestamp) -> Result<Self> {
        let mut wanted = Self::default();
        for filter in filters {
            let refuse = |reason: String| Error::Flag { flag: "--filter", value: filter.clone(), reason };
            let (key, value) = filter.split_once('=').ok_or_else(|| refuse("expected KEY=VALUE".into()))?;
            match key {
                "until" => wanted.until = Some(clock::parse(value, now).map_err(refuse)?),
                "label" => wanted.labels.push(value.into()),
                "label!" => wanted.not_labels.push(value.into()),
                _ => return Err(refuse("use until, label or label!".into())),
            }
        }
        Ok(wanted)
    }

    /// Whether a container fits. A service's containers are its own affair.
    pub fn fits(&self, container: &Container) -> bool {
        let labelled = |label: &String| match label.split_once('=') {
            Some((key, value)) => container.labels.get(key).is_some_and(|found| found == value),
            None => container.labels.contains_key(label),
        };
        !human::is_up(container)
            && container.task.is_none()
            && self.until.is_none_or(|until| container.created_at < until.0)
            && self.labels.iter().all(labelled)
            && !self.not_labels.iter().any(labelled)
    }
}

/// Removes containers that do not run.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    let wanted = Wanted::parse(&args.filter, clock::now())?;
    if !args.force {
        terminal::confirm_pruning("container", "all stopped containers.", &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    let reclaimed = run(&mut client, &wanted).await?;
    format::write(&format!("Total reclaimed space: {}\n", human::size(reclaimed)))
}

/// Removes the containers that fit and lists their ids; how many bytes they had written.
pub async fn run(client: &mut Client, wanted: &Wanted) -> Result<u64> {
    let request = ListContainersRequest { all: true, size: true, ..ListContainersRequest::default() };
    let containers = client.node.list_containers(request).await?.into_inner().containers;
    let (mut removed, mut reclaimed) = (Vec::new(), 0);
    for container in containers.into_iter().filter(|container| wanted.fits(container)) {
        let remove = RemoveContainerRequest { container: container.id.clone(), force: false, volumes: false };
        match client.node.remove_container(remove).await {
            Ok(_) => {
                reclaimed += container.size_rw.unwrap_or(0);
                removed.push(container.id);
            }
            // It was started, or removed by somebody else, meanwhile.
            Err(status) => eprintln!("orca: cannot remove {}: {}", container.name, status.message()),
        }
    }
    format::write(&format::deleted("Containers", &removed))?;
    Ok(reclaimed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::types::{ContainerPhase, ContainerStatus};

    #[test]
    fn only_what_rests_and_fits_goes() {
        let mut status = ContainerStatus::default();
        status.set_phase(ContainerPhase::Exited);
        let labels = [("tier", "front")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let container =
            Container { status: Some(status), labels: labels.into(), created_at: 50, ..Container::default() };
        let fits = |filters: &[&str]| {
            let filters: Vec<String> = filters.iter().map(|filter| (*filter).to_owned()).collect();
            Wanted::parse(&filters, Timestamp(1_000)).unwrap().fits(&container)
        };
        assert!(fits(&[]) && fits(&["label=tier"]) && fits(&["label=tier=front", "label!=x"]) && fits(&["until=1"]));
        assert!(!fits(&["label=tier=back"]) && !fits(&["label!=tier"]) && !fits(&["until=1970-01-01"]));
        let mut running = container.clone();
        running.status.as_mut().unwrap().set_phase(ContainerPhase::Paused);
        let of_service = Container { task: Some(Default::default()), ..container.clone() };
        assert!(!Wanted::default().fits(&running) && !Wanted::default().fits(&of_service));
        assert!(Wanted::parse(&["colour=red".into()], Timestamp(0)).is_err());
    }
}
