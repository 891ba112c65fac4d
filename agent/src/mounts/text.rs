//! `/etc/hosts` and `/etc/resolv.conf` of a container. Pure.

use std::fmt::Write;
use std::net::IpAddr;

use model::{ContainerSpec, HostAddress};

const LOCAL: &str = "127.0.0.1\tlocalhost\n\
    ::1\tlocalhost ip6-localhost ip6-loopback\n\
    fe00::\tip6-localnet\n\
    ff00::\tip6-mcastprefix\n\
    ff02::1\tip6-allnodes\n\
    ff02::2\tip6-allrouters\n";

/// The name server inside each networked container.
const OWN_SERVER: &str = "127.0.0.11";

/// `hosts`: the usual local names (or the host's own file), the user's entries, the container's own name.
/// `gateway` is what `host-gateway` means.
pub fn hosts(spec: &ContainerSpec, hostname: &str, own: &[IpAddr], gateway: IpAddr, host_file: Option<&str>) -> String {
    let mut text = host_file.unwrap_or(LOCAL).to_owned();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for entry in &spec.extra_hosts {
        let address = match entry.address {
            HostAddress::Ip(address) => address,
            HostAddress::HostGateway => gateway,
        };
        // Writing to a String never fails.
        let _ = writeln!(text, "{address}\t{}", entry.host);
    }
    for address in own {
        text.push_str(&own_line(spec, hostname, *address));
    }
    text
}

fn own_line(spec: &ContainerSpec, hostname: &str, address: IpAddr) -> String {
    match &spec.domainname {
        Some(domain) => format!("{address}\t{hostname}.{domain} {hostname}\n"),
        None => format!("{address}\t{hostname}\n"),
    }
}

/// `hosts` of a container whose addresses change while it runs: lines of its name alone come and go, all others stay.
pub fn renamed(text: &str, spec: &ContainerSpec, hostname: &str, before: &[IpAddr], after: &[IpAddr]) -> String {
    let line = |address: &IpAddr| own_line(spec, hostname, *address);
    let gone: Vec<String> = before.iter().filter(|address| !after.contains(address)).map(line).collect();
    let mut kept: String = text.split_inclusive('\n').filter(|line| !gone.iter().any(|gone| gone == line)).collect();
    if !kept.is_empty() && !kept.ends_with('\n') {
        kept.push('\n');
    }
    kept.extend(after.iter().filter(|address| !before.contains(address)).map(line));
    kept
}

/// `resolv.conf` of a container on networks: its own name server, and the spec's search domains and options over the host's.
pub fn resolv_conf(spec: &ContainerSpec, host_file: &str) -> String {
    let search = if spec.dns_search.is_empty() { words(host_file, "search") } else { spec.dns_search.clone() };
    let mut options = if spec.dns_options.is_empty() { words(host_file, "options") } else { spec.dns_options.clone() };
    options.retain(|option| option != "edns0" || !spec.dns_options.is_empty());
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        options.push("ndots:0".into());
    }
    lines(&[OWN_SERVER.into()], &search, &options)
}

/// `resolv.conf` of a container that shares the host's network or has none: the host's, with what the spec replaces.
pub fn host_resolv_conf(spec: &ContainerSpec, host_file: &str) -> String {
    if spec.dns.is_empty() && spec.dns_search.is_empty() && spec.dns_options.is_empty() {
        return host_file.to_owned();
    }
    let or_host = |own: Vec<String>, keyword| if own.is_empty() { words(host_file, keyword) } else { own };
    let servers = or_host(spec.dns.iter().map(ToString::to_string).collect(), "nameserver");
    let search = or_host(spec.dns_search.clone(), "search");
    lines(&servers, &search, &or_host(spec.dns_options.clone(), "options"))
}

fn lines(servers: &[String], search: &[String], options: &[String]) -> String {
    let mut text: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    // "." alone means: no search domains.
    let search: Vec<_> = search.iter().filter(|domain| *domain != ".").cloned().collect();
    for (keyword, words) in [("search", search.as_slice()), ("options", options)] {
        if !words.is_empty() {
            let _ = writeln!(text, "{keyword} {}", words.join(" "));
        }
    }
    text
}

/// What follows a keyword: of all lines for `nameserver`, of the last for the others (resolv.conf(5)).
fn words(text: &str, keyword: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if words.next() == Some(keyword) {
            if keyword != "nameserver" {
                found.clear();
            }
            found.extend(words.map(String::from));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str =
        "# made by hand\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nsearch a.example\nsearch b.example c.example\n";

    #[test]
    fn the_own_server_and_the_hosts_domains() {
        let text = resolv_conf(&ContainerSpec::default(), HOST);
        assert_eq!(text, "nameserver 127.0.0.11\nsearch b.example c.example\noptions ndots:0\n");
        let spec = ContainerSpec {
            dns_search: vec![".".into()],
            dns_options: vec!["ndots:2".into()],
            dns: vec!["198.51.100.1".parse().unwrap()],
            ..ContainerSpec::default()
        };
        assert_eq!(resolv_conf(&spec, HOST), "nameserver 127.0.0.11\noptions ndots:2\n");
        assert_eq!(host_resolv_conf(&spec, HOST), "nameserver 198.51.100.1\noptions ndots:2\n");
        assert_eq!(host_resolv_conf(&ContainerSpec::default(), HOST), HOST);
    }

    #[test]
    fn lines_of_the_own_name_come_and_go() {
        let [a, b] = ["10.0.0.2", "10.1.0.2"].map(|address| address.parse().unwrap());
        let text = "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n10.9.9.9 by-hand";
        let spec = ContainerSpec::default();
        let joined = renamed(text, &spec, "web", &[a], &[a, b]);
        assert_eq!(joined, "127.0.0.1\tlocalhost\n10.0.0.2\tweb\n10.9.9.9 by-hand\n10.1.0.2\tweb\n");
        let left = renamed(&joined, &spec, "web", &[a, b], &[b]);
        assert_eq!(left, "127.0.0.1\tlocalhost\n10.9.9.9 by-hand\n10.1.0.2\tweb\n");
    }

    #[test]
    fn hosts_has_extra_entries_and_the_own_name() {
        let spec = ContainerSpec {
            extra_hosts: vec![
                model::HostEntry { host: "db".into(), address: HostAddress::Ip("192.0.2.9".parse().unwrap()) },
                model::HostEntry { host: "host".into(), address: HostAddress::HostGateway },
            ],
            ..ContainerSpec::default()
        };
        let text = hosts(&spec, "web", &["10.0.0.2".parse().unwrap()], "10.0.0.1".parse().unwrap(), None);
        assert!(text.starts_with("127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with("192.0.2.9\tdb\n10.0.0.1\thost\n10.0.0.2\tweb\n"), "{text}");
    }
}
