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
        catalog.add(id(number), Descriptor::new(MEDIA_MANIFEST, id(number + 100), 7), vec![1000], 1_700_000_000);
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
        catalog.add(id(number), Descriptor::new(MEDIA_MANIFEST, id(number + 100), 7), vec![], 0);
    }
    let ambiguous = (0..16)
        .filter(|digit| matches!(catalog.resolve(&format!("{digit:x}")), Err(Error::AmbiguousId { .. })))
        .count();
    assert!(ambiguous > 0);
}

fn used(running: bool) -> Users {
    Users::from([(id(1), User { container: "c0ffee".to_owned(), running })])
}

fn untagged(text: &str) -> Removal {
    Removal::Untagged(text.to_owned())
}

#[test]
fn a_name_goes_and_with_the_last_one_the_image() {
    let none = Users::new();
    // With another name left, it doesn't matter that a container uses the image.
    assert_eq!(catalog().remove("app", &used(true), false).unwrap(), [untagged("app:latest")]);
    let mut one_name = catalog();
    one_name.remove("app", &none, false).unwrap();
    let before = one_name.clone();
    let error = one_name.remove("app:v1", &used(false), false).unwrap_err().to_string();
    assert!(error.contains("(must force) - container c0ffee is using its referenced image"), "{error}");
    assert_eq!(one_name, before);
    for running in [true, false] {
        assert_eq!(one_name.clone().remove("app:v1", &used(running), true).unwrap(), [untagged("app:v1")]);
    }
    assert_eq!(one_name.remove("app:v1", &none, false).unwrap(), [untagged("app:v1"), Removal::Deleted(id(1))]);
    assert!(matches!(one_name.resolve("app:v1"), Err(Error::NoSuchImage(_))));
}

#[test]
fn an_id_takes_one_name_along_and_more_only_by_force() {
    let none = Users::new();
    assert!(matches!(catalog().remove(&id(1).hex(), &none, false), Err(Error::ManyNames { .. })));
    let all = [untagged("app:latest"), untagged("app:v1"), Removal::Deleted(id(1))];
    assert_eq!(catalog().remove(&id(1).hex(), &none, true).unwrap(), all);
    let gone = [untagged("example.com/db:2"), Removal::Deleted(id(2))];
    assert_eq!(catalog().remove(&id(2).hex()[..12], &none, false).unwrap(), gone);

    let error = |force, running| catalog().remove(&id(1).hex(), &used(running), force).unwrap_err().to_string();
    assert!(error(true, true).contains("(cannot be forced) - image is being used by running container c0ffee"));
    let names = [untagged("app:latest"), untagged("app:v1")];
    assert_eq!(catalog().remove(&id(1).hex(), &used(false), true).unwrap(), names);
    let mut one_name = catalog();
    one_name.remove("app", &none, false).unwrap();
    let error = one_name.remove(&id(1).hex(), &used(false), false).unwrap_err().to_string();
    assert!(error.contains("(must be forced) - image is being used by stopped container"), "{error}");
}

#[test]
fn digests_of_a_repository_go_with_its_last_tag() {
    let none = Users::new();
    let mut catalog = catalog();
    catalog.add_digest(&name("app"), id(200), &id(1));
    let digest = format!("app@{}", id(200));
    assert_eq!(catalog.resolve(&digest).unwrap(), id(1));
    assert_eq!(catalog.clone().remove(&digest, &none, false).unwrap(), [untagged(&digest)]);
    catalog.remove("app", &none, false).unwrap();
    let last = [untagged("app:v1"), untagged(&digest), Removal::Deleted(id(1))];
    assert_eq!(catalog.remove("app:v1", &none, false).unwrap(), last);
}

#[test]
fn prune_takes_what_has_no_tag_and_no_container() {
    let none = Users::new();
    let mut catalog = catalog();
    assert_eq!(catalog.prune(&none, false, |_| true), []);
    catalog.remove("app", &none, false).unwrap();
    catalog.remove("app:v1", &used(false), true).unwrap();
    assert_eq!(catalog.clone().prune(&used(false), false, |_| true), []);
    assert_eq!(catalog.clone().prune(&none, false, |_| false), []);
    assert_eq!(catalog.clone().prune(&none, false, |_| true), [Removal::Deleted(id(1))]);
    let mut all = catalog.prune(&none, true, |_| true);
    all.retain(|removal| matches!(removal, Removal::Deleted(_)));
    assert_eq!(all.len(), 2);
}

#[test]
fn filters_are_read_and_pass_what_they_say() {
    let parse = |text: &str| Filter::parse(text, |value| value.parse().ok());
    let labels = std::collections::BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    for (text, passes) in [
        ("label=a", true),
        ("label=a=1", true),
        ("label=a=2", false),
        ("label!=a", false),
        ("label!=b", true),
        ("until=11", true),
        ("until=10", false),
    ] {
        assert_eq!(parse(text).unwrap().passes(10, &labels), passes, "{text}");
    }
    for bad in ["label", "until=soon", "dangling=true", ""] {
        assert!(matches!(parse(bad), Err(Error::InvalidFilter { .. })), "{bad}");
    }
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
    let mut expected = catalog();
    // Of before these were kept.
    expected.images.values_mut().for_each(|record| record.layer_sizes.clear());
    assert_eq!(Catalog::parse(path, golden).unwrap(), expected);
    assert_eq!(expected.to_bytes().unwrap(), golden.trim_ascii_end());
    let mut newer = catalog();
    newer.touch(&id(1), 1_700_000_001);
    assert_eq!(Catalog::parse(path, &newer.to_bytes().unwrap()).unwrap(), newer);
    let newer = Catalog::parse(path, br#"{"version":2,"whatever":1}"#);
    assert!(matches!(newer, Err(Error::StoreVersion { found: 2, known: 1, .. })));
}
