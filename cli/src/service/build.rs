//! Flags into a spec.

use model::{ContainerSpec, HealthTest, Healthcheck, RestartCondition, ServiceMode, ServiceSpec, UpdateConfig};

use super::args::{Common, CreateArgs, RollbackFlags, UpdateFlags};
use super::values;
use crate::container::{flags, mounts};
use crate::error::{Error, Result};

/// A flag whose value has a reason against it.
pub fn invalid(flag: &'static str, value: &str) -> impl FnOnce(String) -> Error {
    let value = value.chars().take(200).collect();
    move |reason| Error::Flag { flag, value, reason }
}

fn given<T>(present: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *present = change;
    }
}

impl Common {
    /// Puts what is given into the spec; the rest stays.
    pub fn apply(&self, spec: &mut ServiceSpec) -> Result<()> {
        given(&mut spec.endpoint_mode, self.endpoint_mode);
        given(&mut spec.placement.max_replicas, self.replicas_max_per_node);
        self.update.apply(spec.update.get_or_insert_default());
        self.rollback.apply(spec.rollback.get_or_insert_default());
        self.healthcheck(&mut spec.container)?;
        let container = &mut spec.container;
        if let Some(words) = &self.entrypoint {
            container.entrypoint = (!words.is_empty()).then(|| words.clone());
        }
        for (present, change) in [
            (&mut container.hostname, &self.hostname),
            (&mut container.stop_signal, &self.stop_signal),
            (&mut container.user, &self.user),
            (&mut container.working_dir, &self.workdir),
        ] {
            if let Some(change) = change {
                *present = Some(change.clone()).filter(|text| !text.is_empty());
            }
        }
        given(&mut container.init, self.init);
        given(&mut container.read_only, self.read_only);
        given(&mut container.tty, self.tty);
        container.stop_grace_period = self.stop_grace_period.or(container.stop_grace_period);
        container.oom_score_adj = self.oom_score_adj.or(container.oom_score_adj);
        let resources = &mut container.resources;
        resources.limits.nano_cpus = self.limit_cpu.or(resources.limits.nano_cpus);
        resources.limits.memory = self.limit_memory.or(resources.limits.memory).filter(|limit| *limit > 0);
        resources.limits.pids = self.limit_pids.or(resources.limits.pids).filter(|limit| *limit > 0);
        given(&mut resources.reservations.nano_cpus, self.reserve_cpu);
        given(&mut resources.reservations.memory, self.reserve_memory);
        if self.log_driver.is_some() || !self.log_opt.is_empty() {
            container.log = crate::logging::config(self.log_driver.as_deref(), &self.log_opt)?;
        }
        let restart = &mut container.restart;
        given(&mut restart.condition, self.restart_condition);
        restart.delay = self.restart_delay.or(restart.delay);
        restart.window = self.restart_window.or(restart.window);
        restart.max_attempts = self.restart_max_attempts.or(restart.max_attempts).filter(|most| *most > 0);
        Ok(())
    }

    fn healthcheck(&self, container: &mut ContainerSpec) -> Result<()> {
        let mut check = container.healthcheck.take().unwrap_or_default();
        let given = Healthcheck {
            test: self.health_cmd.as_ref().map(|command| HealthTest::Shell(command.clone())),
            interval: self.health_interval,
            timeout: self.health_timeout,
            retries: self.health_retries,
            start_period: self.health_start_period,
            start_interval: self.health_start_interval,
        };
        if self.no_healthcheck {
            if given != Healthcheck::default() {
                return Err(invalid("--no-healthcheck", "")("it conflicts with --health-* options".into()));
            }
            container.healthcheck = Some(Healthcheck { test: Some(HealthTest::Disabled), ..Healthcheck::default() });
            return Ok(());
        }
        let Healthcheck { test, interval, timeout, retries, start_period, start_interval } = given;
        check.test = test.or(check.test);
        check.interval = interval.or(check.interval);
        check.timeout = timeout.or(check.timeout);
        check.retries = retries.or(check.retries);
        check.start_period = start_period.or(check.start_period);
        check.start_interval = start_interval.or(check.start_interval);
        container.healthcheck = Some(check).filter(|check| *check != Healthcheck::default());
        Ok(())
    }
}

