//! Where a registry answers: hosts, schemes, which may be insecure, where redirects may lead. Pure.

use std::net::IpAddr;

use url::{Host, Url};

use super::{Error, Result};
use crate::reference::{DEFAULT_DOMAIN, Reference};

/// The host behind the name `docker.io`.
const DEFAULT_HOST: &str = "registry-1.docker.io";

/// A server that has a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `https://host[:port]/`; a mirror may have a path.
    pub base: Url,
    /// Whether it may answer without TLS, and with a certificate that nobody vouches for.
    pub insecure: bool,
    /// Whether it stands in for another registry: no credentials for it then.
    pub mirror: bool,
}

/// Registries that may be insecure, as `--insecure-registry` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Insecure {
    /// `host` or `host:port`.
    Host(String),
    /// All addresses with this prefix.
    Network(IpAddr, u8),
}

impl std::fmt::Display for Insecure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(host) => f.write_str(host),
            Self::Network(address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

impl Insecure {
    /// Reads `host[:port]` or `ADDRESS/PREFIX`.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(text: &str) -> Result<Insecure> {
        let invalid = |reason| Error::Setting { text: text.to_owned(), reason };
        if let Some((address, prefix)) = text.split_once('/') {
            let address: IpAddr = address.parse().map_err(|_| invalid("expected host[:port] or ADDRESS/PREFIX"))?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.parse().ok().filter(|prefix| *prefix <= bits);
            return Ok(Insecure::Network(address, prefix.ok_or_else(|| invalid("the prefix is too long"))?));
        }
        let url = url(&format!("https://{text}")).ok_or_else(|| invalid("expected host[:port] or ADDRESS/PREFIX"))?;
        if url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
            return Err(invalid("expected host[:port], without a scheme"));
        }
        Ok(Insecure::Host(text.to_ascii_lowercase()))
    }

    fn covers(&self, url: &Url) -> bool {
        match self {
            Insecure::Host(host) => {
                *host == authority(url) || (!host.contains(':') && url.host_str() == Some(host.as_str()))
            }
            Insecure::Network(network, prefix) => address(url).is_some_and(|ip| within(ip, *network, *prefix)),
        }
    }
}

