//! `orca volume prune`.

use api::control::ListServicesRequest;
use api::node::{ListVolumesRequest, PruneVolumesRequest, VolumePlace};
use clap::Args;

use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::filter::Filters;
use crate::output::{format, human};
use crate::terminal;

/// Arguments of `orca volume prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Volumes with names too, not only anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Only volumes that fit: label=KEY[=VALUE], label!=KEY[=VALUE], all=true
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes volumes that no container uses.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    let request = prune_request(args.all, &args.filter)?;
    if !args.force {
        let which = if request.all { "all local volumes" } else { "anonymous local volumes" };
        let warning = format!("{which} not used by at least one container.");
        terminal::confirm_pruning("volume", &warning, &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    let reclaimed = prune_now(&mut client, request).await?;
    format::write(&format!("Total reclaimed space: {}\n", human::size(reclaimed)))
}

/// Removes volumes and lists their names; how many bytes that gave.
pub async fn prune_now(client: &mut Client, mut request: PruneVolumesRequest) -> Result<u64> {
    // In this order: whose volume is not newer than these is among the services, or has none any more.
    let volumes = client.node.list_volumes(ListVolumesRequest::default()).await?.into_inner().volumes;
    let newest = volumes.iter().map(|volume| volume.created_at).max().unwrap_or(0);
    // Without managers nobody knows; what services have left stays then.
    if let Ok(reply) = client.control.list_services(ListServicesRequest { stack: None }).await {
        request.places = reply.into_inner().services.into_iter().filter_map(place).collect();
        request.newest = Some(newest);
    }
    let reply = client.node.prune_volumes(request).await?.into_inner();
    format::write(&format::deleted("Volumes", &reply.removed))?;
    Ok(reply.reclaimed)
}

/// The places of a service whose next containers take volumes over; none of one that is being removed.
fn place(service: api::types::Service) -> Option<VolumePlace> {
    let service = model::Service::try_from(service).ok().filter(|service| !service.removing)?;
    // Where nodes take the place of slots, each has one.
    let replicas = service.spec.mode.slots().unwrap_or(1);
    Some(VolumePlace { service: service.id.to_string(), replicas, volumes_since: service.volumes_since })
}

/// Which volumes may go.
pub fn prune_request(all: bool, filters: &[String]) -> Result<PruneVolumesRequest> {
    let filters = Filters::parse(filters, &["all", "label", "label!"])?;
    let switch = filters.switch("all")?;
    if all && switch.is_some() {
        let reason = "conflicting options: --all and the filter all".into();
        return Err(Error::Flag { flag: "--filter", value: "all".into(), reason });
    }
    let labels = |key: &str| filters.values(key).map(str::to_owned).collect();
    Ok(PruneVolumesRequest {
        all: switch.unwrap_or(all),
        labels: labels("label"),
        without_labels: labels("label!"),
        ..PruneVolumesRequest::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go() {
        let of = |all, filters: &[&str]| {
            prune_request(all, &filters.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        };
        assert!(!of(false, &[]).unwrap().all && of(true, &[]).unwrap().all && of(false, &["all=1"]).unwrap().all);
        let found = of(false, &["label=a=1", "label=b", "label!=c=1", "label!=c=2"]).unwrap();
        assert_eq!(
            (found.labels, found.without_labels),
            (vec!["a=1".into(), "b".into()], vec!["c=1".into(), "c=2".into()])
        );
        for bad in [&["until=1h"][..], &["all=perhaps"], &["all"]] {
            assert!(of(false, bad).is_err(), "{bad:?}");
        }
        assert!(of(true, &["all=true"]).is_err());
    }
}
