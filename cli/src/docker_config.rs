//! What Orca heeds of Docker's own `config.json`: formats of listings.

use std::path::PathBuf;

use serde::Deserialize;

/// Largest file that is read, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// The part of the file that is heeded here; the rest is left to those whom it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DockerConfig {
    /// `--format` of `ps`.
    pub ps_format: Option<String>,
    /// `--format` of `images`.
    pub images_format: Option<String>,
    /// `--format` of `volume ls`.
    pub volumes_format: Option<String>,
}

impl DockerConfig {
    /// Reads `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`; one that is not there, or is broken, sets nothing.
    pub fn read() -> Self {
        let text = directory().and_then(|directory| {
            let path = directory.join("config.json");
            let small = std::fs::metadata(&path).ok().filter(|data| data.len() <= FILE_MAX)?;
            small.is_file().then(|| std::fs::read(path).ok())?
        });
        text.map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }
}

/// Where Docker's users keep its configuration.
fn directory() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("DOCKER_CONFIG").or_else(|| Some(set("HOME")?.join(".docker")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_read_and_the_rest_is_left() {
        let config =
            DockerConfig::parse(br#"{ "psFormat": "table {{.ID}}", "auths": { "x": {} }, "detachKeys": "ctrl-e,e" }"#);
        assert_eq!(config.ps_format.as_deref(), Some("table {{.ID}}"));
        assert_eq!(DockerConfig::parse(b"{"), DockerConfig::default());
    }
}
