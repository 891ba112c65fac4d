//! Durations, sizes and states in the words of Docker's tables.

use std::time::Duration;

use api::node::Container;
use api::types::{ContainerPhase, ContainerStatus, Health, PortSpec, Protocol};
use model::Timestamp;

/// A duration in words (`About a minute`, `3 hours`), as Docker's go-units has it.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours) = (seconds / 60, (seconds + 1800) / 3600);
    match seconds {
        0 => "Less than a second".into(),
        1 => "1 second".into(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".into(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".into(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", hours / 24 / 365),
    }
}

/// `3 hours ago`.
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    format!("{} ago", duration(now.since(at)))
}

/// A size with three significant digits in powers of 1,000, as Docker's tables have it.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        v if unit == 0 || v >= 99.95 => 0,
        v if v >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[unit])
}

/// A size with four significant digits in powers of 1,024, as `docker stats` has it.
pub fn binary_size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = match value {
        v if v >= 999.5 => 0,
        v if v >= 99.95 => 1,
        v if v >= 9.995 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", units[unit])
}

/// The STATUS column: `Up 5 minutes (healthy)`, `Exited (0) 2 hours ago`.
pub fn status(status: &ContainerStatus, now: Timestamp) -> String {
    let up = || format!("Up {}", duration(now.since(Timestamp(status.started_at))));
    let code = status.exit_code.unwrap_or(0);
    match status.phase() {
        ContainerPhase::Created => "Created".into(),
        ContainerPhase::Running => match status.health() {
            Health::None => up(),
            Health::Starting => format!("{} (health: starting)", up()),
            Health::Healthy => format!("{} (healthy)", up()),
            Health::Unhealthy => format!("{} (unhealthy)", up()),
        },
        ContainerPhase::Paused => format!("{} (Paused)", up()),
        ContainerPhase::Restarting => {
            format!("Restarting ({code}) {}", ago(Timestamp(status.finished_at), now))
        }
        ContainerPhase::Exited => format!("Exited ({code}) {}", ago(Timestamp(status.finished_at), now)),
        ContainerPhase::Removing => "Removal In Progress".into(),
        ContainerPhase::Dead => "Dead".into(),
    }
}

/// A container's state in Docker's one word.
pub fn state(status: &ContainerStatus) -> &'static str {
    match status.phase() {
        ContainerPhase::Created => "created",
        ContainerPhase::Running => "running",
        ContainerPhase::Paused => "paused",
        ContainerPhase::Restarting => "restarting",
        ContainerPhase::Exited => "exited",
        ContainerPhase::Removing => "removing",
        ContainerPhase::Dead => "dead",
    }
}

/// Health in Docker's one word; empty without a check.
pub fn health(status: &ContainerStatus) -> &'static str {
    match status.health() {
        Health::None => "",
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// Whether the container counts as up, between two runs of its restart policy too.
pub fn is_up(container: &Container) -> bool {
    let phase = container.status.as_ref().map(ContainerStatus::phase);
    matches!(phase, Some(ContainerPhase::Running | ContainerPhase::Paused | ContainerPhase::Restarting))
}

/// `tcp`, `udp` or `sctp`.
pub fn protocol(port: &PortSpec) -> &'static str {
    match port.protocol() {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// The addresses of the host that a port is published on, as Docker lists them: all of both families where none is named,
/// as far as something answers there. On IPv6, TCP reaches every container, the rest those that have IPv6.
pub fn host_addresses(container: &Container, port: &PortSpec) -> Vec<String> {
    if let Some(ip) = &port.host_ip {
        return vec![ip.clone()];
    }
    let has = |v6: bool| {
        let addresses = container.attachments.iter().flat_map(|attachment| &attachment.addresses);
        addresses.into_iter().any(|address| address.contains(':') == v6)
    };
    let four = (has(false) || !has(true)).then(|| "0.0.0.0".into());
    let six = (has(true) || port.protocol() == Protocol::Tcp).then(|| "::".into());
    four.into_iter().chain(six).collect()
}

/// An address before a port: IPv6 in brackets.
pub fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

/// The PORTS column: `0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`; empty unless the container runs.
pub fn ports(container: &Container) -> String {
    if !is_up(container) {
        return String::new();
    }
    let text = |port: &PortSpec| match port.published {
        Some(published) => {
            let target = format!("{published}->{}/{}", port.target, protocol(port));
            let at = |ip: String| format!("{}:{target}", bracketed(&ip));
            host_addresses(container, port).into_iter().map(at).collect()
        }
        None => vec![format!("{}/{}", port.target, protocol(port))],
    };
    let own = exposed(container).into_iter().filter(|exposed| !container.ports.iter().any(|port| is(port, exposed)));
    container.ports.iter().flat_map(text).chain(own).collect::<Vec<_>>().join(", ")
}

/// The ports that a container says it has, as `80/tcp`, published or not.
pub fn exposed(container: &Container) -> Vec<String> {
    container.spec.as_ref().map(|spec| spec.exposed.clone()).unwrap_or_default()
}

fn is(port: &PortSpec, exposed: &str) -> bool {
    format!("{}/{}", port.target, protocol(port)) == exposed
}

/// The COMMAND column: quoted, at most 20 characters unless `whole`.
pub fn command(args: &[String], whole: bool) -> String {
    let text = args.join(" ");
    if whole || text.chars().count() <= 20 {
        return format!("{text:?}");
    }
    let short: String = text.chars().take(19).collect();
    format!("{:?}", short + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_docker() {
        let text = |seconds| duration(Duration::from_secs(seconds));
        assert_eq!(text(0), "Less than a second");
        assert_eq!(text(59), "59 seconds");
        assert_eq!(text(60), "About a minute");
        assert_eq!(text(45 * 60), "45 minutes");
        assert_eq!(text(3600), "About an hour");
        assert_eq!(text(47 * 3600), "47 hours");
        assert_eq!(text(48 * 3600), "2 days");
        assert_eq!(text(14 * 86_400), "2 weeks");
        assert_eq!(text(60 * 86_400), "2 months");
        assert_eq!(text(730 * 86_400), "2 years");
    }

    #[test]
    fn sizes_as_docker() {
        assert_eq!(size(0), "0B");
        assert_eq!(size(999), "999B");
        assert_eq!(size(1000), "1kB");
        assert_eq!(size(1_234_567), "1.23MB");
        assert_eq!(size(77_800_000), "77.8MB");
        assert_eq!(size(999_600_000), "1GB");
        assert_eq!(size(100), "100B");
        assert_eq!(size(187_000_000), "187MB");
    }

    #[test]
    fn binary_sizes_as_docker() {
        assert_eq!(binary_size(0), "0B");
        assert_eq!(binary_size(1024), "1KiB");
        assert_eq!(binary_size(1_572_864), "1.5MiB");
        assert_eq!(binary_size(16_775_921_664), "15.62GiB");
        assert_eq!(binary_size(1013 << 20), "1013MiB");
        assert_eq!(binary_size(123_456), "120.6KiB");
    }

    #[test]
    fn commands_are_shortened() {
        assert_eq!(command(&["/bin/sh".into()], false), "\"/bin/sh\"");
        assert_eq!(command(&["/docker-entrypoint.sh".into(), "nginx".into()], false), "\"/docker-entrypoint.…\"");
    }
}
