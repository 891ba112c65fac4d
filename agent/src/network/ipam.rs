//! What a network of the node's own is to be: subnets chosen or checked, options read. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use model::{AddressRange, IpSubnet};
use net::plan::Family;

/// Where subnets are chosen from when none is asked for: outside of the managers' pool and of Docker's.
const POOL: ([u8; 4], u8) = ([10, 64, 0, 0], 12);
/// How large a chosen IPv4 subnet is: a thousand containers.
const CHOSEN_PREFIX: u8 = 22;
/// How large a chosen IPv6 subnet is: as every link's (RFC 4291, section 2.5.1).
const CHOSEN_PREFIX6: u8 = 64;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Subnets; none: chosen.
    pub subnets: Vec<IpSubnet>,
    /// Parts of them that addresses are given out from.
    pub ranges: Vec<IpSubnet>,
    /// The node's addresses.
    pub gateways: Vec<IpAddr>,
    /// Addresses that belong to something else.
    pub auxiliary: BTreeMap<String, IpAddr>,
}

/// What a subnet must not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// In words: `network front`, `the route of device eth0`.
    pub by: String,
    /// Its addresses.
    pub subnet: IpSubnet,
}

/// Why there is no such network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say it
pub enum Refusal {
    #[error("its subnet {subnet} overlaps {other} of {by}; choose another with --subnet")]
    Overlap { subnet: IpSubnet, other: IpSubnet, by: String },
    #[error("no free /{prefix} is left in {pool}; remove networks, or choose a subnet with --subnet")]
    Exhausted { prefix: u8, pool: String },
    #[error("{what} {value} lies in none of its subnets")]
    Outside { what: &'static str, value: String },
    #[error("{what} {value} is not a usable address of subnet {subnet}")]
    Unusable { what: String, value: IpAddr, subnet: IpSubnet },
    #[error("subnet {0} is asked for besides another; a network has one subnet of a family")]
    Second(IpSubnet),
    #[error("{what} {value} is given twice for subnet {subnet}")]
    Twice { what: &'static str, value: String, subnet: IpSubnet },
    #[error("subnet {0} is too small: it needs an address for the node and one for a container")]
    Small(IpSubnet),
    #[error("subnet {0} is asked for, but the network is to have no {1}: {2}")]
    OtherFamily(IpSubnet, &'static str, &'static str),
    #[error("it is to have neither IPv4 nor IPv6")]
    NoFamily,
    #[error("subnet {0} is link-local or multicast: those addresses are the link's own; choose one of fd00::/8")]
    LinkLocal(IpSubnet),
}

/// The pools of a network of these families as it is asked for, free of what is taken. IPv6 subnets are chosen from `ula`.
///
/// # Errors
/// [`Refusal`].
pub fn pools(
    families: &[Family],
    wanted: &Wanted,
    taken: &[Taken],
    ula: Option<IpSubnet>,
) -> Result<Vec<AddressRange>, Refusal> {
    if families.is_empty() {
        return Err(Refusal::NoFamily);
    }
    let is_other = |subnet: &&IpSubnet| !families.iter().any(|family| family.has(subnet));
    if let Some(subnet) = wanted.subnets.iter().find(is_other) {
        let [family, hint] = if subnet.is_ipv4() { ["IPv4", "leave --ipv4=false out"] } else { ["IPv6", "add --ipv6"] };
        return Err(Refusal::OtherFamily(*subnet, family, hint));
    }
    let mut subnets = Vec::new();
    for family in Family::ALL.into_iter().filter(|family| families.contains(family)) {
        let mut given = wanted.subnets.iter().filter(|subnet| family.has(subnet));
        let subnet = match given.next() {
            Some(subnet) => *subnet,
            None => choose(family, taken, ula)?,
        };
        if let Some(second) = given.next() {
            return Err(Refusal::Second(*second));
        }
        subnets.push(subnet);
    }
    let mut pools = Vec::new();
    for &subnet in &subnets {
        check_subnet(subnet, taken)?;
        pools.push(pool(subnet, wanted)?);
    }
    let inside = |address: IpAddr| subnets.iter().any(|subnet| subnet.contains(address));
    let outside = |what, value: String| Err(Refusal::Outside { what, value });
    if let Some(range) = wanted.ranges.iter().find(|range| !inside(range.network())) {
        return outside("IP range", range.to_string());
    }
    if let Some(gateway) = wanted.gateways.iter().find(|gateway| !inside(**gateway)) {
        return outside("gateway", gateway.to_string());
    }
    match wanted.auxiliary.iter().find(|(_, address)| !inside(**address)) {
        Some((name, address)) => outside("auxiliary address", format!("{name}={address}")),
        None => Ok(pools),
    }
}

fn choose(family: Family, taken: &[Taken], ula: Option<IpSubnet>) -> Result<IpSubnet, Refusal> {
    let (pool, prefix) = match family {
        Family::V4 => (IpSubnet::new(Ipv4Addr::from(POOL.0).into(), POOL.1), CHOSEN_PREFIX),
        Family::V6 => (ula, CHOSEN_PREFIX6),
    };
    let parts = pool.iter().flat_map(|pool| (0..).map_while(move |index| pool.part(prefix, index)));
    let inside = |part: &IpSubnet| pool.is_some_and(|pool| pool.contains(part.network()));
    let free = |part: &IpSubnet| !taken.iter().any(|other| other.subnet.overlaps(part));
    let exhausted = || Refusal::Exhausted { prefix, pool: pool.map(|pool| pool.to_string()).unwrap_or_default() };
    parts.take_while(inside).find(free).ok_or_else(exhausted)
}

fn check_subnet(subnet: IpSubnet, taken: &[Taken]) -> Result<(), Refusal> {
    if matches!(subnet.network(), IpAddr::V6(first) if first.is_unicast_link_local() || first.is_multicast()) {
        return Err(Refusal::LinkLocal(subnet));
    }
    if subnet.size() < 4 {
        return Err(Refusal::Small(subnet));
    }
    match taken.iter().find(|other| other.subnet.overlaps(&subnet)) {
        Some(Taken { by, subnet: other }) => Err(Refusal::Overlap { subnet, other: *other, by: by.clone() }),
        None => Ok(()),
    }
}

/// Whether a container or the node can have the address: not the first and last of the subnet.
fn usable(subnet: IpSubnet, address: IpAddr) -> bool {
    subnet.offset_of(address).is_some_and(|offset| offset != 0 && offset + 1 != subnet.size())
}

fn pool(subnet: IpSubnet, wanted: &Wanted) -> Result<AddressRange, Refusal> {
    let mut ranges = wanted.ranges.iter().filter(|range| subnet.contains(range.network()));
    let mut gateways = wanted.gateways.iter().filter(|gateway| subnet.contains(**gateway));
    let (range, gateway) = (ranges.next().copied(), gateways.next().copied());
    if let Some(second) = ranges.next() {
        return Err(Refusal::Twice { what: "IP range", value: second.to_string(), subnet });
    }
    if let Some(second) = gateways.next() {
        return Err(Refusal::Twice { what: "gateway", value: second.to_string(), subnet });
    }
    if let Some(range) = range.filter(|range| range.prefix() < subnet.prefix()) {
        return Err(Refusal::Outside { what: "IP range", value: range.to_string() });
    }
    let auxiliary: BTreeMap<String, IpAddr> = wanted
        .auxiliary
        .iter()
        .filter(|(_, address)| subnet.contains(**address))
        .map(|(name, address)| (name.clone(), *address))
        .collect();
    let reserved = |address: &IpAddr| auxiliary.values().any(|other| other == address);
    let mut candidates = (1..subnet.size() - 1).filter_map(|offset| subnet.nth(offset));
    let gateway = gateway.or_else(|| candidates.find(|address| !reserved(address))).ok_or(Refusal::Small(subnet))?;
    if !usable(subnet, gateway) {
        return Err(Refusal::Unusable { what: "gateway".into(), value: gateway, subnet });
    }
    if let Some((name, address)) = auxiliary.iter().find(|(_, address)| **address == gateway) {
        return Err(Refusal::Twice { what: "address", value: format!("{name}={address}"), subnet });
    }
    Ok(AddressRange { subnet, range, gateway, auxiliary })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subnet(text: &str) -> IpSubnet {
        text.parse().unwrap()
    }

    /// Of an IPv4 network.
    fn pools(wanted: &Wanted, taken: &[Taken]) -> Result<Vec<AddressRange>, Refusal> {
        super::pools(&[Family::V4], wanted, taken, None)
    }

    #[test]
    fn families_are_had_as_asked_for() {
        let ula = "fd12:3456:789a::/48".parse().ok();
        let of = |families: &[Family], subnets: &[&str]| {
            let wanted = Wanted { subnets: subnets.iter().map(|text| subnet(text)).collect(), ..Wanted::default() };
            let taken = [taken("fd12:3456:789a::/64")];
            let texts = |pool: AddressRange| format!("{} {}", pool.subnet, pool.gateway);
            super::pools(families, &wanted, &taken, ula).map(|pools| pools.into_iter().map(texts).collect::<Vec<_>>())
        };
        let chosen = of(&Family::ALL, &[]).unwrap();
        assert_eq!(chosen, ["10.64.0.0/22 10.64.0.1", "fd12:3456:789a:1::/64 fd12:3456:789a:1::1"]);
        assert_eq!(of(&[Family::V6], &["fd00:7::/64"]).unwrap(), ["fd00:7::/64 fd00:7::1"]);
        assert_eq!(of(&Family::ALL, &["fd00:7::/64"]).unwrap().len(), 2);
        for (families, subnets, words) in [
            (&[Family::V4][..], &["fd00:7::/64"][..], "no IPv6: add --ipv6"),
            (&[Family::V6], &["10.0.0.0/24"], "no IPv4"),
            (&[], &[], "neither"),
            (&[Family::V6], &["fe80::/64"], "link-local"),
            (&[Family::V6], &["fd00:7::/127"], "too small"),
            (&[Family::V6], &["fd12:3456:789a::/56"], "network front"),
            (&[Family::V6], &["fd00:7::/64", "fd00:8::/64"], "one subnet of a family"),
        ] {
            let error = of(families, subnets).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    fn taken(text: &str) -> Taken {
        Taken { by: "network front".into(), subnet: subnet(text) }
    }

    #[test]
    fn a_subnet_is_chosen_beside_what_is_taken() {
        let chosen = pools(&Wanted::default(), &[taken("10.64.0.0/22"), taken("10.64.4.128/25")]).unwrap();
        assert_eq!(chosen[0].subnet, subnet("10.64.8.0/22"));
        assert_eq!(chosen[0].gateway, "10.64.8.1".parse::<IpAddr>().unwrap());
        let error = pools(&Wanted::default(), &[taken("10.0.0.0/8")]).unwrap_err();
        assert_eq!(error, Refusal::Exhausted { prefix: 22, pool: "10.64.0.0/12".into() });
    }

    #[test]
    fn what_is_asked_for_is_taken_or_refused_by_name() {
        let wanted = |range: &str, gateway: &str, auxiliary: &str| Wanted {
            subnets: vec![subnet("192.0.2.0/24")],
            ranges: (!range.is_empty()).then(|| subnet(range)).into_iter().collect(),
            gateways: (!gateway.is_empty()).then(|| gateway.parse().unwrap()).into_iter().collect(),
            auxiliary: (!auxiliary.is_empty())
                .then(|| ("router".to_owned(), auxiliary.parse().unwrap()))
                .into_iter()
                .collect(),
        };
        let pool = &pools(&wanted("192.0.2.128/25", "192.0.2.254", "192.0.2.1"), &[]).unwrap()[0];
        assert_eq!((pool.range, pool.gateway.to_string()), (Some(subnet("192.0.2.128/25")), "192.0.2.254".into()));
        assert_eq!(pools(&wanted("", "", "192.0.2.1"), &[]).unwrap()[0].gateway.to_string(), "192.0.2.2");
        for (range, gateway, auxiliary, words) in [
            ("192.0.3.0/25", "", "", "IP range 192.0.3.0/25 lies in none"),
            ("192.0.0.0/16", "", "", "IP range 192.0.0.0/16"),
            ("", "192.0.2.255", "", "gateway 192.0.2.255 is not a usable"),
            ("", "198.51.100.1", "", "gateway 198.51.100.1 lies in none"),
            ("", "", "198.51.100.1", "router=198.51.100.1"),
            ("", "192.0.2.1", "192.0.2.1", "router=192.0.2.1 is given twice"),
        ] {
            let error = pools(&wanted(range, gateway, auxiliary), &[]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let error = pools(&wanted("", "", ""), &[taken("192.0.2.64/26")]).unwrap_err().to_string();
        assert!(error.contains("192.0.2.0/24 overlaps 192.0.2.64/26 of network front"), "{error}");
        let other = |texts: &[&str]| Wanted { subnets: texts.iter().map(|t| subnet(t)).collect(), ..Wanted::default() };
        assert!(matches!(pools(&other(&["192.0.2.0/31"]), &[]), Err(Refusal::Small(_))));
        assert!(matches!(pools(&other(&["192.0.2.0/25", "192.0.2.128/25"]), &[]), Err(Refusal::Second(_))));
    }

    proptest! {
        #[test]
        fn a_chosen_subnet_is_nobodys(used in proptest::collection::vec((any::<u16>(), 16u8..=32), 0..60)) {
            let address = |low: u16| IpAddr::from([10, 64, (low >> 8) as u8, low as u8]);
            let taken: Vec<Taken> = used
                .iter()
                .filter_map(|(low, prefix)| Some(Taken { by: String::new(), subnet: IpSubnet::new(address(*low), *prefix)? }))
                .collect();
            let pool = &pools(&Wanted::default(), &taken).unwrap()[0];
            prop_assert!(!taken.iter().any(|other| other.subnet.overlaps(&pool.subnet)));
            prop_assert!(pool.subnet.contains(pool.gateway));
        }
    }
}
