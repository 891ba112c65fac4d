//! Health checks, limits, restart policy and logs.

use std::time::Duration;

use super::{WireEnum, list, nanos, or_default};
use crate::{Error, types};

impl From<model::Healthcheck> for types::Healthcheck {
    fn from(check: model::Healthcheck) -> Self {
        use types::healthcheck::Test;
        let model::Healthcheck { test, interval, timeout, retries, start_period, start_interval } = check;
        let test = test.map(|test| match test {
            model::HealthTest::Disabled => Test::Disabled(true),
            model::HealthTest::Exec(args) => Test::Exec(list(args)),
            model::HealthTest::Shell(text) => Test::Shell(text),
        });
        Self {
            test,
            interval: interval.map(nanos),
            timeout: timeout.map(nanos),
            retries,
            start_period: start_period.map(nanos),
            start_interval: start_interval.map(nanos),
        }
    }
}

impl TryFrom<types::Healthcheck> for model::Healthcheck {
    type Error = Error;

    fn try_from(check: types::Healthcheck) -> Result<Self, Error> {
        use types::healthcheck::Test;
        let types::Healthcheck { test, interval, timeout, retries, start_period, start_interval } = check;
        let test = match test {
            None => None,
            Some(Test::Disabled(true)) => Some(model::HealthTest::Disabled),
            Some(Test::Disabled(false)) => return Err(Error::invalid("healthcheck.disabled", false)),
            Some(Test::Exec(types::StringList { values })) => Some(model::HealthTest::Exec(values)),
            Some(Test::Shell(text)) => Some(model::HealthTest::Shell(text)),
        };
        Ok(Self {
            test,
            interval: interval.map(Duration::from_nanos),
            timeout: timeout.map(Duration::from_nanos),
            retries,
            start_period: start_period.map(Duration::from_nanos),
            start_interval: start_interval.map(Duration::from_nanos),
        })
    }
}

impl From<model::Resources> for types::Resources {
    fn from(model::Resources { limits, reservations }: model::Resources) -> Self {
        Self { limits: Some(limits.into()), reservations: Some(reservations.into()) }
    }
}

impl TryFrom<types::Resources> for model::Resources {
    type Error = Error;

    fn try_from(types::Resources { limits, reservations }: types::Resources) -> Result<Self, Error> {
        Ok(Self { limits: or_default(limits)?, reservations: or_default(reservations)? })
    }
}

impl From<model::RestartPolicy> for types::RestartPolicy {
    fn from(model::RestartPolicy { condition, max_attempts, delay, window }: model::RestartPolicy) -> Self {
        Self { condition: condition.number(), max_attempts, delay: delay.map(nanos), window: window.map(nanos) }
    }
}

impl TryFrom<types::RestartPolicy> for model::RestartPolicy {
    type Error = Error;

    fn try_from(policy: types::RestartPolicy) -> Result<Self, Error> {
        let types::RestartPolicy { condition, max_attempts, delay, window } = policy;
        let (delay, window) = (delay.map(Duration::from_nanos), window.map(Duration::from_nanos));
        Ok(Self { condition: WireEnum::from_number("restart.condition", condition)?, max_attempts, delay, window })
    }
}

impl From<model::LogConfig> for types::LogConfig {
    fn from(model::LogConfig { driver, options }: model::LogConfig) -> Self {
        Self { driver: driver.number(), options }
    }
}

impl TryFrom<types::LogConfig> for model::LogConfig {
    type Error = Error;

    fn try_from(types::LogConfig { driver, options }: types::LogConfig) -> Result<Self, Error> {
        Ok(Self { driver: WireEnum::from_number("log.driver", driver)?, options })
    }
}