/// Reads the URL of a mirror.
///
/// # Errors
/// [`Error::Setting`] unless it is http or https, without credentials and query.
pub fn mirror(text: &str) -> Result<Url> {
    let invalid = |reason| Error::Setting { text: text.to_owned(), reason };
    let mut url = url(text).ok_or_else(|| invalid("a mirror is an http:// or https:// URL"))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(invalid("a mirror has no user, query or fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// The servers to ask for `reference`, in order: for Docker's own registry its mirrors first.
///
/// # Errors
/// [`Error::Setting`] if the registry's name is no host.
pub fn endpoints(domain: &str, mirrors: &[Url], insecure: &[Insecure]) -> Result<Vec<Endpoint>> {
    let mut found = Vec::new();
    if domain == DEFAULT_DOMAIN {
        let endpoint =
            |base: &Url| Endpoint { insecure: may_be_insecure(base, insecure), base: base.clone(), mirror: true };
        found.extend(mirrors.iter().map(endpoint));
    }
    let host = if domain == DEFAULT_DOMAIN { DEFAULT_HOST } else { domain };
    let invalid = || Error::Setting { text: domain.to_owned(), reason: "it is no host of a registry" };
    let base = url(&format!("https://{host}/")).ok_or_else(invalid)?;
    found.push(Endpoint { insecure: may_be_insecure(&base, insecure), base, mirror: false });
    Ok(found)
}

/// An http or https URL with a host.
fn url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// Whether `url` may be asked without TLS: the loopback, as in Docker, and what was said to be insecure.
pub fn may_be_insecure(url: &Url, insecure: &[Insecure]) -> bool {
    is_loopback(url) || insecure.iter().any(|insecure| insecure.covers(url))
}

fn is_loopback(url: &Url) -> bool {
    url.host_str() == Some("localhost") || address(url).is_some_and(|ip| ip.is_loopback())
}

fn address(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.into()),
        Host::Domain(_) => None,
    }
}

fn within(ip: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = if prefix == 0 { 0 } else { u128::MAX << (128 - u32::from(prefix)) };
    ip.is_ipv4() == network.is_ipv4() && bits(ip) & mask == bits(network) & mask
}

/// `host[:port]`, the port only where it isn't the scheme's own.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// A URL as messages show it: a query may hold a signature.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// The URL of something of a repository: `v2/<path>/<rest>`.
///
/// # Errors
/// [`Error::Setting`], which no parsed reference causes.
pub fn resource(base: &Url, reference: &Reference, rest: &str) -> Result<Url> {
    join(base, &format!("v2/{}/{rest}", reference.path()))
}

/// `path` below `base`.
///
/// # Errors
/// [`Error::Setting`], which no path of this crate causes.
pub fn join(base: &Url, path: &str) -> Result<Url> {
    base.join(path).map_err(|_| Error::Setting { text: path.to_owned(), reason: "it makes no URL" })
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub url: Url,
    /// Whether credentials may go along: only to the same scheme, host and port.
    pub same_origin: bool,
}

/// Follows `location` from `from`.
///
/// # Errors
/// Why not: it is no URL, of another scheme, or gives TLS up where that isn't allowed.
pub fn redirect(from: &Url, location: &str, insecure: bool) -> Result<Redirect, &'static str> {
    let to = from.join(location).map_err(|_| "its Location is no URL")?;
    if !matches!(to.scheme(), "http" | "https") || !to.has_host() {
        return Err("its Location is neither http nor https");
    }
    if from.scheme() == "https" && to.scheme() == "http" && !insecure {
        return Err("it leads from https to http");
    }
    let same_origin = from.origin() == to.origin();
    Ok(Redirect { url: to, same_origin })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bases(domain: &str, mirrors: &[&str], insecure: &[&str]) -> Vec<(String, bool, bool)> {
        let mirrors: Vec<Url> = mirrors.iter().map(|text| mirror(text).unwrap()).collect();
        let insecure: Vec<Insecure> = insecure.iter().map(|text| Insecure::parse(text).unwrap()).collect();
        let endpoints = endpoints(domain, &mirrors, &insecure).unwrap();
        endpoints.into_iter().map(|endpoint| (endpoint.base.to_string(), endpoint.insecure, endpoint.mirror)).collect()
    }

    #[test]
    fn names_lead_to_servers() {
        let own = |base: &str, insecure| vec![(base.to_owned(), insecure, false)];
        assert_eq!(bases("docker.io", &[], &[]), own("https://registry-1.docker.io/", false));
        assert_eq!(bases("localhost:5000", &[], &[]), own("https://localhost:5000/", true));
        assert_eq!(bases("127.9.9.9:5000", &[], &[]), own("https://127.9.9.9:5000/", true));
        assert_eq!(bases("[::1]:5000", &[], &[]), own("https://[::1]:5000/", true));
        assert_eq!(bases("r.example:5000", &[], &["r.example"]), own("https://r.example:5000/", true));
        assert_eq!(bases("r.example:5000", &[], &["r.example:5001"]), own("https://r.example:5000/", false));
        assert_eq!(bases("192.0.2.7", &[], &["192.0.2.0/24"]), own("https://192.0.2.7/", true));
        assert_eq!(bases("192.0.3.7", &[], &["192.0.2.0/24", "::/0"]), own("https://192.0.3.7/", false));
        let mirrored = bases("docker.io", &["http://127.0.0.1:5000", "https://m.example/x"], &[]);
        assert_eq!(mirrored[0], ("http://127.0.0.1:5000/".to_owned(), true, true));
        assert_eq!(mirrored[1], ("https://m.example/x/".to_owned(), false, true));
        assert_eq!(mirrored.len(), 3);
        assert_eq!(bases("r.example", &["http://127.0.0.1:5000"], &[]).len(), 1);
    }

    #[test]
    fn settings_are_read_or_refused() {
        for bad in ["", "a b", "http://x", "x/y", "192.0.2.0/33", "user@host"] {
            assert!(Insecure::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "m.example", "ftp://m.example", "https://u:p@m.example", "https://m.example/?a", "https://"] {
            assert!(mirror(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resources_are_below_the_base() {
        let reference: Reference = "r.example/a/b:1".parse().unwrap();
        let base = mirror("https://m.example/x").unwrap();
        let url = resource(&base, &reference, "manifests/1").unwrap();
        assert_eq!(url.as_str(), "https://m.example/x/v2/a/b/manifests/1");
        assert_eq!(shown(&Url::parse("https://h/p?signature=secret#f").unwrap()), "https://h/p");
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = Url::parse("https://r.example/v2/a/blobs/x").unwrap();
        for (location, same) in [
            ("/v2/other", true),
            ("https://r.example:443/x", true),
            ("https://cdn.example/x?sig", false),
            ("https://r.example:444/x", false),
            ("//cdn.example/x", false),
        ] {
            assert_eq!(redirect(&from, location, false).unwrap().same_origin, same, "{location}");
        }
        assert!(redirect(&from, "http://r.example/x", false).is_err());
        assert!(!redirect(&from, "http://r.example/x", true).unwrap().same_origin);
        assert!(redirect(&from, "file:///etc/passwd", true).is_err());
        assert!(redirect(&from, "https://", true).is_err());
    }

    proptest! {
        #[test]
        fn every_registry_that_is_a_host_has_urls(
            text in "([a-z]{1,8}(\\.[a-z]{1,3})?(:[0-9]{1,4})?/)?[a-z0-9]{1,6}([._-][a-z0-9]{1,4}){0,2}(/[a-z0-9]{1,5}){0,2}"
        ) {
            let Ok(reference) = text.parse::<Reference>() else { return Ok(()) };
            // Names such as 260.0 look like hosts and are none.
            let Ok(mut endpoints) = endpoints(reference.domain(), &[], &[]) else { return Ok(()) };
            let base = endpoints.remove(0).base;
            let url = resource(&base, &reference, "tags/list").unwrap();
            prop_assert_eq!(url.path(), format!("/v2/{}/tags/list", reference.path()));
        }

        #[test]
        fn no_location_takes_credentials_elsewhere(location in ".{0,40}|https?://[a-z.@:/]{0,20}") {
            let from = Url::parse("https://r.example/v2/").unwrap();
            if let Ok(redirect) = redirect(&from, &location, false)
                && redirect.same_origin
            {
                prop_assert_eq!(authority(&redirect.url), "r.example");
            }
        }
    }
}
