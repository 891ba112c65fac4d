use proptest::prelude::*;

use super::*;

fn id(n: u8) -> ContainerId {
    ContainerId::from_random([n; 32])
}

fn network(n: u8) -> NetworkId {
    NetworkId::from_random(n.into())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Container 1 is on front and back, 2 on front, 3 on the internal back alone.
fn tables() -> Tables {
    let mut front = Zone::new("app_front", "10.1.0.0/24".parse().unwrap(), None);
    front.add("web", ip("10.1.0.2"));
    for task in ["10.1.0.5", "10.1.0.6", "10.1.0.7"] {
        front.add_task("web", ip(task));
    }
    front.set_reverse(ip("10.1.0.5"), "web-1.app_front");
    let mut back = Zone::new("app_back", "10.2.0.0/24".parse().unwrap(), "fd00:2::/64".parse().ok());
    back.add("web", ip("fd00:2::9"));
    back.set_reverse(ip("fd00:2::9"), "web.app_back");
    back.add("db", ip("10.2.0.5"));
    back.add("web", ip("10.2.0.9"));
    let asker = |networks: &[u8], forward| Asker {
        netns: PathBuf::new(),
        networks: networks.iter().map(|&n| network(n)).collect(),
        forward,
        servers: Vec::new(),
        links: BTreeMap::new(),
    };
    Tables {
        zones: [(network(1), front), (network(2), back)].into(),
        askers: [(id(1), asker(&[1, 2], true)), (id(2), asker(&[1], true)), (id(3), asker(&[2], false))].into(),
    }
}

fn ask(asker: u8, name: &str, kind: Kind) -> Outcome {
    lookup(&tables(), id(asker), name, kind, 0)
}

fn address(text: &str) -> Outcome {
    Outcome::Addresses(vec![ip(text)])
}

#[test]
fn the_asker_decides_what_a_name_means() {
    assert_eq!(ask(1, "web", Kind::A), address("10.1.0.2"));
    assert_eq!(ask(3, "web", Kind::A), address("10.2.0.9"));
    assert_eq!(ask(3, "web", Kind::Aaaa), address("fd00:2::9"));
    assert_eq!(ask(1, "web", Kind::Aaaa), address("fd00:2::9"), "of the first network that has one");
    assert_eq!(ask(1, "db", Kind::A), address("10.2.0.5"));
    assert_eq!(ask(2, "db", Kind::A), Outcome::Forward);
    assert_eq!(ask(9, "web", Kind::A), Outcome::Refused);
}

#[test]
fn a_link_is_the_askers_own_name_for_another() {
    let mut tables = tables();
    let links = [("database".to_owned(), "DB".to_owned()), ("gone".to_owned(), "nobody".to_owned())];
    tables.askers.get_mut(&id(1)).unwrap().links = links.into();
    let ask = |asker, name| lookup(&tables, id(asker), name, Kind::A, 0);
    assert_eq!(ask(1, "Database"), address("10.2.0.5"));
    assert_eq!(ask(3, "database"), Outcome::NxDomain, "nobody else's");
    assert_eq!(ask(1, "gone"), Outcome::Forward);
}

#[test]
fn names_have_no_case_and_may_be_qualified() {
    assert_eq!(ask(1, "WeB.", Kind::A), address("10.1.0.2"));
    assert_eq!(ask(1, "web.APP_back", Kind::A), address("10.2.0.9"));
    assert_eq!(ask(2, "web.app_back", Kind::A), Outcome::Forward);
}

#[test]
fn a_known_name_never_leaves_for_another_type() {
    for kind in [Kind::Aaaa, Kind::Other, Kind::Ptr] {
        assert_eq!(ask(2, "web", kind), Outcome::Addresses(vec![]), "{kind:?}");
    }
}

#[test]
fn internal_containers_are_not_forwarded() {
    assert_eq!(ask(3, "example.com", Kind::A), Outcome::NxDomain);
    assert_eq!(ask(1, "example.com", Kind::A), Outcome::Forward);
    assert_eq!(ask(1, "unknown", Kind::A), Outcome::Forward);
    assert_eq!(ask(1, "tasks.unknown", Kind::A), Outcome::NxDomain);
}

#[test]
fn reverse_names_stay_inside_the_subnet() {
    assert_eq!(ask(1, "5.0.1.10.in-addr.arpa", Kind::Ptr), Outcome::Name("web-1.app_front".into()));
    assert_eq!(ask(1, "99.0.1.10.in-addr.arpa.", Kind::Ptr), Outcome::NxDomain);
    assert_eq!(ask(1, "8.8.8.8.in-addr.arpa", Kind::Ptr), Outcome::Forward);
    assert_eq!(ask(3, "5.0.1.10.in-addr.arpa", Kind::Ptr), Outcome::NxDomain);
    let six = |last: char| format!("{last}.{}2.0.0.0.0.0.d.f.ip6.arpa", "0.".repeat(23));
    assert_eq!(ask(1, &six('9'), Kind::Ptr), Outcome::Name("web.app_back".into()));
    assert_eq!(ask(1, &six('8'), Kind::Ptr), Outcome::NxDomain);
    assert_eq!(ask(2, &six('9'), Kind::Ptr), Outcome::Forward);
    assert_eq!(ask(1, "9.ip6.arpa", Kind::Ptr), Outcome::Forward);
}

#[test]
fn answers_rotate() {
    let tables = tables();
    let first = |rotation| match lookup(&tables, id(1), "tasks.web", Kind::A, rotation) {
        Outcome::Addresses(list) => list[0],
        other => panic!("{other:?}"),
    };
    assert_eq!(
        [first(0), first(1), first(2), first(3)].map(|a| match a {
            IpAddr::V4(a) => a.octets()[3],
            IpAddr::V6(_) => 0,
        }),
        [5, 6, 7, 5]
    );
}

proptest! {
    #[test]
    fn no_name_panics(name: String, rotation: usize) {
        for kind in [Kind::A, Kind::Ptr] {
            let outcome = lookup(&tables(), id(3), &name, kind, rotation);
            prop_assert!(outcome != Outcome::Forward);
        }
    }
}
