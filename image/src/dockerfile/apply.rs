//! What instructions make of an image's config, and nothing else.

use super::{Command, Expander, Kind, Reason};
use crate::manifest::{RunConfig, Unit};

/// Applies an instruction that only edits the config; the others leave it alone.
///
/// # Errors
/// What is wrong with the instruction.
pub fn apply(config: &mut RunConfig, kind: &Kind, expander: &Expander<'_>) -> Result<(), Reason> {
    match kind {
        Kind::Cmd(own) => config.cmd = Some(command(config, own)),
        Kind::Entrypoint(own) => config.entrypoint = Some(command(config, own)),
        Kind::Env(pairs) => {
            for (key, value) in expanded(pairs, expander)? {
                config.set_env(&key, &value);
            }
        }
        Kind::Label(pairs) => config.labels.extend(expanded(pairs, expander)?),
        Kind::Expose(words) => {
            for word in expander.all(words)? {
                config.exposed_ports.extend(ports(&word)?.into_iter().map(|port| (port, Unit {})));
            }
        }
        Kind::Healthcheck(check) => config.healthcheck = Some(check.clone()),
        Kind::Onbuild(trigger) => config.on_build.push(trigger.clone()),
        Kind::Stopsignal(text) => config.stop_signal = Some(signal(&expander.word(text)?)?),
        Kind::Shell(shell) => config.shell = Some(shell.clone()),
        Kind::User(text) => config.user = single("USER", &expander.word(text)?)?,
        Kind::Volume(words) => {
            for word in words {
                let path = expander.word(word)?;
                if path.trim().is_empty() {
                    return Err("VOLUME specified can not be an empty string".to_owned());
                }
                config.volumes.insert(path, Unit {});
            }
        }
        Kind::Workdir(text) => set_working_dir(config, &expander.word(text)?),
        Kind::From { .. } | Kind::Arg(_) | Kind::Run(_) | Kind::Copy(_) | Kind::Maintainer(_) => {}
    }
    Ok(())
}

fn expanded(pairs: &[(String, String)], expander: &Expander<'_>) -> Result<Vec<(String, String)>, Reason> {
    let pair = |(key, value): &(String, String)| {
        let key = expander.word(key)?;
        if key.is_empty() {
            return Err("names can not be blank".to_owned());
        }
        Ok((key, expander.word(value)?))
    };
    pairs.iter().map(pair).collect()
}

/// JSON form as it is, shell form behind the config's shell.
fn command(config: &RunConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(argv) => argv.clone(),
        Command::Shell(line) => shell_form(config, line),
    }
}

/// A shell-form command as it is run.
pub fn shell_form(config: &RunConfig, line: &str) -> Vec<String> {
    let mut argv = config.shell_prefix();
    argv.push(line.to_owned());
    argv
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

/// Changes the working directory to `path`, seen from the present one.
pub fn set_working_dir(config: &mut RunConfig, path: &str) {
    config.working_dir = match path.starts_with('/') {
        true => clean(path),
        false => clean(&format!("{}/{path}", config.working_dir)),
    };
}

/// An absolute path, cleaned as Go's `path.Clean` does.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}
