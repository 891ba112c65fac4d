//! Platforms (`linux/amd64`, `linux/arm64/v8`) and which image fits which node.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An operating system and a CPU architecture, by Go's names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform this program was compiled for.
    pub fn host() -> Platform {
        let architecture = normal_architecture(std::env::consts::ARCH);
        Platform { os: std::env::consts::OS.to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// Whether a node of this platform runs images of `image`: same system and architecture; of the variants, arm64
    /// needs `v8` or none, and any other named variant must be the same.
    pub fn runs(&self, image: &Platform) -> bool {
        if self.os != image.os || self.architecture != normal_architecture(&image.architecture) {
            return false;
        }
        match (&self.variant, image.variant.as_deref()) {
            (_, None | Some("")) => true,
            (None, Some(baseline)) => {
                matches!((self.architecture.as_str(), baseline), ("arm64", "v8") | ("amd64", "v1"))
            }
            (Some(own), Some(variant)) => own == variant,
        }
    }
}

/// Maps the kernel's and Rust's architecture names to Go's.
fn normal_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(text: &str) -> Result<Platform> {
        let invalid = || Error::InvalidPlatform { text: text.to_owned() };
        let parts: Vec<&str> = text.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.len() <= 32
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(word) {
            return Err(invalid());
        }
        Ok(Platform {
            os: parts[0].to_ascii_lowercase(),
            architecture: normal_architecture(&parts[1].to_ascii_lowercase()).to_owned(),
            variant: parts.get(2).map(|variant| variant.to_ascii_lowercase()),
        })
    }
}
