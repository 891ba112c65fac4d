//! Logging drivers and what their options mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

mod syslog;

pub use syslog::{SyslogAddress, SyslogFormat, SyslogOptions, SyslogServer, SyslogTlsOptions, SyslogTransport};

/// Docker's defaults of the `local` driver, and of the copy that is kept beside a remote log.
const LOCAL: FileOptions = FileOptions { max_size: 20 << 20, max_files: 5, compress: true };
/// Docker's `max-buffer-size`.
const BUFFER: u64 = 1 << 20;

/// Where the output of a container goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Which driver.
    pub driver: LogDriver,
    /// The driver's options; [`LogOptions`] says what they mean.
    pub options: BTreeMap<String, String>,
}

/// The log drivers that Orca has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// What the node is set to.
    #[default]
    Default,
    /// Rotated JSON lines on the node.
    JsonFile,
    /// Docker's `local`; here the same file with its defaults (20 MB, 5 files, compressed).
    Local,
    /// systemd's journal, and a local copy for `logs`.
    Journald,
    /// A syslog server, and a local copy for `logs`.
    Syslog,
    /// Nothing is kept.
    None,
}

/// What is wrong with a logging configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LogError {
    /// There is no such driver.
    #[error("logging driver {0:?} is not supported: use json-file, local, journald, syslog or none")]
    Driver(String),
    /// The driver has no such option.
    #[error("logging option {option:?} is not one of {driver}'s")]
    Option {
        /// Which driver.
        driver: &'static str,
        /// Which option.
        option: String,
    },
    /// The option cannot have this value.
    #[error("logging option {option}={value}: {reason}")]
    Value {
        /// Which option.
        option: String,
        /// Its value.
        value: String,
        /// Why not.
        reason: String,
    },
}

impl LogDriver {
    /// The driver of this name.
    ///
    /// # Errors
    /// [`LogError::Driver`], by name.
    pub fn parse(name: &str) -> Result<Self, LogError> {
        Ok(match name {
            "json-file" => Self::JsonFile,
            "local" => Self::Local,
            "journald" => Self::Journald,
            "syslog" => Self::Syslog,
            "none" => Self::None,
            other => return Err(LogError::Driver(other.into())),
        })
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::Journald => "journald",
            Self::Syslog => "syslog",
            Self::None => "none",
        }
    }

    /// Whether it sends lines away, and keeps a copy only for `logs`.
    pub const fn is_remote(self) -> bool {
        matches!(self, Self::Journald | Self::Syslog)
    }

    fn has_option(self, option: &str) -> bool {
        let of_files = ["max-size", "max-file", "compress"].contains(&option);
        let of_lines = ["labels", "labels-regex", "env", "env-regex", "tag"].contains(&option);
        let of_delivery = ["mode", "max-buffer-size"].contains(&option);
        let of_copy = ["cache-disabled", "cache-max-size", "cache-max-file", "cache-compress"].contains(&option);
        let of_syslog = option.starts_with("syslog-");
        match self {
            Self::Default => of_files || of_lines || of_delivery || of_copy || of_syslog,
            Self::JsonFile => of_files || of_lines || of_delivery,
            Self::Local => of_files || of_delivery,
            Self::Journald => of_lines || of_delivery || of_copy,
            Self::Syslog => of_lines || of_delivery || of_copy || of_syslog,
            Self::None => false,
        }
    }
}

impl LogConfig {
    /// What the node's own setting adds: its driver where none is named, and its options where the driver is the same.
    #[must_use]
    pub fn over(mut self, node: &Self) -> Self {
        if self.driver == LogDriver::Default {
            self.driver = if node.driver == LogDriver::Default { LogDriver::JsonFile } else { node.driver };
        }
        if self.driver == node.driver {
            for (option, value) in &node.options {
                self.options.entry(option.clone()).or_insert_with(|| value.clone());
            }
        }
        self
    }

    /// Whether every option is one of the driver's and has a value that it can have; what options mean together is only
    /// known with the node's setting: [`LogOptions::parse`].
    ///
    /// # Errors
    /// The first option that is not.
    pub fn check(&self) -> Result<(), LogError> {
        LogOptions::read(self).map(|_| ())
    }
}

/// Files that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileOptions {
    /// Bytes after which a file is rotated; 0 never rotates.
    pub max_size: u64,
    /// Files kept, the current one included.
    pub max_files: u32,
    /// Whether full ones are compressed.
    pub compress: bool,
}

