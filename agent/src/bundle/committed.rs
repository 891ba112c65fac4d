//! The other way round: from a container to how its image's containers run. Pure.

use image::manifest::{Healthcheck, RunConfig, Unit};
use model::{HealthTest, MountSource, Protocol};

use crate::containers::Record;

/// What a container of this record runs as, in an image's words: the image's own with what the spec puts over it.
pub fn committed(record: &Record, image: &RunConfig) -> RunConfig {
    let spec = &record.spec;
    let mut config = RunConfig { on_build: Vec::new(), labels: record.labels.clone(), ..image.clone() };
    for (key, value) in &spec.env {
        config.set_env(key, value);
    }
    if let Some(entrypoint) = &spec.entrypoint {
        config.entrypoint = Some(entrypoint.clone()).filter(|words| !words.is_empty());
        // A new entrypoint drops the image's command.
        config.cmd = None;
    }
    if let Some(command) = &spec.command {
        config.cmd = Some(command.clone()).filter(|words| !words.is_empty());
    }
    for (given, kept) in [(&spec.user, &mut config.user), (&spec.working_dir, &mut config.working_dir)] {
        if let Some(given) = given {
            kept.clone_from(given);
        }
    }
    if spec.stop_signal.is_some() {
        config.stop_signal.clone_from(&spec.stop_signal);
    }
    for port in &record.ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        };
        config.exposed_ports.insert(format!("{}/{protocol}", port.target), Unit {});
    }
    let anonymous = |source: &MountSource| matches!(source, MountSource::Volume { name: None, .. });
    for mount in spec.mounts.iter().filter(|mount| anonymous(&mount.source)) {
        config.volumes.insert(mount.target.clone(), Unit {});
    }
    if let Some(check) = &spec.healthcheck {
        config.healthcheck = Some(healthcheck(check, config.healthcheck.take().unwrap_or_default()));
    }
    config
}

fn healthcheck(check: &model::Healthcheck, image: Healthcheck) -> Healthcheck {
    let nanos = |duration: Option<std::time::Duration>, other: i64| {
        duration.map_or(other, |duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
    };
    let test = match &check.test {
        None => image.test,
        Some(HealthTest::Disabled) => vec!["NONE".into()],
        Some(HealthTest::Exec(words)) => std::iter::once("CMD".into()).chain(words.iter().cloned()).collect(),
        Some(HealthTest::Shell(command)) => vec!["CMD-SHELL".into(), command.clone()],
    };
    Healthcheck {
        test,
        interval: nanos(check.interval, image.interval),
        timeout: nanos(check.timeout, image.timeout),
        start_period: nanos(check.start_period, image.start_period),
        start_interval: nanos(check.start_interval, image.start_interval),
        retries: check.retries.map_or(image.retries, i64::from),
    }
}
