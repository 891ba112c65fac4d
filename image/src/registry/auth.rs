//! Being let in: basic authentication, and tokens (<https://distribution.github.io/distribution/spec/auth/token/>).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};
use serde::Deserialize;
use url::Url;

use super::challenge::{self, Challenge};
use super::http::{ANSWER_MAX, Call, Http};
use super::{Credentials, Error, Result, origin};

/// How long a token is good for if its server doesn't say.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// How long before its end a token is not used any more.
const TOKEN_MARGIN: Duration = Duration::from_secs(5);
const CLIENT: &str = "orca";

/// Who one is at one registry, and what it has let one do.
pub struct Auth {
    credentials: Option<Credentials>,
    /// By scope.
    granted: Mutex<BTreeMap<String, Grant>>,
}

struct Grant {
    header: String,
    ends: Option<Instant>,
}

/// What a token server answers.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
    refresh_token: Option<String>,
}

/// A header that lets one in, and a token to be kept instead of the password.
pub struct Entry {
    pub header: String,
    pub identity: Option<String>,
}

impl Auth {
    pub fn new(credentials: Option<Credentials>) -> Auth {
        Auth { credentials, granted: Mutex::default() }
    }

    /// The header for `scope`, if one was given already and is good still.
    pub fn header(&self, scope: &str) -> Option<String> {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = granted.get(scope).filter(|grant| grant.ends.is_none_or(|ends| Instant::now() < ends))?;
        Some(grant.header.clone())
    }

    /// Answers the challenges of a refusal by `url`, for `scope`; `None` if there is nothing that could be answered.
    ///
    /// # Errors
    /// What the token server says.
    pub async fn answer(&self, http: &Http, url: &Url, headers: &HeaderMap, scope: &str) -> Result<Option<String>> {
        Ok(self.enter(http, url, headers, scope, false).await?.map(|entry| entry.header))
    }

    /// As [`Auth::answer`]; with `stay`, asks for a token that can be kept.
    pub async fn enter(
        &self,
        http: &Http,
        url: &Url,
        headers: &HeaderMap,
        scope: &str,
        stay: bool,
    ) -> Result<Option<Entry>> {
        let values = headers.get_all(http::header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Challenge> = values.flat_map(challenge::parse).collect();
        let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
        let (entry, ends) = match bearer.or(challenges.first()) {
            Some(Challenge::Bearer { realm, service, scope: asked }) => {
                let scope = if scope.is_empty() { asked.clone().unwrap_or_default() } else { scope.to_owned() };
                let token = self.token(http, url, realm, service.as_deref(), &scope, stay).await?;
                let life = token.expires_in.map_or(TOKEN_LIFE, Duration::from_secs);
                let ends = Instant::now().checked_add(life.saturating_sub(TOKEN_MARGIN));
                let protocol = || Error::Protocol {
                    host: origin::authority(url),
                    reason: "its token server gives no token".into(),
                };
                let text = token.token.or(token.access_token).filter(|text| !text.is_empty()).ok_or_else(protocol)?;
                (Entry { header: format!("Bearer {text}"), identity: token.refresh_token }, ends)
            }
            Some(Challenge::Basic) => match self.credentials.as_ref().and_then(Credentials::basic) {
                Some(header) => (Entry { header, identity: None }, None),
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let grant = Grant { header: entry.header.clone(), ends };
        self.granted.lock().unwrap_or_else(PoisonError::into_inner).insert(scope.to_owned(), grant);
        Ok(Some(entry))
    }

    async fn token(
        &self,
        http: &Http,
        url: &Url,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        stay: bool,
    ) -> Result<Token> {
        let insecure = |url: &Url| origin::may_be_insecure(url, &http.settings().insecure);
        // Where to get tokens is the registry's word; that they don't travel in the clear is ours.
        let realm = origin::redirect(url, realm, insecure(url));
        let realm = realm.map_err(|reason| Error::Redirect { url: origin::shown(url), reason })?.url;
        let scopes = scope.split(' ').filter(|scope| !scope.is_empty());
        let response = if let Some(Credentials::IdentityToken(token)) = &self.credentials {
            let scopes = scopes.collect::<Vec<_>>().join(" ");
            let pairs = [
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT),
                ("service", service.unwrap_or_default()),
                ("scope", &scopes),
                ("refresh_token", token),
            ];
            let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            let call = Call::new(Method::POST, realm.clone(), insecure(&realm));
            let call = call.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            http.post(&call, form).await?
        } else {
            let mut asked = realm.clone();
            asked.query_pairs_mut().extend_pairs(service.map(|service| ("service", service)));
            asked.query_pairs_mut().extend_pairs(scopes.map(|scope| ("scope", scope)));
            if let Some(Credentials::Password { username, .. }) = &self.credentials {
                asked.query_pairs_mut().append_pair("account", username);
            }
            if stay {
                asked.query_pairs_mut().append_pair("offline_token", "true").append_pair("client_id", CLIENT);
            }
            let mut call = Call::new(Method::GET, asked, insecure(&realm));
            call.authorization = self.credentials.as_ref().and_then(Credentials::basic);
            http.get(&call).await?
        };
        if !response.status().is_success() {
            return Err(http.unexpected("GET", &realm, response).await);
        }
        let bytes = http.read(&realm, response.into_body(), ANSWER_MAX, "the token").await?;
        let invalid = |_| Error::Protocol { host: origin::authority(&realm), reason: "its token is no JSON".into() };
        serde_json::from_slice(&bytes).map_err(invalid)
    }
}
