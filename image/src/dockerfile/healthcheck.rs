//! `HEALTHCHECK [--interval=…] CMD …` and `HEALTHCHECK NONE`.

use super::instruction::json_form;
use super::{Healthcheck, Reason};

/// The shortest duration Docker takes: one millisecond.
const SHORTEST_NS: i64 = 1_000_000;

pub(super) fn parse(text: &str) -> Result<Healthcheck, Reason> {
    let mut check = Healthcheck::default();
    let mut rest = text;
    while rest.starts_with("--") {
        let (flag, after) = rest.split_once(char::is_whitespace).ok_or("HEALTHCHECK needs CMD or NONE")?;
        apply_flag(&mut check, flag)?;
        rest = after.trim_start();
    }
    let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let command = command.trim();
    match (kind.to_ascii_uppercase().as_str(), command.is_empty()) {
        ("NONE", true) if check == Healthcheck::default() => check.test = vec!["NONE".to_owned()],
        ("NONE", _) => return Err("HEALTHCHECK NONE takes no arguments and no flags".to_owned()),
        ("CMD", true) => return Err("missing command after HEALTHCHECK CMD".to_owned()),
        ("CMD", false) => check.test = test(command),
        (other, _) => return Err(format!("unknown type {other:?} of HEALTHCHECK: CMD and NONE are known")),
    }
    Ok(check)
}

fn test(command: &str) -> Vec<String> {
    match json_form(command) {
        Some(mut argv) => {
            argv.insert(0, "CMD".to_owned());
            argv
        }
        None => vec!["CMD-SHELL".to_owned(), command.to_owned()],
    }
}

fn apply_flag(check: &mut Healthcheck, flag: &str) -> Result<(), Reason> {
    let (name, value) = flag.split_once('=').ok_or_else(|| format!("{flag} needs a value, as in {flag}=30s"))?;
    match name {
        "--interval" => check.interval = duration(value)?,
        "--timeout" => check.timeout = duration(value)?,
        "--start-period" => check.start_period = duration(value)?,
        "--start-interval" => check.start_interval = duration(value)?,
        "--retries" => {
            let retries = value.parse::<u32>().ok().filter(|&count| count >= 1);
            check.retries = retries.ok_or_else(|| format!("--retries must be at least 1, not {value:?}"))?.into();
        }
        _ => return Err(format!("unknown flag {name} of HEALTHCHECK")),
    }
    Ok(())
}

/// A Go duration such as `1m30s` or `1.5h`, in nanoseconds; 0 means the default.
fn duration(text: &str) -> Result<i64, Reason> {
    let invalid = || format!("{text:?} is not a duration such as 30s or 1m30s");
    if text == "0" {
        return Ok(0);
    }
    let mut total: f64 = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let amount: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(|b| !b.is_ascii_digit() && *b != b'.').count();
        let nanoseconds = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(invalid()),
        };
        total += amount * nanoseconds;
        rest = &rest[unit..];
    }
    // 2^62 ns is 146 years; beyond it f64 to i64 would only saturate.
    if total > 4e18 {
        return Err(format!("{text:?} is too long"));
    }
    let total = total.round() as i64;
    if total != 0 && total < SHORTEST_NS {
        return Err(format!("{text:?} is shorter than 1ms"));
    }
    Ok(total)
}
