//! Restart policy, health check, logging and `deploy`.

use model::{
    EndpointMode, HealthTest, Healthcheck, LogConfig, LogDriver, LogError, RestartCondition, RestartPolicy,
    ServiceSpec, UpdateConfig,
};

use super::fields::Fields;
use crate::error::Error;
use crate::node::Node;

/// `deploy.restart_policy`, else `restart`.
pub fn restart(fields: &Fields, errors: &mut Vec<Error>) -> RestartPolicy {
    let mut policy = RestartPolicy::default();
    if let Some(text) = fields.text("restart") {
        let (word, attempts) =
            text.split_once(':').map_or((text.as_str(), None), |(word, attempts)| (word, Some(attempts)));
        policy.condition = match word {
            "no" => RestartCondition::No,
            "always" => RestartCondition::Always,
            "unless-stopped" => RestartCondition::UnlessStopped,
            "on-failure" => RestartCondition::OnFailure,
            _ => {
                fields.invalid(
                    "restart",
                    format!("{text:?} is none of no, always, on-failure[:n], unless-stopped"),
                    errors,
                );
                return policy;
            }
        };
        match attempts.map(str::parse::<u64>) {
            None => {}
            Some(Ok(count)) if policy.condition == RestartCondition::OnFailure => {
                policy.max_attempts = (count > 0).then_some(count)
            }
            Some(_) => {
                fields.invalid("restart", format!("{text:?}: only on-failure takes a number of attempts"), errors)
            }
        }
    }
    let Some(deploy) = fields.nested("deploy").and_then(|deploy| deploy.nested("restart_policy")) else {
        return policy;
    };
    policy = RestartPolicy {
        condition: match deploy.text("condition").as_deref() {
            None | Some("any") => RestartCondition::Always,
            Some("on-failure") => RestartCondition::OnFailure,
            Some("none") => RestartCondition::No,
            Some(other) => {
                deploy.invalid("condition", format!("{other:?} is none of none, on-failure, any"), errors);
                RestartCondition::No
            }
        },
        max_attempts: deploy
            .integer("max_attempts")
            .and_then(|count| u64::try_from(count).ok())
            .filter(|count| *count > 0),
        delay: deploy.duration("delay", errors),
        window: deploy.duration("window", errors),
    };
    deploy.finish(errors);
    policy
}

/// The health check; `disable: true` and `test: [NONE]` switch the image's off.
pub fn healthcheck(fields: &Fields, errors: &mut Vec<Error>) -> Option<Healthcheck> {
    let check = fields.nested("healthcheck")?;
    let disabled = check.flag("disable");
    let words = check.texts("test");
    let test = match words.split_first().map(|(kind, rest)| (kind.as_str(), rest)) {
        _ if disabled => Some(HealthTest::Disabled),
        None => None,
        Some(("NONE", _)) => Some(HealthTest::Disabled),
        Some(("CMD", rest)) if !rest.is_empty() => Some(HealthTest::Exec(rest.to_vec())),
        Some(("CMD-SHELL", [line])) => Some(HealthTest::Shell(line.clone())),
        Some(_) => {
            check.invalid("test", "expected [CMD, PROGRAM, ARGUMENT…], [CMD-SHELL, COMMAND] or [NONE]", errors);
            None
        }
    };
    let spec = Healthcheck {
        test,
        interval: check.duration("interval", errors),
        timeout: check.duration("timeout", errors),
        retries: check.integer("retries").and_then(|count| u32::try_from(count).ok()).filter(|count| *count > 0),
        start_period: check.duration("start_period", errors),
        start_interval: check.duration("start_interval", errors),
    };
    check.finish(errors);
    Some(spec)
}

/// The log driver and its options; without one, the node's.
pub fn log(fields: &Fields, errors: &mut Vec<Error>) -> LogConfig {
    let Some(logging) = fields.nested("logging") else { return LogConfig::default() };
    let driver = match logging.text("driver").as_deref().map(LogDriver::parse) {
        None => LogDriver::Default,
        Some(Ok(driver)) => driver,
        Some(Err(_)) => {
            logging.refuse("driver", Some("only json-file, local, journald, syslog and none"), errors);
            LogDriver::Default
        }
    };
    let options = logging.strings("options");
    let log = LogConfig { driver, options };
    match log.check() {
        Err(LogError::Option { option, .. }) => {
            logging.refuse(&format!("options.{option}"), Some("it is no option of this logging driver"), errors);
        }
        Err(LogError::Value { option, value, reason }) => {
            logging.invalid(&format!("options.{option}"), format!("{value:?}: {reason}"), errors);
        }
        Err(LogError::Driver(_)) | Ok(()) => {}
    }
    logging.finish(errors);
    log
}

