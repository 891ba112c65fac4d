//! Which names are allowed.

/// A name that Orca does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a valid {kind} name: use {allowed}")]
pub struct NameError {
    kind: &'static str,
    name: String,
    allowed: &'static str,
}

/// Longest name of anything, in bytes: a DNS label (RFC 1035, 2.3.4).
pub const LABEL_MAX: usize = 63;

/// Docker's rule for containers and volumes: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, at most 255 bytes; a network's name may be one letter.
pub fn check_object_name(kind: &'static str, name: &str) -> Result<(), NameError> {
    let (least, allowed) = match kind {
        "network" => (1, "a letter or digit, then any of a-z A-Z 0-9 _ . -"),
        _ => (2, "a letter or digit, then one or more of a-z A-Z 0-9 _ . -"),
    };
    let rest_ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let ok = (least..=255).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name.bytes().skip(1).all(rest_ok);
    if ok { Ok(()) } else { Err(NameError { kind, name: shorten(name), allowed }) }
}

/// Compose's rule for projects: `[a-z0-9][a-z0-9_-]*`.
pub fn check_project_name(name: &str) -> Result<(), NameError> {
    let allowed = "lower-case letters, digits, _ and -, beginning with a letter or digit";
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ok = (1..=LABEL_MAX).contains(&name.len())
        && lower(name.as_bytes()[0])
        && name.bytes().all(|b| lower(b) || matches!(b, b'_' | b'-'));
    if ok { Ok(()) } else { Err(NameError { kind: "project", name: shorten(name), allowed }) }
}

fn shorten(name: &str) -> String {
    name.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_rules() {
        for good in ["web", "web-1", "a.b_c", "0x"] {
            assert_eq!(check_object_name("container", good), Ok(()));
        }
        for bad in ["", "x", "-a", "a b", "a/b", "ü1"] {
            assert!(check_object_name("container", bad).is_err(), "{bad}");
        }
        assert!(check_object_name("network", "n").is_ok() && check_object_name("network", "").is_err());
        assert!(check_project_name("Foo").is_err());
        assert!(check_project_name("").is_err());
        assert_eq!(check_project_name("foo-1_x"), Ok(()));
    }
}
