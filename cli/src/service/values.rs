//! The values of flags that describe a service. All pure.

use model::{
    AttachmentSpec, ConfigFile, FileTarget, NetworkMode, PortSpec, Protocol, PublishMode, RestartCondition, SecretFile,
    ServiceMode,
};

use crate::container::flags;

/// `8080:80[/udp]`, or `published=8080,target=80,protocol=tcp,mode=ingress`.
pub fn publish(value: &str) -> Result<Vec<PortSpec>, String> {
    if !value.contains('=') {
        let ports = flags::ports(value)?;
        if ports.iter().any(|port| port.host_ip.is_some()) {
            return Err("a service's port is published on every address: leave the address out".into());
        }
        return Ok(ports.into_iter().map(|port| PortSpec { mode: PublishMode::Ingress, ..port }).collect());
    }
    let (mut published, mut target, mut protocol, mut mode) = (None, None, Protocol::Tcp, PublishMode::Ingress);
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    for field in value.split(',') {
        let (key, text) = field.split_once('=').ok_or_else(|| format!("{field:?}: expected KEY=VALUE"))?;
        let port = || number(text).ok_or_else(|| format!("{text:?} is not a port: expected 1 to 65535"));
        match key {
            "published" if text == "0" => published = None,
            "published" => published = Some(port()?),
            "target" => target = Some(port()?),
            "protocol" => {
                protocol = match text {
                    "tcp" => Protocol::Tcp,
                    "udp" => Protocol::Udp,
                    "sctp" => Protocol::Sctp,
                    _ => return Err(format!("protocol {text:?} is none of tcp, udp, sctp")),
                }
            }
            "mode" => {
                mode = match text {
                    "ingress" => PublishMode::Ingress,
                    "host" => PublishMode::Host,
                    _ => return Err(format!("mode {text:?} is neither ingress nor host")),
                }
            }
            _ => return Err(format!("{key:?} is none of published, target, protocol, mode")),
        }
    }
    let target = target.ok_or("say which port of the container: target=PORT")?;
    Ok(vec![PortSpec { host_ip: None, published, target, protocol, mode, choose_from: None }])
}

/// `NAME`, or `name=NAME,alias=ALIAS`.
pub fn network(value: &str) -> Result<AttachmentSpec, String> {
    if !value.contains('=') {
        return Ok(AttachmentSpec { network: value.to_owned(), ..AttachmentSpec::default() });
    }
    let mut attachment = AttachmentSpec::default();
    for field in value.split(',') {
        match field.split_once('=') {
            Some(("name", name)) => attachment.network = name.to_owned(),
            Some(("alias", alias)) => attachment.aliases.push(alias.to_owned()),
            _ => return Err(format!("{field:?} is none of name=, alias=")),
        }
    }
    if attachment.network.is_empty() { Err("say which network: name=NAME".into()) } else { Ok(attachment) }
}

/// All networks of a service; without one its containers reach the outside, and no other containers.
pub fn networks(attachments: Vec<AttachmentSpec>) -> Result<NetworkMode, String> {
    let alone = |name: &str| attachments.iter().any(|attachment| attachment.network == name);
    match attachments.len() {
        0 => Ok(NetworkMode::Networks(vec![AttachmentSpec { network: "bridge".into(), ..AttachmentSpec::default() }])),
        1 if alone("host") => Ok(NetworkMode::Host),
        1 if alone("none") => Ok(NetworkMode::None),
        _ if alone("host") || alone("none") => Err("host and none stand alone".into()),
        _ => Ok(NetworkMode::Networks(attachments)),
    }
}

/// `NAME`, or `source=NAME,target=PATH,uid=0,gid=0,mode=0444`; a relative path is below `base`.
fn file(value: &str, base: &str) -> Result<(String, FileTarget), String> {
    let mut source = String::new();
    let mut file = FileTarget { path: String::new(), uid: "0".into(), gid: "0".into(), mode: 0o444 };
    if value.contains('=') {
        for field in value.split(',') {
            match field.split_once('=') {
                Some(("source" | "src", name)) => source = name.to_owned(),
                Some(("target", path)) => file.path = path.to_owned(),
                Some(("uid", uid)) => file.uid = uid.to_owned(),
                Some(("gid", gid)) => file.gid = gid.to_owned(),
                Some(("mode", mode)) => {
                    let bits = u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o7777);
                    file.mode = bits.ok_or_else(|| format!("{mode:?} is no octal mode such as 0444"))?;
                }
                _ => return Err(format!("{field:?} is none of source=, target=, uid=, gid=, mode=")),
            }
        }
    } else {
        source = value.to_owned();
    }
    if source.is_empty() {
        return Err("say which: source=NAME".into());
    }
    if file.path.is_empty() {
        file.path.clone_from(&source);
    }
    if !file.path.starts_with('/') {
        file.path = format!("{base}{}", file.path);
    }
    Ok((source, file))
}

