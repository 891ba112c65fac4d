//! `orca network ls`.

use api::network::Network;
use api::types::LocalNetwork;
use model::Timestamp;
use serde_json::{Value, json};

use super::all;
use crate::client::{Client, Host};
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format, Listing};
use template::Value as Row;

/// Arguments of `orca network ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only some: driver=, id=, name=, label=, scope=, type=custom|builtin, dangling=true|false
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Whole ids
    #[arg(long)]
    no_trunc: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// Lists networks by name.
pub async fn list(host: &Host, args: Args) -> Result<()> {
    let wanted = Wanted::parse(&args.filter)?;
    let mut client = Client::connect_or_start(host).await?;
    let mut networks = all(&mut client).await?;
    networks.retain(|network| wanted.fits(network));
    let length = if args.no_trunc { usize::MAX } else { 12 };
    let id = |network: &LocalNetwork| network.id.chars().take(length).collect::<String>();
    let plain = || networks.iter().filter_map(|network| Some((network, network.network.as_ref()?)));
    let rows: Vec<Row> = plain()
        .map(|(network, plain)| {
            let labels = plain.labels.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            Row::row(&row(network, plain, id(plain)), labels)
        })
        .collect();
    if args.quiet && matches!(args.format, Format::Table | Format::Columns(_)) {
        return LISTING.print(&Format::Template("{{.ID}}".into()), &rows);
    }
    LISTING.print(&args.format, &rows)
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.networkContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
    headers: &[("ID", "NETWORK ID")],
};

fn row(network: &Network, plain: &LocalNetwork, id: String) -> Value {
    let labels: Vec<String> = plain.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    json!({
        "CreatedAt": Timestamp(plain.created_at).to_rfc3339(),
        "Driver": network.driver,
        "ID": id,
        "IPv4": super::has_family(plain, false).to_string(),
        "IPv6": super::has_family(plain, true).to_string(),
        "Internal": plain.internal.to_string(),
        "Labels": labels.join(","),
        "Name": plain.name,
        "Scope": "local",
    })
}

/// Which networks to list.
#[derive(Debug)]
struct Wanted {
    filters: Filters,
    dangling: Option<bool>,
}

impl Wanted {
    fn parse(texts: &[String]) -> Result<Self> {
        let filters = Filters::parse(texts, &["dangling", "driver", "id", "label", "name", "scope", "type"])?;
        filters.only("type", &["custom", "builtin"])?;
        Ok(Self { dangling: filters.switch("dangling")?, filters })
    }

    fn fits(&self, network: &Network) -> bool {
        let Some(plain) = &network.network else { return false };
        let filters = &self.filters;
        let builtin = network.stack.is_none() && ["bridge", "host", "none"].contains(&plain.name.as_str());
        let is_dangling = !builtin && network.endpoints.is_empty();
        filters.any("driver", |value| network.driver == value)
            && filters.any("id", |value| plain.id.starts_with(value))
            && filters.matches("name", &plain.name)
            && filters.any("scope", |value| value == "local")
            && filters.any("type", |value| (value == "builtin") == builtin)
            && self.dangling.is_none_or(|dangling| dangling == is_dangling)
            && filters.fits_labels(&plain.labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_pick_by_each_key() {
        let plain = LocalNetwork {
            id: "abc".into(),
            name: "front".into(),
            labels: [("tier".to_owned(), "web".to_owned())].into(),
            ..LocalNetwork::default()
        };
        let network = Network { network: Some(plain), driver: "bridge".into(), ..Network::default() };
        let fits = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            Wanted::parse(&texts).map(|wanted| wanted.fits(&network))
        };
        for yes in [
            &[][..],
            &["name=ron"],
            &["name=^front$"],
            &["label=tier"],
            &["label=tier=web", "driver=bridge"],
            &["id=x", "id=ab"],
            &["type=custom", "dangling=true"],
        ] {
            assert!(fits(yes).unwrap(), "{yes:?}");
        }
        for no in [
            &["name=back"][..],
            &["label=tier=db"],
            &["label=tier", "label=other"],
            &["type=builtin"],
            &["scope=swarm"],
        ] {
            assert!(!fits(no).unwrap(), "{no:?}");
        }
        for bad in ["colour=red", "type=odd", "dangling=perhaps"] {
            assert!(fits(&[bad]).is_err(), "{bad}");
        }
    }
}
