//! AppArmor profiles that containers have, and Docker's, which is loaded for those that name none. (apparmor.d(5))

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bundle::DEFAULT_PROFILE;
use crate::{Error, Result};

/// Whether the kernel heeds it.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// What is loaded: lines of `NAME (MODE)`.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// The compiler of profiles, which comes with every distribution that has AppArmor.
const PARSERS: [&str; 2] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The rules.
const RULES: &str = include_str!("apparmor/docker-default");

/// Whether AppArmor is active.
pub fn is_active() -> bool {
    fs::read_to_string(ENABLED).is_ok_and(|text| text.trim() == "Y") && Path::new(LOADED).exists()
}

/// Sees to it that the default profile is loaded, and tells whether it is. Blocks.
///
/// # Errors
/// None: a node whose AppArmor has no compiler of profiles runs containers without, as Docker does.
pub fn load() -> Result<bool> {
    let loaded = ready(DEFAULT_PROFILE);
    if let Err(error) = &loaded {
        tracing::warn!(%error, "containers that name no AppArmor profile are not confined by one");
    }
    Ok(loaded.is_ok())
}

/// Refuses a profile that the kernel does not have; the default one is loaded. Blocks.
///
/// # Errors
/// [`Error::Spec`] naming it, [`Error::Io`].
pub fn ready(profile: &str) -> Result<()> {
    let loaded = fs::read_to_string(LOADED).map_err(Error::io("read", LOADED))?;
    if loaded.lines().any(|line| line.rsplit_once(" (").is_some_and(|(name, _)| name == profile)) {
        return Ok(());
    }
    let refused = |reason| Error::Spec { key: "apparmor profile", value: profile.into(), reason };
    if profile != DEFAULT_PROFILE {
        return Err(refused("it is not loaded into the kernel: load it with apparmor_parser -r".into()));
    }
    let parser = PARSERS.iter().find(|path| Path::new(path).exists());
    let parser =
        parser.ok_or_else(|| refused("it can't be loaded without apparmor_parser: install apparmor".into()))?;
    parse(parser).map_err(|reason| refused(format!("it can't be loaded: {parser}: {reason}")))
}

/// Has the rules compiled and loaded, by a program that may hang.
fn parse(parser: &str) -> std::result::Result<(), String> {
    let mut command = Command::new(parser);
    // Whatever is in the cache may be of another kernel.
    command.args(["--skip-cache", "--replace"]).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // They fit into a pipe; one that does not read them says why.
        let _ = stdin.write_all(RULES.as_bytes());
    }
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            ended => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(ended.err().map_or_else(|| "it does not come to an end".into(), |error| error.to_string()));
            }
        }
    };
    if status.success() {
        return Ok(());
    }
    let mut said = String::new();
    let _ = child.stderr.take().map(|stderr| stderr.take(4096).read_to_string(&mut said));
    Err(format!("{status}: {}", said.trim().replace('\n', "; ")))
}