impl UpdateFlags {
    fn apply(&self, config: &mut UpdateConfig) {
        given(&mut config.delay, self.update_delay);
        given(&mut config.failure_action, self.update_failure_action);
        given(&mut config.max_failure_ratio, self.update_max_failure_ratio);
        given(&mut config.monitor, self.update_monitor);
        given(&mut config.order, self.update_order);
        given(&mut config.parallelism, self.update_parallelism);
    }
}

impl RollbackFlags {
    fn apply(&self, config: &mut UpdateConfig) {
        given(&mut config.delay, self.rollback_delay);
        given(&mut config.failure_action, self.rollback_failure_action);
        given(&mut config.max_failure_ratio, self.rollback_max_failure_ratio);
        given(&mut config.monitor, self.rollback_monitor);
        given(&mut config.order, self.rollback_order);
        given(&mut config.parallelism, self.rollback_parallelism);
    }
}

/// The restart policy of what does not say any.
fn restarts(mode: ServiceMode) -> RestartCondition {
    if mode.is_job() { RestartCondition::OnFailure } else { RestartCondition::Always }
}

impl CreateArgs {
    /// The service that these flags describe.
    pub fn spec(self, name: String) -> Result<ServiceSpec> {
        let common = self.common.clone();
        let mode = values::mode(&self.mode, common.replicas, common.max_concurrent);
        let mode = mode.map_err(invalid("--mode", &self.mode))?;
        if mode.is_job() && is_update_given(&common) {
            let reason = "a job does not roll: each change of it is a new run".to_owned();
            return Err(invalid("--update-* and --rollback-*", "")(reason));
        }
        let mut spec = ServiceSpec { name, mode, labels: flags::labels(&self.label), ..ServiceSpec::default() };
        spec.placement.constraints = self.constraint;
        spec.placement.preferences = self.placement_pref;
        spec.network = values::networks(self.network).map_err(invalid("--network", ""))?;
        for port in &self.publish {
            spec.ports.extend(values::publish(port).map_err(invalid("--publish", port))?);
        }
        let mut variables = flags::env_files(&self.env_file)?;
        variables.extend(self.env.iter().cloned());
        let env = flags::environment(&variables, |key| std::env::var(key).ok());
        let here =
            std::env::current_dir().map_err(|source| Error::File { action: "find", path: ".".into(), source })?;
        let mount = |text: &String| mounts::long(text, &here).map_err(invalid("--mount", text));
        let mut words = self.image_and_command.into_iter();
        let image = words.next().unwrap_or_default();
        let command: Vec<String> = words.collect();
        spec.container = ContainerSpec {
            image,
            command: (!command.is_empty()).then_some(command),
            env: env.map_err(invalid("--env", &self.env.join(" ")))?,
            labels: flags::labels(&self.container_label),
            group_add: self.group,
            cap_add: self.cap_add,
            cap_drop: self.cap_drop,
            mounts: self.mount.iter().map(mount).collect::<Result<_>>()?,
            secrets: self.secret,
            configs: self.config,
            extra_hosts: self.host,
            dns: self.dns,
            dns_search: self.dns_search,
            dns_options: self.dns_option,
            sysctls: flags::labels(&self.sysctl),
            ulimits: self.ulimit.into_iter().collect(),
            ..ContainerSpec::default()
        };
        spec.container.resources.reservations.generic = self.generic_resource.into_iter().collect();
        spec.container.restart.condition = restarts(mode);
        common.apply(&mut spec)?;
        Ok(spec)
    }
}

/// Whether any flag says how tasks give way.
fn is_update_given(common: &Common) -> bool {
    let (mut update, mut rollback) = (UpdateConfig::default(), UpdateConfig::default());
    common.update.apply(&mut update);
    common.rollback.apply(&mut rollback);
    update != UpdateConfig::default() || rollback != UpdateConfig::default()
}