/// A driver's options, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// The files on the node; `None` keeps none.
    pub file: Option<FileOptions>,
    /// Bytes that may wait before lines are dropped (`mode=non-blocking`); `None`: the container waits for a while.
    pub buffer: Option<u64>,
    /// Template of the tag.
    pub tag: Option<String>,
    /// Labels that are added to each line.
    pub labels: Vec<String>,
    /// So are those whose names match.
    pub labels_regex: Option<String>,
    /// Variables that are added to each line.
    pub env: Vec<String>,
    /// So are those whose names match.
    pub env_regex: Option<String>,
    /// Where a syslog server is.
    pub syslog: SyslogOptions,
}

impl LogOptions {
    /// Reads the options of a driver.
    ///
    /// # Errors
    /// The first that is unknown or cannot be.
    pub fn parse(config: &LogConfig) -> Result<Self, LogError> {
        let options = Self::read(config)?;
        let set = |option: &str| config.options.get(option).map(|value| (option.to_owned(), value.clone()));
        let refuse = |(option, value): (String, String), reason: &str| {
            Err(LogError::Value { option, value, reason: reason.into() })
        };
        if let (Some(size), None) = (set("max-buffer-size"), options.buffer) {
            return refuse(size, "it needs mode=non-blocking");
        }
        let rotates = options.file.is_some_and(|file| file.max_size > 0);
        if let (Some(files), false) = (set("max-file").filter(|(_, value)| value != "1"), rotates) {
            return refuse(files, "it needs max-size: without it no file is ever full");
        }
        let keeps = options.file.is_some_and(|file| file.max_size > 0 && file.max_files > 1);
        if let (Some(compress), false) = (set("compress").filter(|(_, value)| boolean(value) == Some(true)), keeps) {
            return refuse(compress, "it needs max-size, and max-file of 2 or more");
        }
        if let Some((option, reason)) = options.syslog.contradiction() {
            return refuse(set(option).unwrap_or_default(), reason);
        }
        Ok(options)
    }

    fn read(config: &LogConfig) -> Result<Self, LogError> {
        let driver = config.driver;
        let mut options = Self::defaults(driver);
        let mut file = options.file.unwrap_or(LOCAL);
        let mut kept = options.file.is_some();
        let mut buffer = BUFFER;
        let mut non_blocking = false;
        for (option, value) in &config.options {
            if !driver.has_option(option) {
                return Err(LogError::Option { driver: driver.name(), option: option.clone() });
            }
            let refuse =
                |reason: &str| LogError::Value { option: option.clone(), value: value.clone(), reason: reason.into() };
            let yes = || boolean(value).ok_or_else(|| refuse("give true or false"));
            match option.as_str() {
                "max-size" | "cache-max-size" => {
                    file.max_size = size(value).ok_or_else(|| refuse("give a size such as 10m"))?;
                }
                "max-file" | "cache-max-file" => {
                    let count = value.parse().ok().filter(|count| *count > 0);
                    file.max_files = count.ok_or_else(|| refuse("give a number from 1"))?;
                }
                "compress" | "cache-compress" => file.compress = yes()?,
                "cache-disabled" => kept = !yes()?,
                "mode" => {
                    non_blocking = match value.as_str() {
                        "blocking" => false,
                        "non-blocking" => true,
                        _ => return Err(refuse("give blocking or non-blocking")),
                    };
                }
                "max-buffer-size" => {
                    let bytes = size(value).filter(|bytes| *bytes > 0);
                    buffer = bytes.ok_or_else(|| refuse("give a size such as 4m"))?;
                }
                "tag" => options.tag = Some(value.clone()),
                "labels" => options.labels = names(value),
                "labels-regex" => options.labels_regex = Some(value.clone()),
                "env" => options.env = names(value),
                "env-regex" => options.env_regex = Some(value.clone()),
                _ => options.syslog.set(option, value)?,
            }
        }
        options.file = kept.then_some(file);
        options.buffer = non_blocking.then_some(buffer);
        Ok(options)
    }

    fn defaults(driver: LogDriver) -> Self {
        let file = match driver {
            LogDriver::Default | LogDriver::JsonFile => {
                Some(FileOptions { max_size: 0, max_files: 1, compress: false })
            }
            LogDriver::Local | LogDriver::Journald | LogDriver::Syslog => Some(LOCAL),
            LogDriver::None => None,
        };
        Self {
            file,
            buffer: None,
            tag: None,
            labels: Vec::new(),
            labels_regex: None,
            env: Vec::new(),
            env_regex: None,
            syslog: SyslogOptions::default(),
        }
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// As Go reads them.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Docker's sizes: a number, and k, m or g for powers of 1,024. -1 is no limit.
fn size(text: &str) -> Option<u64> {
    if text == "-1" {
        return Some(0);
    }
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match lower.get(digits.len()..)?.trim() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests;
