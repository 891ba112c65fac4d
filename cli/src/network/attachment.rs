//! `--network` of `run` and `create`: a name, or `name=NETWORK,ip=…,alias=…`. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use model::{AttachmentSpec, EndpointOptions, MacAddress, NetworkMode};

/// What the single flags beside `--network` say; they mean its first network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct First {
    /// `--network-alias`.
    pub aliases: Vec<String>,
    /// `--link`.
    pub links: Vec<String>,
    /// `--ip`.
    pub ip: Option<Ipv4Addr>,
    /// `--ip6`.
    pub ip6: Option<Ipv6Addr>,
    /// `--mac-address`.
    pub mac: Option<MacAddress>,
    /// `--link-local-ip`.
    pub link_local: Vec<IpAddr>,
}

/// The networks of all `--network` flags, the one with the way out first.
///
/// # Errors
/// In words: a network twice, two values for one thing, what is not supported.
pub fn attachments(values: &[String], first: First) -> Result<NetworkMode, String> {
    match values {
        [one] if one == "none" => return alone(NetworkMode::None, &first),
        [one] if one == "host" => return alone(NetworkMode::Host, &first),
        [one] if one.starts_with("container:") => {
            let name = one.trim_start_matches("container:");
            if name.is_empty() {
                return Err("it names no container: expected container:NAME".into());
            }
            return alone(NetworkMode::Container(name.into()), &first);
        }
        [] => return attachments(&["bridge".into()], first),
        _ => {}
    }
    let mut parsed = values.iter().map(|value| attachment(value)).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, spec)) = parsed.iter().find(|(_, spec)| ["none", "host"].contains(&spec.network.as_str())) {
        return Err(format!("{} stands alone", spec.network));
    }
    if let Some((_, spec)) = parsed.first_mut() {
        merge(spec, first)?;
    }
    for (index, (_, spec)) in parsed.iter().enumerate() {
        if parsed.iter().take(index).any(|(_, other)| other.network == spec.network) {
            return Err(format!("network {} is named twice", spec.network));
        }
    }
    // The sort is stable: without priorities the first one given stays the first.
    parsed.sort_by_key(|(priority, _)| std::cmp::Reverse(*priority));
    Ok(NetworkMode::Networks(parsed.into_iter().map(|(_, spec)| spec).collect()))
}

fn alone(mode: NetworkMode, first: &First) -> Result<NetworkMode, String> {
    if *first == First::default() {
        return Ok(mode);
    }
    Err("addresses, aliases and links need a network of one's own, not none, host or another container's".into())
}

fn merge(spec: &mut AttachmentSpec, first: First) -> Result<(), String> {
    let First { aliases, links, ip, ip6, mac, link_local } = first;
    link_local.iter().try_for_each(|address| model::check_link_local(*address))?;
    spec.link_local.extend(link_local);
    spec.aliases.extend(aliases);
    spec.links = self::links(&links)?;
    one(&mut spec.ipv4_address, ip.map(IpAddr::V4), "ip")?;
    one(&mut spec.ipv6_address, ip6.map(IpAddr::V6), "ip6")?;
    one(&mut spec.mac_address, mac, "mac-address")
}

/// `NAME[:ALIAS]`: what the container calls another, and what that is called.
///
/// # Errors
/// A link without a name, or two of one alias.
pub fn links(texts: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut links = BTreeMap::new();
    for text in texts {
        let (name, alias) = text.split_once(':').unwrap_or((text, text));
        // As Docker lists them, with the leading slash of a container's name.
        let (name, alias) = (name.trim_start_matches('/'), alias.rsplit('/').next().unwrap_or(alias));
        if name.is_empty() || alias.is_empty() {
            return Err(format!("{text:?}: expected CONTAINER[:ALIAS]"));
        }
        if links.insert(alias.to_owned(), name.to_owned()).is_some() {
            return Err(format!("{alias} is linked twice"));
        }
    }
    Ok(links)
}

fn one<T>(slot: &mut Option<T>, value: Option<T>, key: &str) -> Result<(), String> {
    match (slot.is_some(), value) {
        (_, None) => Ok(()),
        (true, Some(_)) => Err(format!("{key} is given twice for one network")),
        (false, value) => {
            *slot = value;
            Ok(())
        }
    }
}

/// One network and its priority.
fn attachment(value: &str) -> Result<(i64, AttachmentSpec), String> {
    if let Some(other) = value.strip_prefix("container:") {
        return Err(format!("the network of container {other} stands alone"));
    }
    let named = |network: &str| AttachmentSpec {
        network: if network == "default" { "bridge".into() } else { network.into() },
        ..AttachmentSpec::default()
    };
    if !value.contains('=') {
        return Ok((0, named(value)));
    }
    let (mut spec, mut priority, mut options) = (AttachmentSpec::default(), None, Vec::new());
    for part in model::csv::fields(value)? {
        let (key, text) = part.split_once('=').ok_or_else(|| format!("{part:?}: expected KEY=VALUE"))?;
        let address = |what: &str| format!("{text:?} is not an {what} address");
        match key {
            "name" if spec.network.is_empty() => spec.network = named(text).network,
            "alias" => spec.aliases.push(text.into()),
            "ip" => {
                one(&mut spec.ipv4_address, Some(text.parse::<Ipv4Addr>().map_err(|_| address("IPv4"))?.into()), key)?
            }
            "ip6" => {
                one(&mut spec.ipv6_address, Some(text.parse::<Ipv6Addr>().map_err(|_| address("IPv6"))?.into()), key)?
            }
            "mac-address" => {
                one(&mut spec.mac_address, Some(text.parse().map_err(|error| format!("{error}"))?), key)?;
            }
            "driver-opt" => options.push(text.to_owned()),
            "gw-priority" => {
                one(&mut priority, Some(text.parse().map_err(|_| format!("{text:?} is not a number"))?), key)?;
            }
            "link-local-ip" => {
                let address = text.parse().map_err(|_| address("IP"))?;
                model::check_link_local(address)?;
                spec.link_local.push(address);
            }
            _ => {
                let known = "name, alias, ip, ip6, link-local-ip, mac-address, driver-opt, gw-priority";
                return Err(format!("{key:?} is none of {known}"));
            }
        }
    }
    if spec.network.is_empty() {
        return Err("it names no network: expected name=NETWORK".into());
    }
    let options = driver_options(&options)?;
    (spec.interface_name, spec.sysctls) = (options.interface_name, options.sysctls);
    Ok((priority.unwrap_or(0), spec))
}

