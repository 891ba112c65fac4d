//! `orca service inspect --pretty`.

use std::fmt::Write;

use model::{EndpointMode, PublishMode, Service, ServiceMode, UpdateConfig};

use crate::clock;
use crate::output::human;

/// A service for people, in Docker's words.
pub fn pretty(service: &Service) -> String {
    let spec = &service.spec;
    let mut text = String::new();
    let mut line = |words: &str, value: &str| {
        let _ = writeln!(text, "{words}{value}");
    };
    line("\nID:\t\t", &service.id.to_string());
    line("Name:\t\t", &spec.name);
    if !spec.labels.is_empty() {
        line("Labels:", "");
        spec.labels.iter().for_each(|(key, value)| line(" ", &format!("{key}={value}")));
    }
    let (word, counts) = match spec.mode {
        ServiceMode::Replicated { replicas } => ("Replicated", vec![format!(" Replicas:\t{replicas}")]),
        ServiceMode::Global => ("Global", Vec::new()),
        ServiceMode::ReplicatedJob { max_concurrent, total_completions } => (
            "Replicated Job",
            vec![format!(" Max Concurrent:\t{max_concurrent}"), format!(" Total Completions:\t{total_completions}")],
        ),
        ServiceMode::GlobalJob => ("Global Job", Vec::new()),
    };
    line("Service Mode:\t", word);
    counts.iter().for_each(|count| line(count, ""));
    if let Some(update) = &service.update {
        line("UpdateStatus:", "");
        line(" State:\t\t", update.state.word());
        line(" Started:\t", &human::ago(update.started_at, clock::now()));
        if update.completed_at.is_set() {
            line(" Completed:\t", &human::ago(update.completed_at, clock::now()));
        }
        line(" Message:\t", &update.message);
    }
    line("Placement:", "");
    let placement = &spec.placement;
    if !placement.constraints.is_empty() {
        let constraints: Vec<String> = placement.constraints.iter().map(ToString::to_string).collect();
        line(" Constraints:\t", &format!("[{}]", constraints.join(" ")));
    }
    if !placement.preferences.is_empty() {
        let spread: Vec<String> = placement.preferences.iter().map(|over| format!("spread={over}")).collect();
        line(" Preferences:\t", &spread.join(", "));
    }
    if placement.max_replicas > 0 {
        line(" Max Replicas Per Node:\t", &placement.max_replicas.to_string());
    }
    for (title, config) in [("UpdateConfig:", spec.update), ("RollbackConfig:", spec.rollback)] {
        if let Some(config) = config.filter(|_| !spec.mode.is_job()) {
            line(title, "");
            update_config(config).iter().for_each(|words| line(" ", words));
        }
    }
    line("ContainerSpec:", "");
    container(service).iter().for_each(|words| line(" ", words));
    line("Resources:", "");
    resources(service).iter().for_each(|words| line(" ", words));
    let networks: Vec<&str> = spec.network.attachments().iter().map(|a| a.network.as_str()).collect();
    if !networks.is_empty() {
        line("Networks: ", &networks.join(" "));
    }
    line("Endpoint Mode:\t", if spec.endpoint_mode == EndpointMode::Vip { "vip" } else { "dnsrr" });
    let ports = if service.endpoint.ports.is_empty() { &spec.ports } else { &service.endpoint.ports };
    if !ports.is_empty() {
        line("Ports:", "");
    }
    for port in ports {
        line(" PublishedPort = ", &port.published.unwrap_or_default().to_string());
        line("  Protocol = ", &port.protocol.to_string());
        line("  TargetPort = ", &port.target.to_string());
        line("  PublishMode = ", if port.mode == PublishMode::Host { "host" } else { "ingress" });
    }
    text.trim_start_matches('\n').to_owned()
}

fn update_config(config: UpdateConfig) -> Vec<String> {
    let mut lines = vec![format!("Parallelism:\t{}", config.parallelism)];
    if !config.delay.is_zero() {
        lines.push(format!("Delay:\t\t{:?}", config.delay));
    }
    lines.push(format!("On failure:\t{}", config.failure_action));
    lines.push(format!("Monitoring Period: {:?}", config.monitor));
    lines.push(format!("Max failure ratio: {}", f64::from(config.max_failure_ratio) / 1e6));
    lines.push(format!("Update order:      {}", config.order));
    lines
}

fn container(service: &Service) -> Vec<String> {
    let container = &service.spec.container;
    let mut lines = vec![format!("Image:\t\t{}", container.image)];
    let mut words = |title: &str, words: &[String]| {
        if !words.is_empty() {
            lines.push(format!("{title}:\t\t{}", words.join(" ")));
        }
    };
    words("Command", container.entrypoint.as_deref().unwrap_or_default());
    words("Args", container.command.as_deref().unwrap_or_default());
    words("Env", &container.env.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>());
    words("Dir", container.working_dir.as_slice());
    words("User", container.user.as_slice());
    lines.push(format!("Init:\t\t{}", container.init));
    for mount in &container.mounts {
        lines.push(format!("Mount:\t\tTarget: {}, ReadOnly: {}", mount.target, mount.read_only));
    }
    for secret in &container.secrets {
        lines.push(format!("Secret:\t\t{} -> {}", secret.secret, secret.file.path));
    }
    for config in &container.configs {
        lines.push(format!("Config:\t\t{} -> {}", config.config, config.file.path));
    }
    lines
}

fn resources(service: &Service) -> Vec<String> {
    let resources = &service.spec.container.resources;
    let cpus = |nano: u64| nano as f64 / 1e9;
    let mut lines = Vec::new();
    let reserved = &resources.reservations;
    if reserved.nano_cpus > 0 || reserved.memory > 0 || !reserved.generic.is_empty() {
        lines.push("Reservations:".to_owned());
        if reserved.nano_cpus > 0 {
            lines.push(format!(" CPU:\t\t{}", cpus(reserved.nano_cpus)));
        }
        if reserved.memory > 0 {
            lines.push(format!(" Memory:\t{}", human::binary_size(reserved.memory)));
        }
        lines.extend(reserved.generic.iter().map(|(kind, count)| format!(" {kind}:\t\t{count}")));
    }
    let limits = &resources.limits;
    if limits.nano_cpus.is_some() || limits.memory.is_some() {
        lines.push("Limits:".to_owned());
        lines.extend(limits.nano_cpus.map(|nano| format!(" CPU:\t\t{}", cpus(nano))));
        lines.extend(limits.memory.map(|bytes| format!(" Memory:\t{}", human::binary_size(bytes))));
    }
    lines
}
