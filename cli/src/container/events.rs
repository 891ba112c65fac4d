//! `orca events`.

use std::collections::HashMap;

use api::node::{Event, EventsRequest};
use api::types::StringList;
use clap::Args;
use model::Timestamp;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::format::{self, Format};
use crate::output::table::printable;

/// Arguments of `orca events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// From this time on: 10m, 2026-01-02T15:04:05Z, Unix seconds
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Until this time
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only those that fit: container=NAME, event=start, image=, label=, network=, type=, volume=
    #[arg(short, long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// json
    #[arg(long, value_parser = format::parse)]
    format: Option<Format>,
}

/// Prints what happens until the end that was asked for, or for ever.
pub async fn events(host: &Host, args: EventsArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let request = request(args.since.as_deref(), args.until.as_deref(), &args.filter)?;
    let json = args.format == Some(Format::Json);
    let mut events = client.node.events(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        format::write(&if json { format!("{}\n", docker_json(&event)) } else { line(&event) })?;
    }
    Ok(())
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
    fn filters_need_a_value() {
        assert!(request(None, None, &["event".into()]).is_err());
        let both = request(Some("10"), None, &["event=start".into(), "event=die".into()]).unwrap();
        assert_eq!(both.filters["event"].values, ["start", "die"]);
        assert_eq!(both.since, Some(10_000_000_000));
    }
}