/// What options of an endpoint say.
///
/// # Errors
/// An option that there is not, by name, or a value that makes no sense.
pub fn driver_options(options: &[String]) -> Result<EndpointOptions, String> {
    let mut parsed = EndpointOptions::default();
    for option in options {
        let (key, value) = option.split_once('=').ok_or_else(|| format!("{option:?}: expected KEY=VALUE"))?;
        parsed.set(key, value)?;
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(values: &[&str], first: First) -> Result<NetworkMode, String> {
        attachments(&values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>(), first)
    }

    #[test]
    fn networks_are_named_with_what_belongs_to_each() {
        let mode = all(
            &[
                "back",
                "name=front,ip=10.7.0.9,alias=a,alias=b,mac-address=02:42:00:00:00:09,gw-priority=1,driver-opt=com.docker.network.endpoint.ifname=lan,link-local-ip=169.254.7.8,\"driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,net.ipv4.conf.IFNAME.forwarding=0\"",
            ],
            First { aliases: vec!["db".into()], ..First::default() },
        );
        let front = AttachmentSpec {
            network: "front".into(),
            aliases: vec!["a".into(), "b".into()],
            links: BTreeMap::new(),
            ipv4_address: Some("10.7.0.9".parse().unwrap()),
            ipv6_address: None,
            mac_address: Some("02:42:00:00:00:09".parse().unwrap()),
            interface_name: Some("lan".into()),
            sysctls: [("log_martians", "1"), ("forwarding", "0")]
                .map(|(name, value)| (format!("net.ipv4.conf.IFNAME.{name}"), value.to_owned()))
                .into(),
            link_local: vec!["169.254.7.8".parse().unwrap()],
            local: false,
        };
        let back = AttachmentSpec { network: "back".into(), aliases: vec!["db".into()], ..AttachmentSpec::default() };
        assert_eq!(mode, Ok(NetworkMode::Networks(vec![front, back])));
        assert_eq!(all(&["none"], First::default()), Ok(NetworkMode::None));
        assert_eq!(all(&[], First::default()).unwrap().attachments()[0].network, "bridge");
        assert_eq!(all(&["default"], First::default()).unwrap().attachments()[0].network, "bridge");
    }

    #[test]
    fn links_are_of_the_first_network() {
        let first = First { links: vec!["db".into(), "/cache:/web/store".into()], ..First::default() };
        let mode = all(&["front", "back"], first).unwrap();
        let links: Vec<_> = mode.attachments()[0].links.iter().map(|(alias, name)| format!("{alias}={name}")).collect();
        assert_eq!((links, mode.attachments()[1].links.len()), (vec!["db=db".to_owned(), "store=cache".into()], 0));
        for (links, words) in [(&[":x"][..], "expected"), (&["a:x", "b:x"], "twice")] {
            let links = links.iter().map(|link| (*link).to_owned()).collect();
            assert!(all(&["front"], First { links, ..First::default() }).unwrap_err().contains(words));
        }
        let first = First { links: vec!["db".into()], ..First::default() };
        assert!(all(&["host"], first).unwrap_err().contains("need a network"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_in_words() {
        let ip = || First { ip: Some(Ipv4Addr::new(10, 7, 0, 9)), ..First::default() };
        for (values, first, words) in [
            (&["a", "host"][..], First::default(), "stands alone"),
            (&["a", "a"], First::default(), "twice"),
            (&["host"], ip(), "need a network"),
            (&["container:web"], ip(), "need a network"),
            (&["container:"], First::default(), "names no container"),
            (&["name=a,ip=10.7.0.9"], ip(), "ip is given twice"),
            (&["ip=10.7.0.9"], First::default(), "names no network"),
            (&["name=a,colour=red"], First::default(), "colour"),
            (&["name=a,ip=::1"], First::default(), "not an IPv4"),
            (&["name=a,driver-opt=x=y"], First::default(), "x=y"),
            (&["name=a,link-local-ip=10.0.0.1"], First::default(), "not link-local"),
            (&["name=a,mac-address=ff:ff:ff:ff:ff:ff"], First::default(), "link address"),
            (&["a", "container:web"], First::default(), "stands alone"),
        ] {
            let error = all(values, first).unwrap_err();
            assert!(error.contains(words), "{values:?}: {error}");
        }
    }
}
