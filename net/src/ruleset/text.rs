//! The text form of a ruleset, as `nft list table` prints it, one element a line.

use std::fmt::{self, Write as _};

use super::{Action, Chain, Datum, Field, Hook, Match, Ruleset, Set, Type};
use crate::plan::Family;

impl Ruleset {
    /// The table as text.
    pub fn to_text(&self) -> String {
        let mut text = format!("table ip {} {{\n", self.table);
        let blocks: Vec<String> = self.sets.iter().map(set_text).chain(self.chains.iter().map(chain_text)).collect();
        text.push_str(&blocks.join("\n"));
        text.push_str("}\n");
        match self.family {
            Family::V4 => text,
            Family::V6 => in_words_of_ipv6(text),
        }
    }
}

/// The same text with the words that nft has for IPv6.
fn in_words_of_ipv6(text: String) -> String {
    const WORDS: [(&str, &str); 8] = [
        ("table ip ", "table ip6 "),
        ("ip saddr", "ip6 saddr"),
        ("ip daddr", "ip6 daddr"),
        ("ipv4_addr", "ipv6_addr"),
        ("ip protocol", "meta l4proto"),
        ("dnat ip addr", "dnat ip6 addr"),
        ("icmp port", "icmpv6 port"),
        ("127.0.0.0/8", "::1"),
    ];
    WORDS.iter().fold(text, |text, (ipv4, ipv6)| text.replace(ipv4, ipv6))
}

fn set_text(set: &Set) -> String {
    let keyword = if set.value.is_empty() { "set" } else { "map" };
    let mut text = format!("\t{keyword} {} {{\n\t\ttype {}", set.name, join(&set.key, " . "));
    if !set.value.is_empty() {
        let _ = write!(text, " : {}", join(&set.value, " . "));
    }
    text.push('\n');
    if set.key.contains(&Type::Prefix) {
        text.push_str("\t\tflags interval\n");
    } else {
        let _ = writeln!(text, "\t\tsize {}", set.capacity);
    }
    let element = |e: &super::Element| {
        let key = join(&e.key, " . ");
        if e.value.is_empty() { key } else { format!("{key} : {}", join(&e.value, " . ")) }
    };
    if !set.elements.is_empty() {
        let elements: Vec<String> = set.elements.iter().map(element).collect();
        let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "));
    }
    text.push_str("\t}\n");
    text
}

fn chain_text(chain: &Chain) -> String {
    let mut text = format!("\tchain {} {{\n", chain.name);
    if let Some(hook) = chain.hook {
        let _ = writeln!(text, "\t\t{hook} policy accept;");
    }
    for rule in &chain.rules {
        let matches: String = rule.matches.iter().map(|m| format!("{m} ")).collect();
        let _ = writeln!(text, "\t\t{matches}{}", rule.action);
    }
    text.push_str("\t}\n");
    text
}

fn join<T: fmt::Display>(parts: &[T], separator: &str) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IfName => "ifname",
            Self::Address | Self::Prefix => "ipv4_addr",
            Self::Protocol => "inet_proto",
            Self::Port => "inet_service",
            Self::Slot => "mark",
            Self::Verdict => "verdict",
        })
    }
}

impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IfName(name) => write!(f, "\"{name}\""),
            Self::Address(address) => write!(f, "{address}"),
            Self::Prefix(subnet) => write!(f, "{subnet}"),
            Self::Protocol(protocol) => write!(f, "{protocol}"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Slot(slot) => write!(f, "0x{slot:08x}"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RawPrerouting => "type filter hook prerouting priority raw;",
            Self::RawOutput => "type filter hook output priority raw;",
            Self::ManglePrerouting => "type filter hook prerouting priority mangle;",
            Self::NatPrerouting => "type nat hook prerouting priority dstnat;",
            Self::AfterDnat => "type filter hook prerouting priority dstnat + 10;",
            Self::RouteBeforeDnat => "type route hook output priority -110;",
            Self::RouteAfterDnat => "type route hook output priority -90;",
            Self::ManglePostrouting => "type filter hook postrouting priority mangle;",
            Self::NatOutput => "type nat hook output priority -100;",
            Self::NatPostrouting => "type nat hook postrouting priority srcnat;",
            Self::LastPostrouting => "type filter hook postrouting priority 300;",
            Self::FilterInput => "type filter hook input priority filter;",
            Self::FilterForward => "type filter hook forward priority filter;",
            Self::FilterOutput => "type filter hook output priority filter;",
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IifName => f.write_str("iifname"),
            Self::Source => f.write_str("ip saddr"),
            Self::Destination => f.write_str("ip daddr"),
            Self::Protocol => f.write_str("ip protocol"),
            Self::Port => f.write_str("th dport"),
            Self::SourcePort => f.write_str("th sport"),
            Self::FirstDestination => f.write_str("ct original ip daddr"),
            Self::FirstPort => f.write_str("ct original proto-dst"),
            Self::Slot(count) => write!(f, "numgen random mod {count}"),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromDevices(prefix) => write!(f, "iifname \"{prefix}*\""),
            Self::FromDevice(name) => write!(f, "iifname \"{name}\""),
            Self::ToDevices(prefix) => write!(f, "oifname \"{prefix}*\""),
            Self::ToDevice(name) => write!(f, "oifname \"{name}\""),
            Self::InSet { fields, set, negate } => {
                write!(f, "{}{} @{set}", join(fields, " . "), if *negate { " !=" } else { "" })
            }
            Self::InPrefix(field, subnet) => write!(f, "{field} {subnet}"),
            Self::Address(field, address) => write!(f, "{field} {address}"),
            Self::InLoopback(field) => write!(f, "{field} 127.0.0.0/8"),
            Self::NotLoopback(field) => write!(f, "{field} != ::1"),
            Self::FromLinkLocal => f.write_str("ip saddr fe80::/10"),
            Self::IsIcmpv6 => f.write_str("meta l4proto ipv6-icmp"),
            Self::OriginalDestination { set, negate } => {
                write!(f, "ct original ip daddr{} @{set}", if *negate { " !=" } else { "" })
            }
            Self::Forth => f.write_str("ct direction original"),
            Self::Back => f.write_str("ct direction reply"),
            Self::FromZone => f.write_str("ct original zone != 0"),
            Self::Marked(mark) => write!(f, "meta mark 0x{mark:08x}"),
            Self::IsSyn => f.write_str("tcp flags syn"),
            Self::Established => f.write_str("ct state established,related"),
            Self::Translated => f.write_str("ct status dnat"),
            Self::Local(local) => write!(f, "fib daddr type {}local", if *local { "" } else { "!= " }),
            Self::Is(protocol) => write!(f, "ip protocol {protocol}"),
            Self::PortIs(field, port) => write!(f, "{field} {port}"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
            Self::Dispatch { field, map } => write!(f, "{field} vmap @{map}"),
            Self::Dnat { fields, map, port } => {
                let target = if *port { "ip addr . port" } else { "" };
                write!(f, "dnat {target}{}to {} map @{map}", if *port { " " } else { "" }, join(fields, " . "))
            }
            Self::Snat { field, map } => write!(f, "snat to {field} map @{map}"),
            Self::SetPort { field, port, .. } => write!(f, "{field} set {port}"),
            Self::Masquerade => f.write_str("masquerade"),
            Self::ZoneOfLink => f.write_str("ct original zone set @ll,80,16"),
            Self::Mark(mark) => write!(f, "meta mark set 0x{mark:08x}"),
            Self::MarkOfZone(mark) => write!(f, "meta mark set ct original zone ^ 0x{mark:08x}"),
            Self::MarkOf(map) => write!(f, "meta mark set ip daddr map @{map}"),
            Self::ClampSegments(size) => write!(f, "tcp option maxseg size set {size}"),
            Self::RejectTcp => f.write_str("reject with tcp reset"),
            Self::RejectPort => f.write_str("reject with icmp port-unreachable"),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::{Family, NodePlan, sample};
    use crate::ruleset::Ruleset;

    /// Compares with the golden file; `ORCA_BLESS=1` writes it anew.
    fn golden(name: &str, plan: &NodePlan) {
        golden_family(name, Family::V4, plan);
    }

    fn golden_family(name: &str, family: Family, plan: &NodePlan) {
        golden_text(name, &Ruleset::of(family, plan).to_text());
    }

    fn golden_text(name: &str, text: &str) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ruleset/golden").join(name);
        if std::env::var_os("ORCA_BLESS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == expected, "{} differs; ORCA_BLESS=1 rewrites it:\n{text}", path.display());
    }

    #[test]
    fn a_whole_node() {
        golden("node.nft", &sample::plan());
    }

    #[test]
    fn a_whole_node_with_ipv6() {
        golden_family("node6.nft", Family::V6, &sample::dual_plan());
        // What only IPv6 has leaves the other table as it is.
        let dual = Ruleset::of(Family::V4, &sample::dual_plan()).to_text();
        for line in Ruleset::of(Family::V4, &sample::plan()).to_text().lines() {
            assert!(dual.contains(line), "{line}");
        }
        assert!(!dual.contains("fd00:"), "{dual}");
    }

    #[test]
    fn a_node_of_several() {
        golden("mesh.nft", &sample::mesh_plan());
        golden_family("mesh6.nft", Family::V6, &sample::mesh_plan());
    }

    #[test]
    fn a_node_that_clients_cross() {
        golden("crossing.nft", &sample::crossing_plan());
        golden_family("crossing6.nft", Family::V6, &sample::crossing_plan());
    }

    #[test]
    fn a_containers_name_server() {
        golden_text("name_server.nft", &Ruleset::name_server(40_053, 50_053).to_text());
    }

    #[test]
    fn an_empty_node() {
        golden("empty.nft", &NodePlan::empty(sample::plan().node_key));
    }
}
