//! `orca up` in the foreground: shows the output of every container, and stops the application on Ctrl-C.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::node::{LogRun, LogsRequest};
use model::{ContainerId, ContainerPhase, Stack, Task, Timestamp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::lifecycle;
use super::logs::{Printer, follow};
use super::view::{View, Watch};
use crate::client::Client;
use crate::error::{Error, Result};

/// How to stay.
#[derive(Debug, Clone)]
pub struct Options {
    /// When to stop everything.
    pub abort: Option<Abort>,
    /// Whose exit code is the command's.
    pub exit_code_from: Option<String>,
    /// Names before the lines.
    pub prefix: bool,
    /// Colours.
    pub colour: bool,
    /// Times before the lines.
    pub timestamps: bool,
    /// Grace instead of the specs'.
    pub timeout: Option<Duration>,
    /// Only output since then.
    pub started_at: Timestamp,
    /// Services whose output is shown.
    pub shown: BTreeSet<String>,
}

/// What of one container ends the whole application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// Its end.
    OnExit,
    /// Its end with another code than 0.
    OnFailure,
}

/// Exit code of a command that Ctrl-C ended: 128 + SIGINT.
pub const INTERRUPTED: u8 = 130;

/// What is known of a container's present run.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    started_at: Timestamp,
    ended: bool,
}

/// The application in the foreground.
struct Foreground {
    client: Client,
    project: String,
    keys: Vec<String>,
    options: Options,
    printer: Printer,
    lines: mpsc::Sender<(String, LogRun)>,
    runs: BTreeMap<ContainerId, Run>,
    view: View,
}

/// Stays until every container has ended or the user has had enough.
pub async fn stay(client: &mut Client, stack: &Stack, options: Options) -> Result<()> {
    let (lines, mut records) = mpsc::channel(16);
    let mut foreground = Foreground {
        client: client.clone(),
        project: stack.name.clone(),
        keys: stack.services.iter().map(|service| service.key().to_owned()).collect(),
        printer: Printer::new(options.prefix, options.colour),
        options,
        lines,
        runs: BTreeMap::new(),
        view: View::default(),
    };
    let mut watch = Watch::open(client, &stack.name).await?;
    let error = |source| Error::Terminal { action: "watch for Ctrl-C", source };
    let mut interrupts = signal(SignalKind::interrupt()).map_err(error)?;
    let mut terminations = signal(SignalKind::terminate()).map_err(error)?;
    loop {
        tokio::select! {
            Some((label, record)) = records.recv() => { foreground.printer.print(&label, &record); }
            view = watch.next() => {
                if let Some(end) = foreground.update(view?) {
                    foreground.drain(&mut records).await;
                    return foreground.end(end).await;
                }
            }
            _ = interrupts.recv() => return foreground.stop_or_kill(&mut interrupts, &mut records).await,
            _ = terminations.recv() => return foreground.stop_or_kill(&mut interrupts, &mut records).await,
        }
    }
}

/// Why the foreground ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Every container has ended.
    AllEnded,
    /// One has, and that is to end the others.
    OneEnded { code: i32 },
}

impl Foreground {
    /// Takes a new view in: follows new runs, tells of ended ones.
    fn update(&mut self, view: View) -> Option<End> {
        let mut end = None;
        let services: Vec<_> = self.keys.iter().filter_map(|key| view.service(key)).collect();
        let tasks: Vec<&Task> = services.iter().flat_map(|service| view.current_tasks(service)).collect();
        let shown: BTreeSet<_> =
            services.iter().filter(|service| self.options.shown.contains(service.spec.owner())).map(|s| s.id).collect();
        for task in &tasks {
            let is_shown = shown.contains(&task.service);
            let Some(container) = &task.status.container else { continue };
            let label = task.name.strip_prefix(&self.project).and_then(|n| n.strip_prefix('-')).unwrap_or(&task.name);
            let run = self.runs.entry(container.id).or_default();
            if container.started_at.is_set() && container.started_at > run.started_at {
                *run = Run { started_at: container.started_at, ended: false };
                if is_shown {
                    self.printer.add(label.to_owned());
                    let since = container.started_at.max(self.options.started_at);
                    let request = request(container.id, since, self.options.timestamps);
                    follow(&self.client, request, label.to_owned(), self.lines.clone());
                }
            }
            let over = container.phase == ContainerPhase::Exited || task.status.state.is_terminal();
            if over && !run.ended && run.started_at.is_set() {
                run.ended = true;
                let code = container.exit_code.unwrap_or(0);
                if is_shown {
                    self.printer.remark(label, &format!("exited with code {code}"));
                }
                let aborts = match self.options.abort {
                    Some(Abort::OnExit) => !(code == 0 && is_awaited(&view, task)),
                    Some(Abort::OnFailure) => code != 0,
                    None => false,
                };
                if aborts && end.is_none() {
                    end = Some(End::OneEnded { code });
                }
            }
        }
        let over = |task: &&Task| task.status.state.is_terminal() || task.intent.stopped;
        if end.is_none() && !tasks.is_empty() && tasks.iter().all(over) {
            end = Some(End::AllEnded);
        }
        self.view = view;
        end
    }

