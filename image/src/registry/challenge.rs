//! `WWW-Authenticate`: what a registry wants to be told (RFC 9110, section 11.6.1). Pure.

/// Longest header value that is looked at.
const VALUE_LIMIT: usize = 16 << 10;

/// One way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// User and password with each request.
    Basic,
    /// A token from `realm`.
    Bearer {
        /// Where tokens are given.
        realm: String,
        /// What the token is for, if it says so.
        service: Option<String>,
        /// What it must allow, if it says so.
        scope: Option<String>,
    },
}

/// The challenges of one header value that are known here, in order; what can't be read ends the list.
pub fn parse(value: &str) -> Vec<Challenge> {
    if value.len() > VALUE_LIMIT {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', ',']);
    while let Some((scheme, after)) = token(rest) {
        let (parameters, after) = parameters(after);
        let get = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = get("realm")
        {
            found.push(Challenge::Bearer { realm, service: get("service"), scope: get("scope") });
        }
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    found
}

/// A token (RFC 9110, section 5.6.2) and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `key=value, key="value"`, up to the next challenge, and what follows.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let at = rest.trim_start_matches([' ', '\t', ',']);
        let Some((key, after)) = token(at) else { return (found, at) };
        // A token without `=` begins the next challenge.
        let Some(after) = after.trim_start().strip_prefix('=') else { return (found, rest) };
        let after = after.trim_start();
        let Some((value, after)) = quoted(after).or_else(|| token(after).map(|(value, rest)| (value.to_owned(), rest)))
        else {
            return (found, "");
        };
        found.push((key.to_owned(), value));
        rest = after;
    }
}

/// A quoted string, without quotes and escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.strip_prefix('"')?.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned), scope: scope.map(str::to_owned) }
    }

    #[test]
    fn the_forms_that_registries_send() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        assert_eq!(
            parse(hub),
            [bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"))]
        );
        assert_eq!(parse("Basic realm=\"Registry Realm\""), [Challenge::Basic]);
        assert_eq!(parse("basic"), [Challenge::Basic]);
        assert_eq!(
            parse("Negotiate abc, Basic realm=x , BEARER  realm = \"a\\\"b\" , Service=s"),
            [Challenge::Basic, bearer("a\"b", Some("s"), None)]
        );
        for nothing in ["", "Bearer", "Bearer service=\"x\"", "Bearer realm=\"unfinished", "=,=,", "Digest realm=\"x\""]
        {
            assert_eq!(parse(nothing), [], "{nothing}");
        }
        assert_eq!(parse(&format!("Bearer realm=\"{}\"", "x".repeat(VALUE_LIMIT))), []);
    }

    proptest! {
        #[test]
        fn any_value_is_read_or_left(value in "[ -~\\t]{0,60}|.{0,40}") {
            let _ = parse(&value);
        }

        #[test]
        fn what_is_quoted_comes_back(realm in "[ -~]{1,30}", service in "[ -~]{0,30}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let value = format!("Bearer realm=\"{}\",service=\"{}\"", quote(&realm), quote(&service));
            prop_assert_eq!(parse(&value), [bearer(&realm, Some(&service), None)]);
        }
    }
}
