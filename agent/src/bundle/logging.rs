//! Where a container's output goes: what the options mean for this container. Pure.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use image::manifest::RunConfig;
use model::shim::{LogConfig, LogDriver, RemoteLog, SyslogConfig, SyslogTls};
use model::{LogOptions, SyslogAddress, SyslogOptions, SyslogServer, SyslogTlsOptions, SyslogTransport};
use regex::Regex;

use crate::containers::Record;
use crate::{Error, Result};

/// Docker's tag where none is given.
const TAG: &str = "{{.ID}}";

/// What a log is made from.
pub struct LogFacts<'a> {
    /// The container.
    pub record: &'a Record,
    /// What its image says.
    pub image: &'a RunConfig,
    /// The node's host name.
    pub hostname: &'a str,
    /// The journal's socket.
    pub journal: &'a Path,
    /// The current file.
    pub path: PathBuf,
    /// Finds a syslog server's address.
    pub resolve: &'a dyn Fn(&SyslogOptions) -> Result<SyslogAddress>,
}

/// Refuses what can't be done, before anything is made.
///
/// # Errors
/// The driver's option, by name.
pub fn check(log: &model::LogConfig) -> Result<()> {
    let options = LogOptions::parse(log)?;
    for (name, pattern) in [("labels-regex", &options.labels_regex), ("env-regex", &options.env_regex)] {
        pattern.as_deref().map(|pattern| regex(name, pattern)).transpose()?;
    }
    render(options.tag.as_deref().unwrap_or(TAG), &|_| Some(String::new()))?;
    Ok(())
}

/// Whether there are files that can be read.
pub fn is_kept(log: &model::LogConfig) -> bool {
    LogOptions::parse(log).is_ok_and(|options| options.file.is_some())
}

/// What the shim is told.
///
/// # Errors
/// As [`check`].
pub fn log_config(facts: LogFacts<'_>) -> Result<LogConfig> {
    let log = &facts.record.spec.log;
    let options = LogOptions::parse(log)?;
    let mut attrs = attributes(&facts, &options)?;
    let tag = render(options.tag.as_deref().unwrap_or(TAG), &|name| value(&facts, name))?;
    let remote = match log.driver {
        model::LogDriver::Journald => {
            Some(RemoteLog::Journald { socket: facts.journal.into(), fields: fields(&facts, &attrs, &tag) })
        }
        model::LogDriver::Syslog => {
            let address = (facts.resolve)(&options.syslog)?;
            let SyslogOptions { server, facility, format, tls } = options.syslog;
            let hostname = facts.hostname.into();
            let tls = tls_of(server, tls);
            Some(RemoteLog::Syslog(SyslogConfig { address, facility, format, tag: tag.clone(), hostname, tls }))
        }
        _ => None,
    };
    if options.tag.is_some() {
        attrs.insert("tag".into(), tag);
    }
    let (max_size, max_files, compress) =
        options.file.map_or((0, 0, false), |file| (file.max_size, file.max_files, file.compress));
    let driver = match (options.file, log.driver) {
        (None, _) => LogDriver::None,
        (Some(_), model::LogDriver::JsonFile | model::LogDriver::Default) => LogDriver::JsonFile,
        (Some(_), _) => LogDriver::Local,
    };
    Ok(LogConfig { driver, path: facts.path, max_size, max_files, compress, attrs, remote, buffer: options.buffer })
}

fn tls_of(server: SyslogServer, options: SyslogTlsOptions) -> Option<SyslogTls> {
    let SyslogServer::Remote { transport: SyslogTransport::Tls, host, .. } = server else { return None };
    let SyslogTlsOptions { ca, cert, key, skip_verify } = options;
    Some(SyslogTls { server_name: host, ca, client: cert.zip(key), skip_verify })
}

/// The labels and variables that go with each line.
fn attributes(facts: &LogFacts<'_>, options: &LogOptions) -> Result<BTreeMap<String, String>> {
    let env: BTreeMap<String, String> = facts
        .image
        .env
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .chain(facts.record.spec.env.clone())
        .collect();
    let mut attrs = BTreeMap::new();
    for (all, names, option, pattern) in [
        (&facts.record.labels, &options.labels, "labels-regex", &options.labels_regex),
        (&env, &options.env, "env-regex", &options.env_regex),
    ] {
        let pattern = pattern.as_deref().map(|pattern| regex(option, pattern)).transpose()?;
        let is_wanted =
            |key: &String| names.contains(key) || pattern.as_ref().is_some_and(|pattern| pattern.is_match(key));
        attrs.extend(all.iter().filter(|(key, _)| is_wanted(key)).map(|(key, value)| (key.clone(), value.clone())));
    }
    Ok(attrs)
}

