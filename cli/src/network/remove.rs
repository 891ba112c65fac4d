//! `orca network rm` and `orca network prune`.

use api::network::{LabelFilter, PruneRequest, RemoveRequest};

use super::refuse;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;
use crate::{clock, terminal};

/// Arguments of `orca network rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// A network that is not there is no failure
    #[arg(short, long)]
    force: bool,
    /// Networks
    #[arg(required = true)]
    networks: Vec<String>,
}

/// Arguments of `orca network prune`.
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// Only some: until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Removes networks that no running container is on, and prints their names.
pub async fn remove(host: &Host, args: RemoveArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let mut failures = 0;
    for network in args.networks {
        match client.networks.remove_network(RemoveRequest { network, force: args.force }).await {
            Ok(reply) => {
                let name = reply.into_inner().name;
                if !name.is_empty() {
                    format::write(&format!("{name}\n"))?;
                }
            }
            Err(status) => {
                failures += 1;
                eprintln!("orca: {}", Error::from(status));
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}

/// Removes unused networks, after asking.
pub async fn prune(host: &Host, args: PruneArgs) -> Result<()> {
    let request = prune_request(&args.filter)?;
    if !args.force {
        let which = "all custom networks not used by at least one container.";
        terminal::confirm_pruning("network", which, &args.filter)?;
    }
    let mut client = Client::connect(host).await?;
    prune_now(&mut client, request).await
}

/// Removes networks and lists their names.
pub async fn prune_now(client: &mut Client, request: PruneRequest) -> Result<()> {
    let names = client.networks.prune_networks(request).await?.into_inner().names;
    format::write(&format::deleted("Networks", &names))
}

/// Which networks may go.
pub fn prune_request(filters: &[String]) -> Result<PruneRequest> {
    let mut request = PruneRequest::default();
    for text in filters {
        let (key, value) = text.split_once('=').unwrap_or((text, ""));
        match key {
            "until" => {
                request.until =
                    Some(clock::parse(value, clock::now()).map_err(|reason| refuse("--filter", text, &reason))?.0)
            }
            "label" | "label!" => {
                let (label, wanted) =
                    value.split_once('=').map_or((value, None), |(label, value)| (label, Some(value)));
                let (key, value) = (label.to_owned(), wanted.map(str::to_owned));
                request.labels.push(LabelFilter { key, value, negate: text.starts_with("label!") });
            }
            _ => return Err(refuse("--filter", text, "expected until=, label= or label!=")),
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_of_prune() {
        let request = prune_request(&["label=a".into(), "label!=b=c".into()]).unwrap();
        let filter = |key: &str, value: Option<&str>, negate| LabelFilter {
            key: key.into(),
            value: value.map(Into::into),
            negate,
        };
        assert_eq!(request.labels, [filter("a", None, false), filter("b", Some("c"), true)]);
        assert!(prune_request(&["until=24h".into()]).unwrap().until.is_some());
        for bad in ["until=soon", "name=x", "driver=bridge"] {
            assert!(prune_request(&[bad.into()]).is_err(), "{bad}");
        }
    }
}
