//! The values of flags that describe a container: `-p`, `-e`, sizes, limits. All pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::error::Error;
use model::{
    Device, DeviceRequest, HostAddress, HostEntry, PortRange, PortSpec, Protocol, PublishMode, RestartCondition,
    RestartPolicy, Ulimit,
};

/// `8080:80`, `127.0.0.1:53:53/udp`, `80`, `7000-7002:7000-7002`.
pub fn ports(value: &str) -> Result<Vec<PortSpec>, String> {
    let (rest, protocol) = match value.rsplit_once('/') {
        None | Some((_, "")) => (value.trim_end_matches('/'), Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some((rest, "sctp")) => (rest, Protocol::Sctp),
        Some((_, other)) => return Err(format!("protocol {other:?} is not supported: use tcp, udp or sctp")),
    };
    let (host, target) = rest.rsplit_once(':').map_or((None, rest), |(host, target)| (Some(host), target));
    let (ip, published) = match host {
        None => (None, ""),
        Some(host) => host.rsplit_once(':').map_or((None, host), |(ip, published)| (Some(ip), published)),
    };
    let host_ip = match ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']')) {
        None | Some("") => None,
        Some(ip) => Some(ip.parse::<IpAddr>().map_err(|_| format!("{ip:?} is not an IP address"))?),
    };
    let targets = port_range(target)?;
    let published = if published.is_empty() { None } else { Some(port_range(published)?) };
    // One port of the container's, a range of the node's: any that is free.
    let choose_from = published.clone().filter(|published| targets.len() == 1 && published.len() > 1);
    let published = if choose_from.is_some() { None } else { published };
    let choose_from = choose_from.map(|range| PortRange { first: *range.start(), last: *range.end() });
    if published.as_ref().is_some_and(|published| published.len() != targets.len()) {
        return Err("the ranges of published and container ports differ in length".into());
    }
    let specs = targets.enumerate().map(|(index, target)| PortSpec {
        host_ip,
        published: published.as_ref().and_then(|published| published.clone().nth(index)),
        target,
        protocol,
        mode: PublishMode::Host,
        choose_from,
    });
    Ok(specs.collect())
}

/// Every `--publish` of a command.
pub fn all_ports(values: &[String]) -> Result<Vec<PortSpec>, Error> {
    let mut all = Vec::new();
    for value in values {
        let wrong = |reason: String| Error::Flag { flag: "--publish", value: value.clone(), reason };
        all.extend(ports(value).map_err(wrong)?);
        model::check_port_count(all.len()).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(all)
}

/// `--expose 80`, `7000-7002/udp`.
pub fn exposed(value: &str) -> Result<Vec<String>, String> {
    let (range, protocol) = value.rsplit_once('/').unwrap_or((value, "tcp"));
    if !["tcp", "udp", "sctp"].contains(&protocol) {
        return Err(format!("protocol {protocol:?} is not supported: use tcp, udp or sctp"));
    }
    Ok(port_range(range)?.map(|port| format!("{port}/{protocol}")).collect())
}

fn port_range(text: &str) -> Result<std::ops::RangeInclusive<u16>, String> {
    let port = |text: &str| match text.parse::<u16>() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{text:?} is not a port: expected 1 to 65535")),
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last { Err(format!("{text:?}: the range is backwards")) } else { Ok(first..=last) }
}

/// A size: `512m`, `1.5g`, `1024` (bytes); powers of 1,024 as Docker has it.
pub fn bytes(text: &str) -> Result<u64, String> {
    let error = || format!("{text:?} is not a size: expected a number and one of b, k, m, g, t");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches("ib").trim_end_matches('b');
    let (digits, shift) = match digits.as_bytes().last() {
        Some(b'k') => (&digits[..digits.len() - 1], 10),
        Some(b'm') => (&digits[..digits.len() - 1], 20),
        Some(b'g') => (&digits[..digits.len() - 1], 30),
        Some(b't') => (&digits[..digits.len() - 1], 40),
        _ => (digits, 0),
    };
    let number: f64 = digits.trim().parse().map_err(|_| error())?;
    let value = number * f64::from(1u32 << (shift % 30)) * if shift >= 30 { 1_073_741_824.0 } else { 1.0 };
    if value.is_finite() && (0.0..1.8e19).contains(&value) { Ok(value as u64) } else { Err(error()) }
}

/// `--cpus 1.5` in billionths of a CPU.
pub fn nano_cpus(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(cpus) if cpus > 0.0 && cpus <= 1e6 => Ok((cpus * 1e9).round() as u64),
        _ => Err(format!("{text:?} is not a number of CPUs such as 0.5")),
    }
}

