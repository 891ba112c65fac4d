//! `orca daemon install`: a systemd service.

use std::path::Path;
use std::process::Command;

use clap::Args;
use model::{LogConfig, LogDriver};

use crate::error::{Error, Result};

/// Arguments of `orca daemon install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    /// Only print the unit
    #[arg(long)]
    print: bool,
}

const UNIT: &str = "/etc/systemd/system/orca.service";

/// The unit's text. Shims and netd outlive the daemon: KillMode=process leaves them running, and Delegate=yes leaves the
/// cgroups below the service's to Orca (systemd.resource-control(5)).
fn unit(program: &Path, data_dir: &Path, run_dir: &Path, log: &LogConfig, flags: &[String]) -> String {
    format!(
        "[Unit]\n\
         Description=Orca container orchestrator\n\
         After=network-online.target\n\
         Wants=network-online.target\n\
         \n\
         [Service]\n\
         Type=notify\n\
         ExecStart=\"{}\" daemon \"--data-dir={}\" \"--run-dir={}\"{}{}\n\
         KillMode=process\n\
         Delegate=yes\n\
         Restart=always\n\
         RestartSec=1\n\
         OOMScoreAdjust=-500\n\
         LimitNOFILE=1048576\n\
         TasksMax=infinity\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        quoted(&program.display().to_string()),
        quoted(&super::absolute(data_dir)),
        quoted(&super::absolute(run_dir)),
        log_flags(log),
        flags.iter().map(|flag| format!(" \"{}\"", quoted(flag))).collect::<String>()
    )
}

/// What goes between quotes where systemd reads a command (systemd.service(5)).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$")
}

/// The flags for what is not the default.
fn log_flags(log: &LogConfig) -> String {
    let driver = (log.driver != LogDriver::Default).then(|| format!(" --log-driver {}", log.driver.name()));
    let options = log.options.iter().map(|(key, value)| format!(" --log-opt \"{}={}\"", quoted(key), quoted(value)));
    driver.into_iter().chain(options).collect()
}

/// Writes the unit, then enables and starts it.
pub fn install(data_dir: &Path, run_dir: &Path, log: &LogConfig, flags: &[String], args: InstallArgs) -> Result<()> {
    let program =
        std::env::current_exe().map_err(|error| Error::Start { action: "be installed", reason: error.to_string() })?;
    let unit = unit(&program, data_dir, run_dir, log, flags);
    if args.print {
        return crate::output::format::write(&unit);
    }
    if !Path::new("/run/systemd/system").is_dir() {
        return Err(Error::Start {
            action: "be installed",
            reason: "this machine was not booted with systemd (sd_booted(3)); see --print for the unit, or run \
                     `orca daemon` from your own init"
                .into(),
        });
    }
    std::fs::write(UNIT, unit).map_err(|source| Error::File { action: "write", path: UNIT.into(), source })?;
    for arguments in [&["daemon-reload"][..], &["enable", "--now", "orca.service"]] {
        let status = Command::new("systemctl").args(arguments).status();
        let status = status.map_err(|source| Error::File { action: "run", path: "systemctl".into(), source })?;
        if !status.success() {
            let reason = format!("`systemctl {}` ended with {status}; see `journalctl -u orca`", arguments.join(" "));
            return Err(Error::Start { action: "be installed", reason });
        }
    }
    eprintln!("orca.service is installed and runs");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_outlive_the_service() {
        let unit = |log| unit(Path::new("/usr/bin/orca"), Path::new("/var/lib/orca"), Path::new("/run/orca"), log, &[]);
        let options = [("tag".to_owned(), "a %\"b\"".to_owned())].into();
        let log = LogConfig { driver: LogDriver::Local, options };
        let logged = unit(&log);
        assert!(logged.contains("/run/orca\" --log-driver local --log-opt \"tag=a %%\\\"b\\\"\"\n"), "{logged}");
        let log = LogConfig::default();
        let unit = unit(&log);
        assert!(unit.contains("\nKillMode=process\n") && unit.contains("\nDelegate=yes\n"));
        assert!(
            unit.contains(
                "\nExecStart=\"/usr/bin/orca\" daemon \"--data-dir=/var/lib/orca\" \"--run-dir=/run/orca\"\n"
            )
        );
    }
}
