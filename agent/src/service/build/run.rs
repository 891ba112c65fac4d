//! RUN: a container of the stage so far, and what it has changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use api::image as wire;
use image::dockerfile::{Command, Instruction, Run, Scope, shell_form};
use model::{ContainerId, ContainerSpec, HealthTest, Healthcheck, NetworkMode};
use tokio::sync::oneshot;
use wire::build_output::Output;

use super::builder::Builder;
use super::failure::{Failure, Result};
use super::mounts::Mounted;
use super::stage::{Made, Place, Step};
use super::state::State;
use crate::containers::{BUILD_LABEL, Containers, CreateContainer, Reach, WaitCondition};
use crate::files::Task;
use crate::mounts::Contents;
use crate::service::blocking;
use crate::service::upload::Upload;
use crate::shim_client::{self, Event};

/// So much of a failed program's output is told again at the end.
const TAIL: usize = 4 << 10;

impl Builder {
    pub(super) async fn run_step(
        self: &Arc<Builder>,
        place: &mut Place<'_>,
        state: &mut State,
        instruction: &Instruction,
        run: &Run,
    ) -> Result<()> {
        let name = place.title(self.file.stages.len(), &instruction.text);
        let args = argv(state, run);
        let network =
            run.network.clone().or_else(|| self.start.network.clone()).unwrap_or_else(|| "default".to_owned());
        if run.security.as_deref() == Some("insecure") && !self.start.insecure {
            return Err(Failure::invalid("security.insecure is not allowed: --allow security.insecure allows it"));
        }
        let host = &self.options.host;
        if (state.config.os.as_str(), state.config.architecture.as_str())
            != (host.os.as_str(), host.architecture.as_str())
        {
            let (os, architecture) = (&state.config.os, &state.config.architecture);
            return Err(Failure::invalid(format!("RUN of an image for {os}/{architecture} can't be done on {host}")));
        }
        let mounts = self.mounts(state, run)?;
        let mut key = state.key("run");
        let config = &state.config.config;
        key.list(&args).list(&config.env).field(&config.user).field(&config.working_dir);
        key.list(
            state.scope.values().filter(|(name, _)| !Scope::is_proxy(name)).flat_map(|(name, value)| [name, value]),
        );
        key.field(&network).list(run.security.iter());
        key.list(run.heredocs.iter().flat_map(|own| [&own.name, &own.content]));
        let key = self.describe_mounts(&mounts, key).await?;
        let step = Step { name, created_by: history(state, &args), key: key.finish() };
        let snapshot = state.clone();
        let run = run.clone();
        self.step(place, state, step, |number| async move {
            let mounted = self.mount(mounts).await?;
            self.in_container(number, snapshot, run, args, network, mounted).await
        })
        .await
    }

    async fn in_container(
        self: &Arc<Builder>,
        number: u32,
        state: State,
        run: Run,
        args: Vec<String>,
        network: String,
        mounted: Mounted,
    ) -> Result<Made> {
        let image = self.image_of(&state).await?;
        let network = match network.as_str() {
            "none" => NetworkMode::None,
            "host" => NetworkMode::Host,
            _ => NetworkMode::default(),
        };
        let spec = ContainerSpec {
            image,
            entrypoint: Some(Vec::new()),
            command: Some(mounted.command(&args)),
            env: self.variables(&state),
            labels: BTreeMap::from([(BUILD_LABEL.to_owned(), "run".to_owned())]),
            hostname: (network != NetworkMode::Host).then(|| "buildkitsandbox".to_owned()),
            privileged: run.security.as_deref() == Some("insecure"),
            mounts: mounted.mounts.clone(),
            secrets: mounted.secrets.clone(),
            configs: mounted.configs.clone(),
            healthcheck: Some(Healthcheck { test: Some(HealthTest::Disabled), ..Healthcheck::default() }),
            log: model::LogConfig { driver: model::LogDriver::None, ..model::LogConfig::default() },
            ..self.template.clone()
        };
        let contents = Contents { secrets: mounted.secret_data.clone(), configs: mounted.config_data.clone() };
        let (ports, task, publish_all) = (Vec::new(), None, false);
        let request =
            CreateContainer { name: None, spec, network, ports, auto_remove: false, publish_all, task, contents };
        let created = self.containers.create(request).await?;
        let container = Removed { containers: self.containers.clone(), id: Some(created.id) };
        let (code, tail) = self.follow(created.id, number).await?;
        if code != 0 {
            let program = args.join(" ");
            let message = format!("process \"{program}\" did not complete successfully: exit code: {code}");
            container.now().await?;
            return Err(Failure::program(message, tail));
        }
        let made = self.taken(created.id, &mounted).await;
        container.now().await?;
        made
    }

    /// The stage so far as an image that containers can be made from.
    async fn image_of(&self, state: &State) -> Result<String> {
        let mut config = state.config.clone();
        // What is for the finished image is not for the making of it.
        config.config.volumes.clear();
        config.config.exposed_ports.clear();
        config.config.healthcheck = None;
        let image = image::Store::assemble(&config, &state.layers)?;
        Ok(self.hold(image))
    }

