//! Health checks: when to probe and what the answers mean. Pure; the probes themselves run in the shim.
//!
//! The rules are Docker's (Dockerfile reference, HEALTHCHECK): the first probe comes one interval after the start, the
//! next one an interval after the last ended; failures in the start period do not count until a probe has passed.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Health, HealthTest, Healthcheck, Timestamp};

use crate::task::Now;

/// Probes that are remembered.
pub const LOG_LEN: usize = 5;
/// Bytes of a probe's output that are kept.
pub const OUTPUT_MAX: usize = 4096;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_START_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_RETRIES: u32 = 3;

/// A check with everything resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The probe's command line.
    pub args: Vec<String>,
    /// Between probes.
    pub interval: Duration,
    /// A probe that takes longer has failed.
    pub timeout: Duration,
    /// So many failures in a row mean unhealthy.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    pub start_period: Duration,
    /// Between probes in the start period.
    pub start_interval: Duration,
}

/// One probe that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Its start.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// Code of its process; -1 when it took too long or could not be run.
    pub exit_code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

impl Check {
    /// The check of a container: the spec's values over the image's over Docker's defaults; `None` when there is none.
    /// `shell` is what runs a shell-form test.
    pub fn of(spec: Option<&Healthcheck>, image: Option<&Healthcheck>, shell: &[String]) -> Option<Self> {
        let either = |get: fn(&Healthcheck) -> Option<Duration>| {
            spec.and_then(get).or_else(|| image.and_then(get)).filter(|duration| !duration.is_zero())
        };
        let test = spec.and_then(|check| check.test.as_ref()).or_else(|| image?.test.as_ref())?;
        let args = match test {
            HealthTest::Disabled => return None,
            HealthTest::Exec(args) if args.is_empty() => return None,
            HealthTest::Exec(args) => args.clone(),
            HealthTest::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
        };
        let retries = spec.and_then(|check| check.retries).or_else(|| image?.retries).filter(|count| *count > 0);
        Some(Self {
            args,
            interval: either(|check| check.interval).unwrap_or(DEFAULT_INTERVAL),
            timeout: either(|check| check.timeout).unwrap_or(DEFAULT_TIMEOUT),
            retries: retries.unwrap_or(DEFAULT_RETRIES),
            start_period: either(|check| check.start_period).unwrap_or(Duration::ZERO),
            start_interval: either(|check| check.start_interval).unwrap_or(DEFAULT_START_INTERVAL),
        })
    }
}

/// The health of one run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    check: Check,
    started: Duration,
    /// When to probe next; `None` while a probe runs.
    next: Option<Duration>,
    failures: u32,
    health: Health,
    log: VecDeque<Probe>,
}

impl Monitor {
    /// For a run that began just now.
    pub fn new(check: Check, now: Now) -> Self {
        let mut monitor = Self {
            check,
            started: now.monotonic,
            next: None,
            failures: 0,
            health: Health::Starting,
            log: VecDeque::new(),
        };
        monitor.next = Some(now.monotonic + monitor.pause(now));
        monitor
    }

    /// For a run that an earlier daemon watched: its verdict stands until the first probe, which is due at once.
    pub fn adopt(check: Check, verdict: Health, now: Now) -> Self {
        let health = if verdict == Health::None { Health::Starting } else { verdict };
        Self { next: Some(now.monotonic), health, ..Self::new(check, now) }
    }

    /// The verdict.
    pub fn health(&self) -> Health {
        self.health
    }

    /// The last probes, oldest first.
    pub fn log(&self) -> impl Iterator<Item = &Probe> {
        self.log.iter()
    }

    /// When [`begin`](Self::begin) is worth calling next.
    pub fn deadline(&self) -> Option<Duration> {
        self.next
    }

    /// The check to run now, if one is due; the answer must come back through [`finish`](Self::finish).
    pub fn begin(&mut self, now: Now) -> Option<Check> {
        self.next.filter(|next| *next <= now.monotonic)?;
        self.next = None;
        Some(self.check.clone())
    }