/// `--restart no|always|unless-stopped|on-failure[:max]`.
pub fn restart(text: &str) -> Result<RestartPolicy, String> {
    let (name, max) = text.split_once(':').map_or((text, None), |(name, max)| (name, Some(max)));
    let condition = match (name, max) {
        ("no" | "", None) => RestartCondition::No,
        ("always", None) => RestartCondition::Always,
        ("unless-stopped", None) => RestartCondition::UnlessStopped,
        ("on-failure", _) => RestartCondition::OnFailure,
        _ => return Err("expected no, always, unless-stopped or on-failure[:max-retries]".into()),
    };
    let max_attempts = match max {
        None | Some("" | "0") => None,
        Some(max) => Some(max.parse().map_err(|_| format!("{max:?} is not a number of retries"))?),
    };
    Ok(RestartPolicy { condition, max_attempts, ..RestartPolicy::default() })
}

/// `KEY=VALUE`, or `KEY` with the value that this process has for it (left out when it has none).
pub fn environment(items: &[String], own: impl Fn(&str) -> Option<String>) -> Result<BTreeMap<String, String>, String> {
    let mut map = BTreeMap::new();
    for item in items {
        match item.split_once('=') {
            Some(("", _)) => return Err(format!("{item:?} has no name before `=`")),
            Some((key, value)) => {
                map.insert(key.to_owned(), value.to_owned());
            }
            None => {
                if let Some(value) = own(item) {
                    map.insert(item.clone(), value);
                }
            }
        }
    }
    Ok(map)
}

/// The lines of a `--env-file`: `KEY=VALUE` as it stands, `#` comments, no quoting (Docker's rule).
pub fn env_file(text: &str) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.split_once('=').map_or(line, |(key, _)| key);
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(format!("line {}: {key:?} is not a variable's name", index + 1));
        }
        items.push(line.to_owned());
    }
    Ok(items)
}

/// The lines of several such files.
pub fn env_files(paths: &[std::path::PathBuf]) -> Result<Vec<String>, Error> {
    let mut items = Vec::new();
    for path in paths {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        let lines = env_file(&text);
        items.extend(lines.map_err(|reason| Error::Flag {
            flag: "--env-file",
            value: path.display().to_string(),
            reason,
        })?);
    }
    Ok(items)
}

/// Labels of files, a line each, and of flags, which go before those.
pub fn all_labels(paths: &[std::path::PathBuf], items: &[String]) -> Result<BTreeMap<String, String>, Error> {
    let mut all = BTreeMap::new();
    for path in paths {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|source| Error::File { action: "read", path: path.clone(), source })?;
        let lines = env_file(&text);
        let lines =
            lines.map_err(|reason| Error::Flag { flag: "--label-file", value: path.display().to_string(), reason })?;
        all.extend(labels(&lines));
    }
    all.extend(labels(items));
    Ok(all)
}

/// `KEY=VALUE` or `KEY`.
pub fn labels(items: &[String]) -> BTreeMap<String, String> {
    let pair = |item: &String| {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        (key.to_owned(), value.to_owned())
    };
    items.iter().map(pair).collect()
}

/// `KEY[=VALUE]` of a label.
pub fn label(item: &str) -> Result<String, String> {
    match item.split('=').next() {
        None | Some("") => Err("the label has no name".into()),
        Some(_) => Ok(item.to_owned()),
    }
}

/// `host:address` or `host=address`; `host-gateway` is the node.
pub fn extra_host(value: &str) -> Result<HostEntry, String> {
    let (host, address) = value.split_once('=').or_else(|| value.split_once(':')).ok_or("expected HOST:ADDRESS")?;
    let address = match address.trim_start_matches('[').trim_end_matches(']') {
        "host-gateway" => HostAddress::HostGateway,
        ip => HostAddress::Ip(ip.parse().map_err(|_| format!("{ip:?} is not an IP address"))?),
    };
    Ok(HostEntry { host: host.to_owned(), address })
}

/// `nofile=1024:2048` or `nofile=1024`.
pub fn ulimit(value: &str) -> Result<(String, Ulimit), String> {
    let (name, limits) = value.split_once('=').ok_or("expected NAME=SOFT[:HARD]")?;
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("{text:?} is not a limit"));
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    Ok((name.to_owned(), Ulimit { soft: number(soft)?, hard: number(hard)? }))
}

/// A device by path, or by its qualified name of the Container Device Interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceFlag {
    /// `/dev/source[:/dev/target][:rwm]`.
    Path(Device),
    /// `vendor.com/class=name`.
    Request(DeviceRequest),
}

/// `--device`.
pub fn device_flag(value: &str) -> Result<DeviceFlag, String> {
    match DeviceRequest::cdi(value) {
        Some(request) => Ok(DeviceFlag::Request(request)),
        None => device(value).map(DeviceFlag::Path),
    }
}