/// `--secret`: a file below `/run/secrets`.
pub fn secret(value: &str) -> Result<SecretFile, String> {
    let (secret, file) = file(value, "/run/secrets/")?;
    Ok(SecretFile { secret, id: None, template: false, file })
}

/// `--config`: a file at the container's root.
pub fn config(value: &str) -> Result<ConfigFile, String> {
    let (config, file) = file(value, "/")?;
    Ok(ConfigFile { config, id: None, template: false, file })
}

/// `KIND=COUNT`.
pub fn generic(value: &str) -> Result<(String, u64), String> {
    let (kind, count) = value.split_once('=').ok_or("expected KIND=COUNT")?;
    match count.parse() {
        Ok(count) if !kind.is_empty() => Ok((kind.to_owned(), count)),
        _ => Err(format!("{count:?} is not a number: so many of a kind are asked for, not single ones by name")),
    }
}

/// `spread=node.labels.rack`.
pub fn preference(value: &str) -> Result<model::Attribute, String> {
    let over = value.strip_prefix("spread=").ok_or("expected spread=node.labels.KEY")?;
    over.parse().map_err(|error: model::PlacementError| error.to_string())
}

/// `none`, `on-failure`, `any`.
pub fn condition(value: &str) -> Result<RestartCondition, String> {
    match value {
        "none" => Ok(RestartCondition::No),
        "on-failure" => Ok(RestartCondition::OnFailure),
        "any" => Ok(RestartCondition::Always),
        _ => Err("expected none, on-failure or any".into()),
    }
}

/// A share from 0 to 1, in millionths.
pub fn ratio(value: &str) -> Result<u32, String> {
    match value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok((ratio * 1e6).round() as u32),
        _ => Err("expected a number from 0 to 1".into()),
    }
}

/// A command in one text, as a shell would read it; empty: none.
pub fn words(value: &str) -> Result<Vec<String>, String> {
    compose_spec::shell_words(value)
}

/// `--mode` with `--replicas` and `--max-concurrent`.
pub fn mode(word: &str, replicas: Option<u32>, concurrent: Option<u32>) -> Result<ServiceMode, String> {
    let mode = match word {
        "replicated" => ServiceMode::Replicated { replicas: replicas.unwrap_or(1) },
        "replicated-job" => {
            let total = replicas.unwrap_or(1);
            ServiceMode::ReplicatedJob { max_concurrent: concurrent.unwrap_or(total), total_completions: total }
        }
        "global" => ServiceMode::Global,
        "global-job" => ServiceMode::GlobalJob,
        _ => return Err("expected replicated, global, replicated-job or global-job".into()),
    };
    match mode {
        _ if replicas.is_some() && mode.is_global() => {
            Err(format!("replicas can only be used with replicated or replicated-job mode, not with {word}"))
        }
        ServiceMode::ReplicatedJob { .. } => Ok(mode),
        _ if concurrent.is_some() => Err("max-concurrent can only be used with replicated-job mode".into()),
        _ => Ok(mode),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_services() {
        let short = publish("8080:80").unwrap();
        assert_eq!((short[0].published, short[0].target, short[0].mode), (Some(8080), 80, PublishMode::Ingress));
        let long = publish("published=53,target=53,protocol=udp,mode=host").unwrap();
        assert_eq!((long[0].protocol, long[0].mode), (Protocol::Udp, PublishMode::Host));
        for bad in ["127.0.0.1:80:80", "target=0", "published=1", "target=1,mode=x", "target=1,x=y", "target=1,x"] {
            assert!(publish(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn files_and_networks() {
        let file = secret("key").unwrap();
        assert_eq!((file.secret.as_str(), file.file.path.as_str(), file.file.mode), ("key", "/run/secrets/key", 0o444));
        let file = config("source=c,target=/etc/c,uid=7,mode=0400").unwrap();
        assert_eq!((file.file.path.as_str(), file.file.uid.as_str(), file.file.mode), ("/etc/c", "7", 0o400));
        assert!(secret("target=x").is_err() && secret("source=a,mode=9").is_err());
        let attachment = network("name=back,alias=db").unwrap();
        assert_eq!((attachment.network.as_str(), attachment.aliases.len()), ("back", 1));
        let of = |names: &[&str]| networks(names.iter().map(|name| network(name).unwrap()).collect());
        assert_eq!(of(&["host"]), Ok(NetworkMode::Host));
        assert!(of(&["host", "back"]).is_err());
    }

    #[test]
    fn modes_go_with_their_numbers() {
        let job = ServiceMode::ReplicatedJob { max_concurrent: 2, total_completions: 5 };
        assert_eq!(mode("replicated-job", Some(5), Some(2)), Ok(job));
        assert!(mode("global", Some(2), None).is_err() && mode("replicated", None, Some(1)).is_err());
        assert!(mode("x", None, None).is_err());
    }
}