    fn variables(&self, state: &State) -> BTreeMap<String, String> {
        let proxies = self.start.args.iter().filter(|(name, _)| Scope::is_proxy(name));
        let mut env: BTreeMap<String, String> = proxies.map(|(name, value)| (name.clone(), value.clone())).collect();
        env.extend(state.scope.values().map(|(name, value)| (name.to_owned(), value.to_owned())));
        env.retain(|name, _| state.config.config.env_value(name).is_none());
        env
    }

    /// Runs the container and passes its output on; its exit code, and the last of what it wrote.
    async fn follow(&self, id: ContainerId, number: u32) -> Result<(i32, String)> {
        let (sender, tail) = (self.client.sender(), Arc::new(Mutex::new(Vec::new())));
        let (done, all) = oneshot::channel();
        let kept = tail.clone();
        let hook = move |bundle: std::path::PathBuf| async move {
            let session = shim_client::attach(&bundle, false).await?;
            tokio::spawn(async move {
                let mut output = session.output;
                while let Ok(Some(event)) = output.next().await {
                    let (text, stderr) = match event {
                        Event::Stdout(bytes) => (bytes, false),
                        Event::Stderr(bytes) => (bytes, true),
                        Event::Exit { .. } => break,
                        _ => continue,
                    };
                    keep_tail(&kept, &text);
                    let log = wire::BuildLog { step: number, text: text.to_vec(), stderr };
                    let message = wire::BuildOutput { output: Some(Output::Log(log)) };
                    if sender.send(Ok(message)).await.is_err() {
                        break;
                    }
                }
                let _ = done.send(());
            });
            Ok(())
        };
        self.containers.start_attached(id, hook).await?;
        let _ = all.await;
        let waited = self.containers.wait(id, WaitCondition::NotRunning).await?;
        let tail = tail.lock().map(|tail| String::from_utf8_lossy(&tail).into_owned()).unwrap_or_default();
        Ok((waited.exit_code, tail))
    }

    /// What the container has changed, as a layer.
    async fn taken(&self, id: ContainerId, mounted: &Mounted) -> Result<Made> {
        let newest = self.start.source_date_epoch;
        let task = Task::Layer { mount_points: mounted.targets.clone(), newest };
        let task = self.containers.files(id, Reach::Layers, task).await?;
        let (failed, failure) = oneshot::channel();
        let upload = Upload::of_task(task, failed);
        let store = self.store.clone();
        let made = blocking("taking what a program has changed", move || Ok(store.add_layer(upload)?)).await;
        match (made, failure.await) {
            (Err(_), Ok(error)) => Err(error.into()),
            (made, _) => Ok(made?),
        }
    }
}

fn keep_tail(tail: &Mutex<Vec<u8>>, text: &[u8]) {
    if let Ok(mut tail) = tail.lock() {
        tail.extend_from_slice(text);
        let over = tail.len().saturating_sub(TAIL);
        tail.drain(..over);
    }
}

/// The program and its arguments. A text below the instruction that stands alone is what the shell is given, or if it begins
/// with `#!` a program of its own; beside a command it is the shell's to read.
fn argv(state: &State, run: &Run) -> Vec<String> {
    let line = match &run.command {
        Command::Exec(args) => return args.clone(),
        Command::Shell(line) => line,
    };
    let alone = run.heredocs.len() == 1 && line.split_whitespace().count() == 1;
    match run.heredocs.first().filter(|_| alone) {
        Some(own) if own.content.starts_with("#!") => vec![format!("{}/{}", super::mounts::SCRIPTS, own.name)],
        Some(own) => shell_form(&state.config.config, &own.content),
        None => {
            let below = run.heredocs.iter().map(|own| format!("\n{}{}", own.content, own.name));
            shell_form(&state.config.config, &format!("{line}{}", below.collect::<String>()))
        }
    }
}

/// As Docker's history has it: `RUN |1 A=b /bin/sh -c make`.
fn history(state: &State, args: &[String]) -> String {
    let values: Vec<String> = state.scope.values().map(|(name, value)| format!("{name}={value}")).collect();
    match values.is_empty() {
        true => format!("RUN {}", args.join(" ")),
        false => format!("RUN |{} {} {}", values.len(), values.join(" "), args.join(" ")),
    }
}

/// Removes a container whatever becomes of the build.
struct Removed {
    containers: Containers,
    id: Option<ContainerId>,
}

impl Removed {
    async fn now(mut self) -> Result<()> {
        if let Some(id) = self.id.take() {
            self.containers.remove(id, true, true).await?;
        }
        Ok(())
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if let (Some(id), Ok(runtime)) = (self.id, tokio::runtime::Handle::try_current()) {
            let containers = self.containers.clone();
            runtime.spawn(async move {
                if let Err(error) = containers.remove(id, true, true).await {
                    tracing::warn!(container = %id.short(), %error, "the container of a build that ended stays");
                }
            });
        }
    }
}