/// What `deploy` says of the service as a whole.
pub fn deploy(fields: &Fields, rolls: bool, spec: &mut ServiceSpec, errors: &mut Vec<Error>) {
    if rolls {
        (spec.update, spec.rollback) = (Some(UpdateConfig::default()), Some(UpdateConfig::default()));
    }
    let Some(deploy) = fields.nested("deploy") else { return };
    // Read where they belong: in the number of replicas, `restart` and `resources`.
    for key in ["replicas", "restart_policy", "resources"] {
        deploy.take(key);
    }
    spec.labels = deploy.strings("labels");
    let mode = deploy.text("mode").unwrap_or_else(|| "replicated".into());
    if !["replicated", "global", "replicated-job", "global-job"].contains(&mode.as_str()) {
        let reason = format!("{mode:?} is none of replicated, global, replicated-job, global-job");
        deploy.invalid("mode", reason, errors);
    }
    let ends = matches!(spec.container.restart.condition, RestartCondition::No | RestartCondition::OnFailure);
    if mode.ends_with("-job") && !ends {
        deploy.invalid("mode", "a job restarts its containers on failure or not at all", errors);
    }
    spec.endpoint_mode = match deploy.text("endpoint_mode").as_deref() {
        None | Some("vip") => EndpointMode::Vip,
        Some("dnsrr") => EndpointMode::Dnsrr,
        Some(other) => {
            deploy.invalid("endpoint_mode", format!("{other:?} is neither vip nor dnsrr"), errors);
            EndpointMode::Vip
        }
    };
    if let Some(section) = deploy.nested("placement") {
        placement(&section, spec, errors);
        section.finish(errors);
    }
    for (key, slot) in [("update_config", &mut spec.update), ("rollback_config", &mut spec.rollback)] {
        let Some(section) = deploy.nested(key) else { continue };
        if rolls {
            *slot = Some(update_config(&section, errors));
            section.finish(errors);
        } else {
            let hint = "up makes changed containers anew at once; stack deploy does what this says";
            deploy.refuse(key, Some(hint), errors);
        }
    }
    deploy.finish(errors);
}

fn placement(section: &Fields, spec: &mut ServiceSpec, errors: &mut Vec<Error>) {
    for text in section.texts("constraints") {
        match text.parse() {
            Ok(constraint) => spec.placement.constraints.push(constraint),
            Err(error) => section.invalid("constraints", error.to_string(), errors),
        }
    }
    for (index, node) in section.list("preferences").iter().enumerate() {
        let preference = Fields::new(node, format!("{}[{index}]", section.path("preferences")));
        match preference.text("spread").map(|text| text.parse()) {
            Some(Ok(attribute)) => spec.placement.preferences.push(attribute),
            Some(Err(error)) => preference.invalid("spread", error.to_string(), errors),
            None => preference.invalid("spread", "say over what to spread", errors),
        }
        preference.finish(errors);
    }
    match section.integer("max_replicas_per_node").map(u32::try_from) {
        None => {}
        Some(Ok(most)) => spec.placement.max_replicas = most,
        Some(Err(_)) => section.invalid("max_replicas_per_node", "must not be negative, nor so large", errors),
    }
}

fn update_config(section: &Fields, errors: &mut Vec<Error>) -> UpdateConfig {
    let mut config = UpdateConfig::default();
    match section.integer("parallelism").map(u32::try_from) {
        None => {}
        Some(Ok(parallelism)) => config.parallelism = parallelism,
        Some(Err(_)) => section.invalid("parallelism", "must not be negative, nor so large", errors),
    }
    config.delay = section.duration("delay", errors).unwrap_or(config.delay);
    config.monitor = section.duration("monitor", errors).unwrap_or(config.monitor);
    for key in ["failure_action", "order"] {
        let Some(text) = section.text(key) else { continue };
        let read = match key {
            "order" => text.parse().map(|order| config.order = order),
            _ => text.parse().map(|action| config.failure_action = action),
        };
        if let Err(error) = read {
            section.invalid(key, error.to_string(), errors);
        }
    }
    if let Some(ratio) = section.take("max_failure_ratio").and_then(Node::as_float) {
        match (0.0..=1.0).contains(&ratio) {
            true => config.max_failure_ratio = (ratio * 1e6).round() as u32,
            false => section.invalid("max_failure_ratio", "expected a number from 0 to 1", errors),
        }
    }
    config
}
