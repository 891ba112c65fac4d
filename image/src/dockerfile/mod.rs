//! The instructions of `--change`: the Dockerfile instructions that only edit an image's config. Pure.
//!
//! Syntax and meaning are those of the Dockerfile reference (<https://docs.docker.com/reference/dockerfile/>).

mod healthcheck;
#[cfg(test)]
mod tests;
mod words;

use crate::error::{Error, Result};
use crate::manifest::{Healthcheck, RunConfig, Unit};

/// The instructions that `--change` takes.
const CHANGES: &str = "CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR";
/// The longest instruction, in bytes.
const LENGTH_LIMIT: usize = 64 << 10;

/// Why an instruction can't be taken, without its text, which the caller adds.
type Reason = String;

/// Applies one instruction, such as `ENV A=1`, to `config`.
///
/// # Errors
/// [`Error::InvalidChange`] quoting the instruction, with what is wrong with it.
pub fn apply_change(config: &mut RunConfig, text: &str) -> Result<()> {
    let instruction = text.trim();
    apply(config, instruction).map_err(|reason| Error::InvalidChange { text: instruction.to_owned(), reason })
}

fn apply(config: &mut RunConfig, text: &str) -> Result<(), Reason> {
    if text.len() > LENGTH_LIMIT {
        return Err(format!("it is longer than {LENGTH_LIMIT} bytes"));
    }
    let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let name = name.to_ascii_uppercase();
    if rest.is_empty() {
        return Err(if name.is_empty() { "it is empty".to_owned() } else { format!("{name} needs an argument") });
    }
    match name.as_str() {
        "CMD" => config.cmd = Some(command(config, rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(config, rest)),
        "ENV" => {
            for (key, value) in pairs(&name, rest, config)? {
                config.set_env(&key, &value);
            }
        }
        "LABEL" => config.labels.extend(pairs(&name, rest, config)?),
        "EXPOSE" => {
            for word in words::expand_all(rest, config)? {
                config.exposed_ports.extend(ports(&word)?.into_iter().map(|port| (port, Unit {})));
            }
        }
        "HEALTHCHECK" => config.healthcheck = Some(healthcheck::parse(rest)?),
        "ONBUILD" => config.on_build.push(trigger(rest)?),
        "STOPSIGNAL" => config.stop_signal = Some(signal(&words::expand(rest, config)?)?),
        "USER" => config.user = single(&name, &words::expand(rest, config)?)?,
        "VOLUME" => {
            for path in volumes(rest, config)? {
                config.volumes.insert(path, Unit {});
            }
        }
        "WORKDIR" => config.working_dir = working_dir(&config.working_dir, &words::expand(rest, config)?),
        _ => return Err(format!("{name} is not a valid change command: only {CHANGES} are")),
    }
    Ok(())
}

/// JSON form as it is, shell form behind the config's shell.
fn command(config: &RunConfig, text: &str) -> Vec<String> {
    if let Some(argv) = json_form(text) {
        return argv;
    }
    let mut argv = config.shell_prefix();
    argv.push(text.to_owned());
    argv
}

/// A JSON array of strings. As in Docker, anything else is no error but shell form.
fn json_form(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// `K=V …`, or the legacy form `K the whole rest`.
fn pairs(name: &str, text: &str, config: &RunConfig) -> Result<Vec<(String, String)>, Reason> {
    let words = words::split(text)?;
    let is_pair = words.first().is_some_and(|word| word.contains('='));
    if !is_pair {
        let (key, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| format!("{name} must have two arguments"))?;
        return Ok(vec![(words::expand(key, config)?, words::expand(value.trim(), config)?)]);
    }
    words
        .iter()
        .map(|word| {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("can't find = in {word:?}, must be of the form: name=value"))?;
            let key = words::expand(key, config)?;
            if key.is_empty() {
                return Err(format!("{name} names can not be blank"));
            }
            Ok((key, words::expand(value, config)?))
        })
        .collect()
}

/// `80`, `80/udp`, `8000-8010/tcp` as `port/protocol` keys.
fn ports(text: &str) -> Result<Vec<String>, Reason> {
    let invalid = || format!("{text:?} is not a port, port/protocol or first-last/protocol");
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("{protocol:?} is not a protocol: tcp, udp and sctp are"));
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |digits: &str| digits.parse::<u16>().ok().filter(|&port| port > 0).ok_or_else(invalid);
    let (first, last) = (port(first)?, port(last)?);
    if last < first {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn trigger(text: &str) -> Result<String, Reason> {
    let name = text.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match name.as_str() {
        "ONBUILD" => Err("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "FROM" | "MAINTAINER" => Err(format!("{name} isn't allowed as an ONBUILD trigger")),
        _ => Ok(text.to_owned()),
    }
}

fn signal(text: &str) -> Result<String, Reason> {
    let number = text.parse::<u8>().is_ok_and(|number| (1..=64).contains(&number));
    let bare = text.to_ascii_uppercase();
    let bare = bare.strip_prefix("SIG").unwrap_or(&bare);
    let real_time = |offset: &str| offset.parse::<u8>().is_ok_and(|number| number <= 30);
    let named = SIGNALS.contains(&bare)
        || matches!(bare, "RTMIN" | "RTMAX")
        || bare.strip_prefix("RTMIN+").is_some_and(real_time)
        || bare.strip_prefix("RTMAX-").is_some_and(real_time);
    if number || named { Ok(text.to_owned()) } else { Err(format!("{text:?} is not a signal")) }
}

/// The signals of signal(7), without SIG.
const SIGNALS: [&str; 33] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU",
];

fn single(name: &str, text: &str) -> Result<String, Reason> {
    if text.is_empty() || text.contains(char::is_whitespace) {
        return Err(format!("{name} requires exactly one argument"));
    }
    Ok(text.to_owned())
}

fn volumes(text: &str, config: &RunConfig) -> Result<Vec<String>, Reason> {
    let paths = match json_form(text) {
        Some(paths) => paths,
        None => words::expand_all(text, config)?,
    };
    if paths.iter().any(|path| path.trim().is_empty()) {
        return Err("VOLUME specified can not be an empty string".to_owned());
    }
    Ok(paths)
}

/// `path` seen from `current`, cleaned as Go's `path.Clean` does.
fn working_dir(current: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("/{current}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}
