//! Runs a container's hooks: commands beside its own, after its start and before its stop signal.

use std::sync::Arc;

use model::shim::ExecRequest;
use model::{ContainerId, ContainerSpec, Hook};

use super::Shared;
use crate::health::kept_output;
use crate::shim_client::{self, ShimClientError};
use crate::task::{Event, HookEnd, Turn};
use crate::{Error, Result, random};

/// Code of a process that SIGKILL has ended.
const KILLED: u8 = 137;

impl Shared {
    /// Runs one hook to its end, and says so.
    pub async fn hook(self: Arc<Self>, id: ContainerId, turn: Turn, index: u32, thaw: bool) {
        let Some(record) = self.record(id) else { return };
        let generation = record.life.generation;
        if thaw && let Err(error) = self.executor.set_paused(id, false).await {
            tracing::warn!(container = %record.name, %error, "a paused container was not thawed for its hook");
        }
        let end = match hook_of(&record.spec, turn, index) {
            Some(hook) => self.run_hook(id, turn, index, hook).await,
            None => HookEnd::Passed,
        };
        if let HookEnd::Failed(error) | HookEnd::Cut(error) = &end {
            tracing::warn!(container = %record.name, "{error}");
        }
        self.feed(id, Event::Hooked { generation, turn, index, end });
    }

    async fn run_hook(&self, id: ContainerId, turn: Turn, index: u32, hook: &Hook) -> HookEnd {
        let what = format!("{turn} hook {} ({})", index + 1, hook.command.join(" "));
        match self.exec_hook(id, hook).await {
            Ok((0, _)) => HookEnd::Passed,
            Ok((KILLED, _)) => HookEnd::Cut(format!("{what} was killed")),
            Ok((code, output)) => {
                let output = kept_output(&output);
                let said = output.trim_end();
                let colon = if said.is_empty() { "" } else { ": " };
                HookEnd::Failed(format!("{what} exited with status {code}{colon}{said}"))
            }
            Err(Error::ShimClient(error @ (ShimClientError::NotRunning { .. } | ShimClientError::Lost { .. }))) => {
                HookEnd::Cut(format!("{what} could not go on: {error}"))
            }
            Err(error) => HookEnd::Failed(format!("{what} could not be run: {error}")),
        }
    }

    /// The next daemon runs anew what this one leaves unfinished, so the process must not outlive the connection.
    async fn exec_hook(&self, id: ContainerId, hook: &Hook) -> Result<(u8, Vec<u8>)> {
        let exec = ContainerId::from_random(random::bits256()?).to_string();
        let command = hook.command.join(" ");
        self.tell(id, &format!("exec_create: {command}"), &[("execID", exec.clone())]);
        let bundle = self.executor.paths().bundle(id);
        let (mut session, _) = shim_client::exec(&bundle, request(hook)).await?;
        self.tell(id, &format!("exec_start: {command}"), &[("execID", exec.clone())]);
        let ended = session.output.collect(crate::health::OUTPUT_MAX).await?;
        self.tell(id, "exec_die", &[("execID", exec), ("exitCode", ended.0.to_string())]);
        Ok(ended)
    }
}

fn hook_of(spec: &ContainerSpec, turn: Turn, index: u32) -> Option<&Hook> {
    let hooks = match turn {
        Turn::PostStart => &spec.post_start,
        Turn::PreStop => &spec.pre_stop,
    };
    hooks.get(usize::try_from(index).ok()?)
}

fn request(hook: &Hook) -> ExecRequest {
    ExecRequest {
        args: hook.command.clone(),
        env: hook.env.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        cwd: hook.working_dir.clone(),
        user: hook.user.clone(),
        additional_gids: Vec::new(),
        terminal: false,
        terminal_size: None,
        stdin: false,
        capabilities: None,
        no_new_privileges: None,
        privileged: hook.privileged,
        kill_on_disconnect: true,
    }
}
