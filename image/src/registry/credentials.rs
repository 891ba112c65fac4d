//! Docker's `config.json`: who one is at which registry. Pure; [`super::login`] reads and writes it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Error, Result};
use crate::reference::DEFAULT_DOMAIN;

/// Under what Docker keeps the credentials of its own registry.
const DEFAULT_KEY: &str = "https://index.docker.io/v1/";
/// The user name by which helpers tell that the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Who one is at a registry. Its `Debug` shows no secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// User and password.
    Password {
        /// As the registry knows one.
        username: String,
        /// The password, or a personal access token.
        password: String,
    },
    /// A token that the registry's token server gave at login.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Password { username, .. } => {
                f.debug_struct("Password").field("username", username).finish_non_exhaustive()
            }
            Credentials::IdentityToken(_) => f.write_str("IdentityToken(..)"),
        }
    }
}

impl Credentials {
    /// The value of an `Authorization` header, where it can be one.
    pub fn basic(&self) -> Option<String> {
        match self {
            Credentials::Password { username, password } => {
                Some(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
            }
            Credentials::IdentityToken(_) => None,
        }
    }
}

/// Where the credentials of a registry are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nowhere.
    Nowhere,
    /// In the file itself.
    File(Credentials),
    /// With the program `docker-credential-NAME`.
    Helper(String),
}

/// `config.json`, with all that is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerConfig {
    document: Map<String, Value>,
}

impl DockerConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`Error::File`] with `path`.
    pub fn parse(path: &str, bytes: &[u8]) -> Result<DockerConfig> {
        let invalid = |reason: String| Error::File { path: path.to_owned(), reason };
        if bytes.trim_ascii().is_empty() {
            return Ok(DockerConfig::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(document)) => Ok(DockerConfig { document }),
            Ok(_) => Err(invalid("it is no JSON object".to_owned())),
            Err(error) => Err(invalid(error.to_string())),
        }
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        // Writing a value into memory cannot fail.
        let _ = serde::Serialize::serialize(&self.document, &mut serializer);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where the credentials of the registry `domain` are.
    pub fn find(&self, domain: &str) -> Source {
        if let Some(program) = self.helper(domain) {
            return Source::Helper(program);
        }
        let own = |(key, entry): (&String, &Value)| names(key, domain).then(|| credentials(entry)).flatten();
        let auths = self.document.get("auths").and_then(Value::as_object);
        auths.into_iter().flatten().find_map(own).map_or(Source::Nowhere, Source::File)
    }

    /// The helper that keeps the credentials of `domain`, if they aren't kept in the file.
    pub fn helper(&self, domain: &str) -> Option<String> {
        let helpers = self.document.get("credHelpers").and_then(Value::as_object);
        let own = helpers.into_iter().flatten().find(|(key, _)| names(key, domain)).map(|(_, program)| program);
        let program = own.or_else(|| self.document.get("credsStore"))?.as_str()?;
        Some(program.to_owned()).filter(|program| !program.is_empty())
    }

    /// Whether anything of `domain` is in the file.
    pub fn mentions(&self, domain: &str) -> bool {
        let auths = self.document.get("auths").and_then(Value::as_object);
        auths.is_some_and(|auths| auths.keys().any(|key| names(key, domain)))
    }

    /// Keeps `credentials` in the file; `None` notes that a helper has them.
    pub fn set(&mut self, domain: &str, credentials: Option<&Credentials>) {
        self.erase(domain);
        let entry = match credentials {
            None => json!({}),
            Some(Credentials::Password { username, password }) => {
                json!({"auth": STANDARD.encode(format!("{username}:{password}"))})
            }
            Some(Credentials::IdentityToken(token)) => json!({"identitytoken": token}),
        };
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key(domain).to_owned(), entry);
        }
    }

    /// Removes what the file has of `domain`.
    pub fn erase(&mut self, domain: &str) {
        if let Some(auths) = self.document.get_mut("auths").and_then(Value::as_object_mut) {
            auths.retain(|key, _| !names(key, domain));
        }
    }
}

/// Under what the credentials of `domain` are kept: what helpers are asked for.
pub fn key(domain: &str) -> &str {
    if domain == DEFAULT_DOMAIN { DEFAULT_KEY } else { domain }
}

/// Whether `key` of `auths` or `credHelpers` means `domain`: older files have URLs there.
fn names(key: &str, domain: &str) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let host = bare.split('/').next().unwrap_or_default();
    let host = if matches!(host, "index.docker.io" | "registry-1.docker.io") { DEFAULT_DOMAIN } else { host };
    host == domain
}

/// One entry of `auths`.
fn credentials(entry: &Value) -> Option<Credentials> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Some(Credentials::IdentityToken(token.to_owned()));
    }
    if let (Some(username), Some(password)) = (text("username"), text("password")) {
        return Some(Credentials::Password { username: username.to_owned(), password: password.to_owned() });
    }
    let decoded = String::from_utf8(STANDARD.decode(text("auth")?).ok()?).ok()?;
    let (username, password) = decoded.split_once(':')?;
    // Old versions of Docker padded with zero bytes.
    let password = password.trim_end_matches('\0');
    Some(Credentials::Password { username: username.to_owned(), password: password.to_owned() })
}

