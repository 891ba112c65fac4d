//! The daemon's flags that concern registries.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use image::registry::{Insecure, Proxies, Settings, origin};

use crate::error::{Error, Result};

/// Where certificates of registries are.
pub const CERTS: [&str; 2] = ["/etc/orca/certs.d", "/etc/docker/certs.d"];
/// Seconds that a registry may be silent.
const TIMEOUT: u64 = 30;

/// How the daemon talks to registries.
#[derive(Debug, Args)]
pub struct RegistryArgs {
    /// Ask this server first for images of docker.io: an http:// or https:// URL
    #[arg(long, value_name = "URL")]
    registry_mirror: Vec<String>,
    /// Registry that may answer without TLS or with any certificate: HOST[:PORT] or ADDRESS/PREFIX
    #[arg(long, value_name = "REGISTRY")]
    insecure_registry: Vec<String>,
    /// Directory with CAs and client certificates of registries, as HOST[:PORT]/ca.crt
    #[arg(long, value_name = "DIR", default_values = CERTS)]
    registry_certs: Vec<PathBuf>,
    /// Seconds that a registry may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    registry_timeout: u64,
}

impl RegistryArgs {
    /// The flags for what is not the default, for a unit that is to say the same.
    pub fn words(&self) -> Vec<String> {
        let texts =
            |flag: &str, values: &[String]| values.iter().map(|value| format!("{flag}={value}")).collect::<Vec<_>>();
        let mut words = texts("--registry-mirror", &self.registry_mirror);
        words.extend(texts("--insecure-registry", &self.insecure_registry));
        if !self.registry_certs.iter().map(PathBuf::as_path).eq(CERTS.map(Path::new)) {
            words.extend(self.registry_certs.iter().map(|dir| format!("--registry-certs={}", super::absolute(dir))));
        }
        if self.registry_timeout != TIMEOUT {
            words.push(format!("--registry-timeout={}", self.registry_timeout));
        }
        words
    }

    /// The settings that these flags make.
    pub fn settings(&self) -> Result<Settings> {
        let mirrors =
            self.registry_mirror.iter().map(|text| origin::mirror(text).map_err(refused("--registry-mirror", text)));
        let insecure = self
            .insecure_registry
            .iter()
            .map(|text| Insecure::parse(text).map_err(refused("--insecure-registry", text)));
        Ok(Settings {
            mirrors: mirrors.collect::<Result<_>>()?,
            insecure: insecure.collect::<Result<_>>()?,
            certificates: self.registry_certs.clone(),
            patience: Duration::from_secs(self.registry_timeout),
            proxies: Proxies::from_environment(),
        })
    }
}

fn refused<'a>(flag: &'static str, value: &'a str) -> impl FnOnce(image::registry::Error) -> Error + 'a {
    move |error| {
        let reason = match error {
            image::registry::Error::Setting { reason, .. } => reason.to_owned(),
            other => other.to_string(),
        };
        Error::Flag { flag, value: value.to_owned(), reason }
    }
}