    /// Takes a probe's answer.
    pub fn finish(&mut self, probe: Probe, now: Now) {
        if probe.exit_code == 0 {
            self.failures = 0;
            self.health = Health::Healthy;
        } else if self.health != Health::Starting || !self.in_start_period(now) {
            self.failures = self.failures.saturating_add(1);
            if self.failures >= self.check.retries {
                self.health = Health::Unhealthy;
            }
        }
        if self.log.len() == LOG_LEN {
            self.log.pop_front();
        }
        self.log.push_back(probe);
        self.next = Some(now.monotonic + self.pause(now));
    }

    fn in_start_period(&self, now: Now) -> bool {
        now.monotonic.saturating_sub(self.started) < self.check.start_period
    }

    fn pause(&self, now: Now) -> Duration {
        if self.health == Health::Starting && self.in_start_period(now) {
            self.check.start_interval
        } else {
            self.check.interval
        }
    }
}

/// The part of a probe's output that is kept.
pub fn kept_output(output: &[u8]) -> String {
    String::from_utf8_lossy(&output[..output.len().min(OUTPUT_MAX)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u64) -> Now {
        Now { monotonic: Duration::from_secs(seconds), wall: Timestamp(1) }
    }

    fn probe(exit_code: i32) -> Probe {
        Probe { start: Timestamp(1), end: Timestamp(2), exit_code, output: String::new() }
    }

    fn check(start_period: u64) -> Check {
        let spec = Healthcheck {
            test: Some(HealthTest::Shell("true".into())),
            interval: Some(Duration::from_secs(10)),
            start_period: Some(Duration::from_secs(start_period)),
            ..Healthcheck::default()
        };
        Check::of(Some(&spec), None, &["/bin/sh".into(), "-c".into()]).unwrap()
    }

    #[test]
    fn defaults_are_dockers_and_the_image_fills_gaps() {
        let check = check(0);
        assert_eq!(check.args, ["/bin/sh", "-c", "true"]);
        assert_eq!((check.timeout, check.retries), (DEFAULT_TIMEOUT, 3));
        let image = Healthcheck { test: Some(HealthTest::Exec(vec!["a".into()])), ..Healthcheck::default() };
        let off = Healthcheck { test: Some(HealthTest::Disabled), ..Healthcheck::default() };
        assert_eq!(Check::of(None, Some(&image), &[]).unwrap().args, ["a"]);
        assert_eq!(Check::of(Some(&off), Some(&image), &[]), None);
        assert_eq!(Check::of(None, None, &[]), None);
    }

    #[test]
    fn so_many_failures_in_a_row_are_needed() {
        let mut monitor = Monitor::new(check(0), now(0));
        assert_eq!(monitor.begin(now(9)), None);
        for (at, code, health) in [
            (10, 1, Health::Starting),
            (20, 1, Health::Starting),
            (30, 0, Health::Healthy),
            (40, 1, Health::Healthy),
            (50, 1, Health::Healthy),
            (60, 1, Health::Unhealthy),
            (70, 0, Health::Healthy),
        ] {
            assert!(monitor.begin(now(at)).is_some(), "{at}");
            assert_eq!(monitor.deadline(), None);
            monitor.finish(probe(code), now(at));
            assert_eq!(monitor.health(), health, "{at}");
        }
        assert_eq!(monitor.log().count(), LOG_LEN);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let mut monitor = Monitor::new(check(60), now(0));
        for at in (5..60).step_by(5) {
            assert!(monitor.begin(now(at)).is_some(), "{at}");
            monitor.finish(probe(1), now(at));
        }
        assert_eq!(monitor.health(), Health::Starting);
        for at in [60, 70, 80] {
            assert!(monitor.begin(now(at)).is_some(), "{at}");
            monitor.finish(probe(1), now(at));
        }
        assert_eq!(monitor.health(), Health::Unhealthy);
    }

    #[test]
    fn an_adopted_run_keeps_its_verdict_and_is_probed_at_once() {
        let mut monitor = Monitor::adopt(check(0), Health::Healthy, now(100));
        assert_eq!(monitor.health(), Health::Healthy);
        assert!(monitor.begin(now(100)).is_some());
    }
}