fn regex(option: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|_| {
        let reason = "it is not a regular expression".into();
        Error::Log(model::LogError::Value { option: option.into(), value: pattern.into(), reason })
    })
}

/// The journal's fields, with Docker's names.
fn fields(facts: &LogFacts<'_>, attrs: &BTreeMap<String, String>, tag: &str) -> BTreeMap<String, String> {
    let id = facts.record.id.to_string();
    let mut fields: BTreeMap<String, String> =
        attrs.iter().map(|(key, value)| (field_name(key), value.clone())).filter(|(key, _)| !key.is_empty()).collect();
    fields.extend([
        ("CONTAINER_ID".into(), facts.record.id.short()),
        ("CONTAINER_ID_FULL".into(), id),
        ("CONTAINER_NAME".into(), facts.record.name.clone()),
        ("CONTAINER_TAG".into(), tag.into()),
        ("IMAGE_NAME".into(), facts.record.spec.image.clone()),
        ("SYSLOG_IDENTIFIER".into(), tag.into()),
    ]);
    fields
}

/// A name that the journal takes: capitals, digits and `_`, not beginning with `_` (systemd.journal-fields(7)).
fn field_name(key: &str) -> String {
    let upper = key.to_ascii_uppercase();
    let name: String = upper.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    name.trim_start_matches(|c: char| c == '_' || c.is_ascii_digit()).chars().take(64).collect()
}

/// What a name in a tag's template means for this container.
fn value(facts: &LogFacts<'_>, name: &str) -> Option<String> {
    let record = facts.record;
    let image = record.image_id.clone();
    Some(match name {
        ".ID" => record.id.short(),
        ".FullID" => record.id.to_string(),
        ".Name" => record.name.clone(),
        ".ImageName" => record.spec.image.clone(),
        ".ImageID" => image.trim_start_matches("sha256:").chars().take(12).collect(),
        ".ImageFullID" => image,
        ".Command" => record.args.join(" "),
        ".Hostname" => facts.hostname.into(),
        ".DaemonName" => "orca".into(),
        _ => return None,
    })
}

/// Names that [`value`] knows.
const NAMES: [&str; 9] =
    [".ID", ".FullID", ".Name", ".ImageName", ".ImageID", ".ImageFullID", ".Command", ".Hostname", ".DaemonName"];

/// A tag from its template.
fn render(template: &str, value: &dyn Fn(&str) -> Option<String>) -> Result<String> {
    let refuse =
        |reason: String| Error::Log(model::LogError::Value { option: "tag".into(), value: template.into(), reason });
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or_else(|| refuse("a {{ has no }}".into()))?;
        let name = name.trim();
        let known = NAMES.contains(&name).then(|| value(name)).flatten();
        out.push_str(before);
        out.push_str(&known.ok_or_else(|| refuse(format!("{name:?} is not one of {}", NAMES.join(" "))))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_templates() {
        let value = |name: &str| Some(format!("<{name}>"));
        assert_eq!(render("a/{{ .Name }}/{{.ID}}", &value).unwrap(), "a/<.Name>/<.ID>");
        for (bad, words) in [("{{.Name", "no }}"), ("{{.Nothing}}", "\".Nothing\" is not one of .ID")] {
            let error = render(bad, &value).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn journal_field_names() {
        for (key, name) in [("com.example.a-b", "COM_EXAMPLE_A_B"), ("_x", "X"), ("1a", "A"), ("é", "")] {
            assert_eq!(field_name(key), name);
        }
    }

    #[test]
    fn expressions_are_checked() {
        let options = BTreeMap::from([("env-regex".to_owned(), "(".to_owned())]);
        let log = model::LogConfig { driver: model::LogDriver::JsonFile, options };
        assert!(check(&log).unwrap_err().to_string().contains("env-regex=("));
    }
}
