use proptest::prelude::*;

use super::*;

const DIGEST: &str = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn canonical(text: &str) -> String {
    text.parse::<Reference>().unwrap().to_string()
}

/// The examples of distribution/reference's own tests, with their normalised forms.
#[test]
fn known_good_references() {
    for (text, expected) in [
        ("test_com", "docker.io/library/test_com"),
        ("test.com:tag", "docker.io/library/test.com:tag"),
        ("test.com:5000", "docker.io/library/test.com:5000"),
        ("test.com/repo:tag", "test.com/repo:tag"),
        ("test:5000/repo", "test:5000/repo"),
        ("test:5000/repo:tag", "test:5000/repo:tag"),
        ("lowercase:Uppercase", "docker.io/library/lowercase:Uppercase"),
        ("sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com/bar/baz/quux"),
        ("sub-dom1.foo.com/bar/baz/quux:some-long-tag", "sub-dom1.foo.com/bar/baz/quux:some-long-tag"),
        ("b.gcr.io/test.example.com/my-app:test.example.com", "b.gcr.io/test.example.com/my-app:test.example.com"),
        ("xn--n3h.com/myimage:xn--n3h.com", "xn--n3h.com/myimage:xn--n3h.com"),
        ("foo_bar.com:8080", "docker.io/library/foo_bar.com:8080"),
        ("foo/foo_bar.com:8080", "docker.io/foo/foo_bar.com:8080"),
        ("192.168.1.1:5000/repo", "192.168.1.1:5000/repo"),
        ("[2001:db8::1]/repo", "[2001:db8::1]/repo"),
        ("[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000/repo:tag"),
        ("index.docker.io/library/redis", "docker.io/library/redis"),
        ("docker.io/redis", "docker.io/library/redis"),
        ("localhost/library/redis", "localhost/library/redis"),
        ("Uppercase/lowercase:tag", "Uppercase/lowercase:tag"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e"),
        ("dmcgowan/myapp", "docker.io/dmcgowan/myapp"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
    assert_eq!(canonical(&format!("repo@{DIGEST}")), format!("docker.io/library/repo@{DIGEST}"));
    assert_eq!(canonical(&format!("test:5000/repo:tag@{DIGEST}")), format!("test:5000/repo:tag@{DIGEST}"));
}

#[test]
fn known_bad_references() {
    let too_long = format!("x/{}a", "a/".repeat(128));
    let long_tag = format!("a:{}", "t".repeat(129));
    let id = "f".repeat(64);
    for text in [
        "",
        ":justtag",
        "@sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "repo@sha256:ffffffffffffffffffffffffffffffffff",
        "validname@invaliddigest:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "test:5000/Uppercase/lowercase:tag",
        "aa/asdf$$^/aa",
        "-foo/bar",
        "foo/bar-",
        "-foo.com/bar",
        "foo-.com/bar",
        "foo//bar",
        "foo/",
        "/foo",
        "a___b",
        "a..b",
        "foo._bar",
        "repo:",
        "repo:-tag",
        "repo:tag with space",
        "[fe80::1%eth0]/repo",
        "[2001:db8::1/repo",
        "test.com:port/repo",
        "Repo",
        "naïve",
        "repo\n",
        too_long.as_str(),
        long_tag.as_str(),
        id.as_str(),
    ] {
        assert!(text.parse::<Reference>().is_err(), "{text:?} was accepted");
    }
}

#[test]
fn familiar_forms() {
    for (text, familiar) in [
        ("docker.io/library/busybox:latest", "busybox:latest"),
        ("docker.io/user/app", "user/app"),
        ("docker.io/library/foo/bar", "library/foo/bar"),
        ("example.com/library/busybox", "example.com/library/busybox"),
        ("localhost:5000/a", "localhost:5000/a"),
    ] {
        assert_eq!(text.parse::<Reference>().unwrap().familiar(), familiar);
    }
}

#[test]
fn the_default_tag_comes_only_where_nothing_is_given() {
    let tagged = |text: &str| text.parse::<Reference>().unwrap().with_default_tag().to_string();
    assert_eq!(tagged("busybox"), "docker.io/library/busybox:latest");
    assert_eq!(tagged("busybox:1"), "docker.io/library/busybox:1");
    assert_eq!(tagged(&format!("busybox@{DIGEST}")), format!("docker.io/library/busybox@{DIGEST}"));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_and_never_panics(text in ".{0,80}") {
        let _ = text.parse::<Reference>();
    }

    #[test]
    fn canonical_and_familiar_forms_mean_the_same(
        text in "([a-z]{1,8}(\\.[a-z]{1,3})?(:[0-9]{1,4})?/)?[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5}){0,2}(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,9})?"
    ) {
        // Some of these are refused: a first component with a dot must be a host, and '_' isn't a host's.
        let Ok(reference) = text.parse::<Reference>() else { return Ok(()) };
        prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
        prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
    }
}