    /// Shows what is still on its way.
    async fn drain(&mut self, records: &mut mpsc::Receiver<(String, LogRun)>) {
        while let Ok(Some((label, record))) = tokio::time::timeout(Duration::from_millis(200), records.recv()).await {
            self.printer.print(&label, &record);
        }
        self.printer.finish();
    }

    async fn end(mut self, end: End) -> Result<()> {
        let End::OneEnded { code } = end else { return self.result(0) };
        eprintln!("Aborting on container exit...");
        lifecycle::stop_in_order(&mut self.client, &self.project, &self.keys, self.options.timeout).await?;
        self.view = Watch::open(&mut self.client, &self.project).await?.next().await?;
        self.result(code)
    }

    /// The exit code: that of the service asked for, else the one given.
    fn result(&self, code: i32) -> Result<()> {
        let code = match &self.options.exit_code_from {
            None => code,
            Some(key) => {
                let service = self.view.service(key);
                let task = service.and_then(|service| self.view.current_tasks(service).into_iter().next());
                task.and_then(|task| task.status.container.as_ref()?.exit_code).unwrap_or(1)
            }
        };
        if code == 0 { Ok(()) } else { Err(Error::Exit(u8::try_from(code).unwrap_or(255))) }
    }

    /// Stops gracefully, goes on showing output meanwhile, and kills on a second Ctrl-C.
    async fn stop_or_kill(
        mut self,
        interrupts: &mut tokio::signal::unix::Signal,
        records: &mut mpsc::Receiver<(String, LogRun)>,
    ) -> Result<()> {
        eprintln!("Gracefully stopping... (press Ctrl+C again to force)");
        let (project, keys, timeout) = (self.project.clone(), self.keys.clone(), self.options.timeout);
        let mut client = self.client.clone();
        let mut stop = std::pin::pin!(lifecycle::stop_in_order(&mut client, &project, &keys, timeout));
        loop {
            tokio::select! {
                result = &mut stop => {
                    result?;
                    break;
                }
                Some((label, record)) = records.recv() => { self.printer.print(&label, &record); }
                _ = interrupts.recv() => {
                    eprintln!("Killing...");
                    lifecycle::kill(&mut self.client, &self.view, &keys).await;
                }
            }
        }
        self.drain(records).await;
        Err(Error::Exit(INTERRUPTED))
    }
}

/// Whether another service waits for the end of the task's: then its success is a step on the way, not the end of the application.
fn is_awaited(view: &View, task: &Task) -> bool {
    let Some(service) = view.services.iter().find(|service| service.id == task.service) else { return false };
    let waits =
        |other: &model::Service| {
            other.spec.depends_on.get(service.spec.key()).is_some_and(|dependency| {
                dependency.condition == model::DependencyCondition::ServiceCompletedSuccessfully
            })
        };
    view.services.iter().any(waits)
}

fn request(container: ContainerId, since: Timestamp, timestamps: bool) -> LogsRequest {
    LogsRequest {
        container: container.to_string(),
        follow: true,
        tail: None,
        since: Some(since.0),
        until: None,
        stdout: true,
        stderr: true,
        timestamps,
        details: false,
    }
}
