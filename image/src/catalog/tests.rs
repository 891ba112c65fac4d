use super::*;
use crate::manifest::MEDIA_MANIFEST;

fn id(number: u8) -> Digest {
    Digest::of(&[number])
}

fn name(text: &str) -> Reference {
    text.parse().unwrap()
}

fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    for number in [1, 2] {
        catalog.add(id(number), Descriptor::new(MEDIA_MANIFEST, id(number + 100), 7), 1000, 1_700_000_000);
    }
    catalog.tag(&name("app"), &id(1)).unwrap();
    catalog.tag(&name("app:v1"), &id(1)).unwrap();
    catalog.tag(&name("example.com/db:2"), &id(2)).unwrap();
    catalog
}

#[test]
fn images_are_found_by_name_id_prefix_and_digest() {
    let catalog = catalog();
    for text in [
        "app",
        "app:latest",
        "docker.io/library/app:v1",
        &id(1).to_string(),
        &id(1).hex(),
        &id(1).hex()[..12],
        &format!("app@{}", id(101)),
    ] {
        assert_eq!(catalog.resolve(text).unwrap(), id(1), "{text}");
    }
    assert_eq!(catalog.resolve("example.com/db:2").unwrap(), id(2));
    for text in ["postgres", "app:v2", "ffffffffffff", "", "sha256:"] {
        assert!(matches!(catalog.resolve(text), Err(Error::NoSuchImage(_))), "{text}");
    }
}

#[test]
fn an_ambiguous_prefix_is_an_error() {
    let mut catalog = Catalog::default();
    for number in 0..40 {
        catalog.add(id(number), Descriptor::new(MEDIA_MANIFEST, id(number + 100), 7), 0, 0);
    }
    let ambiguous = (0..16)
        .filter(|digit| matches!(catalog.resolve(&format!("{digit:x}")), Err(Error::AmbiguousId { .. })))
        .count();
    assert!(ambiguous > 0);
}

#[test]
fn removal_follows_dockers_rules() {
    let none = BTreeSet::new();
    let used = BTreeSet::from([id(1)]);
    let untagged = |text: &str| Removal::Untagged(text.to_owned());

    assert_eq!(catalog().remove("app", &used, false).unwrap(), [untagged("app:latest")]);
    assert!(matches!(catalog().remove(&id(1).hex(), &none, false), Err(Error::ManyNames { .. })));
    let all = [untagged("app:latest"), untagged("app:v1"), Removal::Deleted(id(1))];
    assert_eq!(catalog().remove(&id(1).hex(), &none, true).unwrap(), all);

    let mut one_name = catalog();
    one_name.remove("app", &none, false).unwrap();
    let before = one_name.clone();
    assert!(matches!(one_name.remove("app:v1", &used, false), Err(Error::InUse { .. })));
    assert_eq!(one_name, before);
    assert_eq!(one_name.clone().remove("app:v1", &used, true).unwrap(), [untagged("app:v1")]);
    assert_eq!(one_name.remove("app:v1", &none, false).unwrap(), [untagged("app:v1"), Removal::Deleted(id(1))]);
    assert!(matches!(one_name.resolve("app:v1"), Err(Error::NoSuchImage(_))));
}

#[test]
fn a_tag_moves() {
    let mut catalog = catalog();
    catalog.tag(&name("app"), &id(2)).unwrap();
    assert_eq!(catalog.resolve("app").unwrap(), id(2));
    assert!(!catalog.get(&id(1)).unwrap().tags.contains("docker.io/library/app:latest"));
    assert!(catalog.tag(&name(&format!("app@{}", id(1))), &id(1)).is_err());
    assert!(catalog.tag(&name("x"), &id(9)).is_err());
}

/// Version 1 as released: it must be read, and written byte for byte, for ever.
#[test]
fn golden_file_of_version_1() {
    let golden = include_bytes!("../../tests/golden/index-v1.json");
    let path = std::path::Path::new("index.json");
    assert_eq!(Catalog::parse(path, golden).unwrap(), catalog());
    assert_eq!(catalog().to_bytes().unwrap(), golden.trim_ascii_end());
    let newer = Catalog::parse(path, br#"{"version":2,"whatever":1}"#);
    assert!(matches!(newer, Err(Error::StoreVersion { found: 2, known: 1, .. })));
}