/// `--gpus`: `all`, a number, or Docker's list, such as `"device=0,2",capabilities=utility`.
pub fn gpus(value: &str) -> Result<DeviceRequest, String> {
    let mut request = DeviceRequest { count: 1, ..DeviceRequest::default() };
    let mut counted = false;
    let list = |text: &str| text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    for field in comma_separated(value)? {
        let (key, text) = field.split_once('=').unwrap_or(("count", &field));
        match key {
            "count" => {
                request.count = match text {
                    "all" => -1,
                    number => number.parse().ok().filter(|count| *count >= 0).ok_or_else(|| {
                        format!("{number:?} is neither a number nor all; use device=ID for one by its name")
                    })?,
                };
                counted = true;
            }
            "driver" => request.driver = text.to_owned(),
            "device" => request.device_ids = list(text),
            "capabilities" => request.capabilities = list(text),
            "options" => {
                let pair = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
                let pairs: Option<_> = list(text).into_iter().map(pair).collect();
                request.options = pairs.ok_or("expected options=KEY=VALUE")?;
            }
            other => return Err(format!("{other:?} is not one of count, device, driver, capabilities, options")),
        }
    }
    if !request.device_ids.is_empty() {
        if counted {
            return Err("give a count or devices, not both".into());
        }
        request.count = 0;
    }
    if !request.capabilities.iter().any(|capability| capability == "gpu") {
        request.capabilities.push("gpu".into());
    }
    Ok(request)
}

/// A line of comma-separated fields, some in double quotes, as Docker reads it.
fn comma_separated(text: &str) -> Result<Vec<String>, String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    if quoted { Err("a quote has no end".into()) } else { Ok(fields) }
}

fn device(value: &str) -> Result<Device, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let is_permissions = |text: &str| !text.is_empty() && text.bytes().all(|b| b"rwm".contains(&b));
    let (source, target, permissions) = match parts[..] {
        [source] => (source, source, "rwm"),
        [source, permissions] if is_permissions(permissions) => (source, source, permissions),
        [source, target] => (source, target, "rwm"),
        [source, target, permissions] if is_permissions(permissions) => (source, target, permissions),
        _ => return Err("expected SOURCE[:TARGET][:rwm]".into()),
    };
    Ok(Device { source: source.into(), target: target.into(), permissions: permissions.into() })
}

/// A duration as Go writes it: `1m30s`, `500ms`, `1.5h`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is not a duration such as 30s or 1m30s");
    let mut rest = text;
    let mut nanos = 0f64;
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() && rest != "0" {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let number: f64 = rest[..digits].parse().map_err(|_| error())?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        nanos += number
            * match &rest[..letters] {
                "ns" => 1.0,
                "us" | "µs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return Err(error()),
            };
        rest = &rest[letters..];
    }
    if nanos <= 9.2e18 { Ok(Duration::from_nanos(nanos as u64)) } else { Err(error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports() {
        let one = |text: &str| ports(text).unwrap().remove(0);
        assert_eq!((one("8080:80").published, one("8080:80").target), (Some(8080), 80));
        assert_eq!(one("80").published, None);
        assert_eq!(one("127.0.0.1:53:53/udp").protocol, Protocol::Udp);
        assert_eq!(one("[::1]:53:53").host_ip, Some("::1".parse().unwrap()));
        assert_eq!(one("127.0.0.1::80").published, None);
        assert_eq!(ports("7000-7002:8000-8002").unwrap().len(), 3);
        let any = one("7000-7002:80");
        assert_eq!((any.published, any.choose_from), (None, Some(PortRange { first: 7000, last: 7002 })));
        for bad in ["", "0:80", "a:80", "80/icmp", "1-3:1-2", "3-1:3-1", "x:1:1", "99999"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_and_durations() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("1.5GiB"), Ok(3 << 29));
        assert_eq!(bytes("2t"), Ok(2 << 40));
        assert_eq!(bytes("7"), Ok(7));
        assert!(bytes("m").is_err() && bytes("-1").is_err() && bytes("1e400").is_err());
        assert_eq!(duration("1m30.5s"), Ok(Duration::from_millis(90_500)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert!(duration("5").is_err() && duration("").is_err() && duration("s").is_err());
    }

    #[test]
    fn environment_takes_own_values() {
        let own = |key: &str| (key == "HOME").then(|| "/root".to_owned());
        let map = environment(&["A=1=2".into(), "HOME".into(), "NONE".into()], own).unwrap();
        assert_eq!(map.len(), 2);
        assert_eq!(map["A"], "1=2");
    }
}
