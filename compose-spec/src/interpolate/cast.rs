//! The types that interpolated strings take at known paths.

use crate::error::Warning;
use crate::node::{Span, Value};

/// What a string becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Integer,
    Float,
    Boolean,
}

/// The type that the specification wants at a path, where strings are cast.
pub fn target(path: &[&str]) -> Option<Target> {
    use Target::{Boolean, Float, Integer};
    match path {
        ["services", _, rest @ ..] => match rest {
            [
                "cpu_count" | "cpu_period" | "cpu_quota" | "cpu_rt_period" | "cpu_rt_runtime" | "cpu_shares"
                | "oom_score_adj" | "pids_limit" | "scale",
            ] => Some(Integer),
            ["cpu_percent" | "cpus"] => Some(Float),
            ["init" | "oom_kill_disable" | "privileged" | "read_only" | "stdin_open" | "tty"] => Some(Boolean),
            ["depends_on", _, "required" | "restart"] => Some(Boolean),
            ["deploy", "replicas"] => Some(Integer),
            ["deploy", "update_config" | "rollback_config", "parallelism"] => Some(Integer),
            ["deploy", "update_config" | "rollback_config", "max_failure_ratio"] => Some(Float),
            ["deploy", "restart_policy", "max_attempts"] => Some(Integer),
            ["deploy", "placement", "max_replicas_per_node"] => Some(Integer),
            ["healthcheck", "retries"] => Some(Integer),
            ["healthcheck", "disable"] => Some(Boolean),
            ["ports", "[]", "target"] => Some(Integer),
            ["ulimits", _] | ["ulimits", _, "hard" | "soft"] => Some(Integer),
            ["volumes", "[]", "read_only"] | ["volumes", "[]", "volume", "nocopy"] => Some(Boolean),
            _ => None,
        },
        ["networks", _, "external" | "internal" | "attachable" | "enable_ipv4" | "enable_ipv6"] => Some(Boolean),
        ["volumes" | "secrets" | "configs", _, "external"] => Some(Boolean),
        _ => None,
    }
}

/// Casts, warning about the booleans that YAML 1.2 no longer has.
pub fn apply(target: Target, text: &str, at: Span, warnings: &mut Vec<Warning>) -> Result<Value, String> {
    match target {
        Target::Integer => {
            text.parse::<i64>().map(|value| Value::Int(value.into())).map_err(|_| format!("{text:?} is not an integer"))
        }
        Target::Float => text.parse().map(Value::Float).map_err(|_| format!("{text:?} is not a number")),
        Target::Boolean => match text.to_lowercase().as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            word @ ("y" | "yes" | "on" | "n" | "no" | "off") => {
                let value = matches!(word, "y" | "yes" | "on");
                warnings.push(Warning::new(
                    at,
                    format!("{text:?} for boolean is not supported by YAML 1.2, please use `{value}`"),
                ));
                Ok(Value::Bool(value))
            }
            _ => Err(format!("invalid boolean: {text}")),
        },
    }
}