/// Reads what a helper prints after `get`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_helper(output: &[u8]) -> Result<Credentials, String> {
    let document: Value = serde_json::from_slice(output).map_err(|error| format!("it prints no JSON: {error}"))?;
    let text = |key: &str| document.get(key).and_then(Value::as_str).map(str::to_owned);
    match (text("Username"), text("Secret")) {
        (Some(username), Some(secret)) if username == TOKEN_USER => Ok(Credentials::IdentityToken(secret)),
        (Some(username), Some(password)) => Ok(Credentials::Password { username, password }),
        _ => Err("it prints no Username and Secret".to_owned()),
    }
}

/// What a helper reads for `store`.
pub fn helper_input(domain: &str, credentials: &Credentials) -> String {
    let (username, secret) = match credentials {
        Credentials::Password { username, password } => (username.as_str(), password),
        Credentials::IdentityToken(token) => (TOKEN_USER, token),
    };
    json!({"ServerURL": key(domain), "Username": username, "Secret": secret}).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn password(username: &str, password: &str) -> Credentials {
        Credentials::Password { username: username.into(), password: password.into() }
    }

    fn config(text: &str) -> DockerConfig {
        DockerConfig::parse("config.json", text.as_bytes()).unwrap()
    }

    #[test]
    fn credentials_are_found_in_every_form_that_docker_wrote() {
        let config = config(
            r#"{"auths": {"https://index.docker.io/v1/": {"auth": "dTpwOnE="}, "r.example:5000": {"username": "a", "password": "b"},
                "https://old.example/v1/": {"auth": "dTpwAAA="}, "t.example": {"auth": "dTo=", "identitytoken": "T"},
                "broken.example": {"auth": "%%%"}, "empty.example": {}},
                "credHelpers": {"gcr.io": "gcloud"}}"#,
        );
        for (domain, source) in [
            ("docker.io", Source::File(password("u", "p:q"))),
            ("r.example:5000", Source::File(password("a", "b"))),
            ("old.example", Source::File(password("u", "p"))),
            ("t.example", Source::File(Credentials::IdentityToken("T".into()))),
            ("gcr.io", Source::Helper("gcloud".into())),
            ("broken.example", Source::Nowhere),
            ("empty.example", Source::Nowhere),
            ("r.example", Source::Nowhere),
        ] {
            assert_eq!(config.find(domain), source, "{domain}");
        }
    }

    #[test]
    fn the_rest_of_the_file_stays() {
        let mut config = config(r#"{"psFormat": "x", "auths": {"a.example": {"auth": "dTpw"}}, "credsStore": ""}"#);
        config.set("b.example", Some(&password("u", "s")));
        config.set("docker.io", Some(&Credentials::IdentityToken("T".into())));
        config.erase("a.example");
        let text = config.to_text();
        assert!(text.starts_with("{\n\t\"psFormat\": \"x\""), "{text}");
        let again = DockerConfig::parse("x", text.as_bytes()).unwrap();
        assert_eq!(again.find("b.example"), Source::File(password("u", "s")));
        assert_eq!(again.find("docker.io"), Source::File(Credentials::IdentityToken("T".into())));
        assert!(!again.mentions("a.example") && again.mentions("b.example"));
        assert_eq!(DockerConfig::parse("x", b" \n").unwrap(), DockerConfig::default());
        assert!(DockerConfig::parse("x", b"[]").is_err());
    }

    #[test]
    fn helpers_speak_json() {
        assert_eq!(parse_helper(br#"{"ServerURL":"x","Username":"u","Secret":"s"}"#), Ok(password("u", "s")));
        assert_eq!(parse_helper(br#"{"Username":"<token>","Secret":"s"}"#), Ok(Credentials::IdentityToken("s".into())));
        assert!(parse_helper(b"no").is_err() && parse_helper(b"{}").is_err());
        assert!(helper_input("docker.io", &password("u", "s")).contains("https://index.docker.io/v1/"));
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", password("u", "hunter2"), Credentials::IdentityToken("hunter2".into()));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    proptest! {
        #[test]
        fn what_is_kept_is_found(domain in "[a-z]{1,8}\\.example(:[0-9]{1,4})?", name in "[^:\\x00]{1,20}", secret in "[^\\x00]{0,30}") {
            let mut config = DockerConfig::default();
            config.set(&domain, Some(&password(&name, &secret)));
            let again = DockerConfig::parse("x", config.to_text().as_bytes()).unwrap();
            prop_assert_eq!(again.find(&domain), Source::File(password(&name, &secret)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(config) = DockerConfig::parse("x", &bytes) {
                let _ = config.find("docker.io");
            }
        }
    }
}
