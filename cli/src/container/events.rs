//! `orca events`.

use std::collections::HashMap;

use api::node::{Event, EventsRequest};
use api::types::StringList;
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cluster_events::{self, Item};
use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::format::{self, Format, Listing};
use crate::output::table::printable;
use template::Value as Template;

/// Arguments of `orca events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// From this time on: 10m, 2026-01-02T15:04:05Z, Unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those that fit: container=NAME, event=start, image=, label=, network=, node=, type=, volume=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json, or a Go template
    #[arg(long, value_parser = format::parse)]
    format: Option<Format>,
}

/// Prints what happens until the end that was asked for, or for ever.
pub async fn events(host: &Host, args: EventsArgs) -> Result<()> {
    let client = Client::connect(host).await?;
    let request = request(args.since.as_deref(), args.until.as_deref(), &args.filter)?;
    let format = args.format.unwrap_or_default();
    if let Format::Columns(_) = format {
        let reason = "events have no table: use json or a template".into();
        return Err(Error::Flag { flag: "--format", value: "table".into(), reason });
    }
    if let Some(items) = cluster_events::follow(&client, request.clone()).await? {
        let is_past = request.until.is_some_and(|until| until <= clock::now().0);
        return of_cluster(items, &format, is_past).await;
    }
    let mut node = client.node;
    let mut events = node.events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        format::write(&shown(&event, &format)?)?;
    }
    Ok(())
}

/// Prints what nodes say; what is over already in the order in which it happened.
async fn of_cluster(mut items: mpsc::Receiver<Item>, format: &Format, is_past: bool) -> Result<()> {
    let mut past = Vec::new();
    while let Some(item) = items.recv().await {
        match item {
            Item::Event(event) if is_past => past.push(event),
            Item::Event(event) => format::write(&shown(&event, format)?)?,
            Item::Missing(node, error) => eprintln!("orca: warning: what happens on node {node} is missing: {error}"),
        }
    }
    past.sort_by_key(|event| event.at);
    past.iter().try_for_each(|event| format::write(&shown(event, format)?))
}

/// What to ask the daemon for.
pub fn request(since: Option<&str>, until: Option<&str>, filters: &[String]) -> Result<EventsRequest> {
    let now = clock::now();
    let time = |flag: &'static str, text: Option<&str>| {
        let parsed =
            text.map(|text| clock::parse(text, now).map_err(|reason| Error::Flag { flag, value: text.into(), reason }));
        Ok::<_, Error>(parsed.transpose()?.map(|at| at.0))
    };
    let mut map: HashMap<String, StringList> = HashMap::new();
    for filter in filters {
        let (key, value) = filter.split_once('=').ok_or_else(|| Error::Flag {
            flag: "--filter",
            value: filter.clone(),
            reason: "expected KEY=VALUE".into(),
        })?;
        map.entry(key.trim().to_ascii_lowercase()).or_default().values.push(value.trim().to_owned());
    }
    let filters = map.into_iter().collect();
    Ok(EventsRequest { since: time("--since", since)?, until: time("--until", until)?, filters })
}

fn shown(event: &Event, format: &Format) -> Result<String> {
    match format {
        Format::Json => Ok(format!("{}\n", docker_json(event))),
        // The whole event is JSON under the keys of the API, which are not those of Go.
        Format::Template(text) if text.split_whitespace().collect::<String>() == "{{json.}}" => {
            Ok(format!("{}\n", docker_json(event)))
        }
        Format::Template(_) => {
            let listing = Listing { kind: "*events.Message", ..Listing::default() };
            listing.render(format, &[Template::from(&docker_fields(event))])
        }
        _ => Ok(line(event)),
    }
}

/// The fields that templates know.
fn docker_fields(event: &Event) -> Value {
    json!({
        "Status": event.action,
        "ID": event.id,
        "From": event.attributes.get("image").cloned().unwrap_or_default(),
        "Type": event.r#type,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "Scope": "local",
        "Time": event.at / 1_000_000_000,
        "TimeNano": event.at,
    })
}

/// `2026-11-27T15:04:05.000000000Z container start ID (image=busybox, name=c)`.
pub fn line(event: &Event) -> String {
    let mut attributes: Vec<String> = event.attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    attributes.sort_unstable();
    let text = format!(
        "{} {} {} {} ({})",
        Timestamp(event.at).to_rfc3339(),
        event.r#type,
        event.action,
        event.id,
        attributes.join(", ")
    );
    printable(&text) + "\n"
}

/// Docker's keys, those that it keeps for old clients too.
pub fn docker_json(event: &Event) -> Value {
    let mut value = json!({
        "Type": event.r#type,
        "Action": event.action,
        "Actor": { "ID": event.id, "Attributes": event.attributes },
        "scope": "local",
        "time": event.at / 1_000_000_000,
        "timeNano": event.at,
    });
    if let (Value::Object(map), true) = (&mut value, matches!(event.r#type.as_str(), "container" | "image")) {
        map.insert("status".into(), event.action.clone().into());
        map.insert("id".into(), event.id.clone().into());
        if let Some(image) = event.attributes.get("image") {
            map.insert("from".into(), image.clone().into());
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_as_docker_has_it() {
        let attributes = [("name", "c"), ("image", "busybox")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let event = Event {
            at: 1_795_788_245_000_000_001,
            r#type: "container".into(),
            action: "start".into(),
            id: "abc".into(),
            attributes: attributes.into_iter().collect(),
        };
        assert_eq!(line(&event), "2026-11-27T14:04:05.000000001Z container start abc (image=busybox, name=c)\n");
        let json = docker_json(&event);
        assert_eq!((json["status"].as_str(), json["from"].as_str()), (Some("start"), Some("busybox")));
        assert_eq!(
            (json["time"].as_i64(), json["Actor"]["Attributes"]["name"].as_str()),
            (Some(1_795_788_245), Some("c"))
        );
    }

    #[test]
    fn events_in_templates() {
        let event = Event { r#type: "container".into(), action: "die".into(), id: "abc".into(), ..Default::default() };
        let shown = |text: &str| shown(&event, &format::parse(text).unwrap()).unwrap();
        assert_eq!(
            shown("{{.Type}} {{.Status}} {{.Actor.ID}} {{index .Actor.Attributes \"x\"}}"),
            "container die abc \n"
        );
        assert!(shown("{{ json . }}").starts_with("{\"Type\":\"container\""));
    }

    #[test]
    fn filters_need_a_value() {
        assert!(request(None, None, &["event".into()]).is_err());
        let both = request(Some("10"), None, &["event=start".into(), "event=die".into()]).unwrap();
        assert_eq!(both.filters["event"].values, ["start", "die"]);
        assert_eq!(both.since, Some(10_000_000_000));
    }
}
