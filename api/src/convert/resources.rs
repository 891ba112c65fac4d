//! Health checks, limits, restart policy and logs.

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
        let test = test.map(|test| match test {
            Test::Disabled(_) => model::HealthTest::Disabled,
            Test::Exec(args) => model::HealthTest::Exec(args.values),
            Test::Shell(text) => model::HealthTest::Shell(text),
        });
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
        let model::Limits { nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids } = limits;
        let limits = types::Limits { nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids };
        let model::Reservations { nano_cpus, memory } = reservations;
        Self { limits: Some(limits), reservations: Some(types::Reservations { nano_cpus, memory }) }
    }
}

impl TryFrom<types::Resources> for model::Resources {
    type Error = Error;

    fn try_from(types::Resources { limits, reservations }: types::Resources) -> Result<Self, Error> {
        let types::Limits { nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids } = limits.unwrap_or_default();
        let limits = model::Limits { nano_cpus, cpu_shares, cpuset, memory, memory_swap, pids };
        let types::Reservations { nano_cpus, memory } = reservations.unwrap_or_default();
        Ok(Self { limits, reservations: model::Reservations { nano_cpus, memory } })
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
        Ok(Self { condition: WireEnum::from_number(condition)?, max_attempts, delay, window })
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
        Ok(Self { driver: WireEnum::from_number(driver)?, options })
    }
}
