//! Programs beside Orca that provide services (`provider:`) and run models (`models:`), by Docker Compose's protocol: the program is run as
//! `PROGRAM compose --project-name=NAME up|down|stop [--OPTION=VALUE]… SERVICE` and answers in JSON, one message a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use compose_spec::{Project, Provider, Variables};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, Command};

use super::dry_run::{self, Step};
use super::lifecycle;
use super::project::{Loaded, ProjectArgs};
use crate::client::Client;
use crate::error::{Error, Result};
use crate::output::table::printable;

/// Longest message, and longest answer to a question, in bytes.
const MESSAGE_MAX: u64 = 1 << 20;

/// Where Docker keeps plug-ins of its command line for everybody.
const PLUGINS: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];

/// What a provider is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Make the service be there.
    Up,
    /// Remove it.
    Down,
    /// Let it rest.
    Stop,
}

impl Verb {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Stop => "stop",
        }
    }
}

/// Variables that a provider has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provided {
    /// Dependents get them with the service's name before.
    prefixed: BTreeMap<String, String>,
    /// Dependents get them as they are.
    raw: BTreeMap<String, String>,
}

/// The program of a kind: `orca-KIND` in PATH, Docker's plug-in `docker-KIND`, else KIND itself in PATH.
pub fn find(kind: &str) -> Option<PathBuf> {
    let is_name = kind.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) && kind != "compose";
    if kind.is_empty() || kind.starts_with('.') || !is_name {
        return None;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = |name: String| std::env::split_paths(&path).map(move |dir| dir.join(&name)).collect::<Vec<_>>();
    let own = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    let plugins = own.map(|dir| dir.join("cli-plugins")).into_iter().chain(PLUGINS.map(PathBuf::from));
    let plugins = plugins.map(|dir| dir.join(format!("docker-{kind}")));
    let candidates = in_path(format!("orca-{kind}"))
        .into_iter()
        .chain(plugins)
        .chain(in_path(format!("docker-{kind}")))
        .chain(in_path(kind.to_owned()));
    candidates.into_iter().find(|path| is_program(path))
}

/// Such a program with the project's variables; it ends with who waits for it.
pub fn command(program: &Path, project: &Project) -> Command {
    let mut command = Command::new(program);
    command.envs(&project.environment).kill_on_drop(true);
    command
}

fn is_program(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok() && path.is_file()
}

/// Has a provider do something; what it sets comes back.
pub async fn run(project: &Project, provider: &Provider, verb: Verb) -> Result<Provided> {
    let failed = |reason: String| Error::NotConverged(format!("service {}: {reason}", provider.service));
    let kind = &provider.kind;
    let program = find(kind).ok_or_else(|| {
        failed(format!("its provider {kind:?} is not here: there is no orca-{kind}, docker-{kind} or {kind} in PATH"))
    })?;
    let metadata = metadata(&program, project).await;
    if verb == Verb::Stop && metadata.get("stop").is_none() {
        return Ok(Provided::default());
    }
    let options = options(provider, &metadata, verb).map_err(failed)?;
    let mut command = self::command(&program, project);
    command.arg("compose").arg(format!("--project-name={}", project.name)).arg(verb.word());
    command.args(options).arg(&provider.service).stdin(Stdio::piped()).stdout(Stdio::piped());
    let spawned = command.spawn();
    let mut child = spawned.map_err(|source| Error::File { action: "run", path: program.clone(), source })?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(failed("its provider has no standard streams".into()));
    };
    let provided = converse(project, provider, stdin, BufReader::new(stdout)).await.map_err(failed)?;
    let status = child.wait().await.map_err(|source| Error::File { action: "wait for", path: program, source })?;
    if status.success() { Ok(provided) } else { Err(failed(format!("its provider {kind:?} ended with {status}"))) }
}

/// Takes the program's messages until it closes its output. Its questions are answered beside, lest both wait for each other.
async fn converse(
    project: &Project,
    provider: &Provider,
    stdin: ChildStdin,
    mut stdout: impl tokio::io::AsyncBufRead + Unpin,
) -> Result<Provided, String> {
    let (answers, mut pending) = tokio::sync::mpsc::unbounded_channel::<String>();
    let mut stdin = stdin;
    let answering = tokio::spawn(async move {
        while let Some(answer) = pending.recv().await {
            // One that does not read its answer sees the end of its input.
            if stdin.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    });
    let mut provided = Provided::default();
    let result = loop {
        let mut line = String::new();
        match (&mut stdout).take(MESSAGE_MAX).read_line(&mut line).await {
            Ok(0) => break Ok(provided),
            Ok(_) if line.trim().is_empty() => continue,
            Ok(_) => {}
            Err(error) => break Err(format!("its provider cannot be read from: {error}")),
        }
        match message(&line).and_then(|message| take(message, provider, &mut provided)) {
            Ok(false) => {}
            Ok(true) => {
                let config = project.config_json()["services"][&provider.service].to_string();
                let _ = answers.send(config + "\n");
            }
            Err(reason) => break Err(reason),
        }
    };
    drop(answers);
    if result.is_err() {
        answering.abort();
    }
    let _ = answering.await;
    result
}

/// A message: its type and its text.
fn message(line: &str) -> Result<(String, String), String> {
    let invalid = || format!("its provider said what makes no sense: {}", printable(line.trim()));
    let value: Value = serde_json::from_str(line).map_err(|_| invalid())?;
    let kind = value["type"].as_str().ok_or_else(invalid)?.to_owned();
    Ok((kind, value["message"].as_str().unwrap_or_default().to_owned()))
}

/// Takes one message; whether it asks for the service's configuration.
fn take((kind, text): (String, String), provider: &Provider, provided: &mut Provided) -> Result<bool, String> {
    let pair = || {
        let pair = text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.filter(|(key, _)| !key.is_empty()).ok_or_else(|| format!("its provider set {text:?}: expected KEY=VALUE"))
    };
    match kind.as_str() {
        "error" => return Err(printable(&text)),
        "info" => eprintln!(" {}  {}", provider.service, printable(text.lines().next().unwrap_or_default())),
        "debug" => tracing::debug!(service = provider.service, "{text}"),
        "setenv" => drop(pair().map(|(key, value)| provided.prefixed.insert(key, value))?),
        "rawsetenv" => drop(pair().map(|(key, value)| provided.raw.insert(key, value))?),
        "get-service-config" => return Ok(true),
        other => return Err(format!("its provider sent a message of type {other:?}, which Compose does not have")),
    }
    Ok(false)
}

/// What a program says of itself; an empty object if nothing.
async fn metadata(program: &Path, project: &Project) -> Value {
    let mut command = command(program, project);
    command.args(["compose", "metadata"]).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().await;
    let text = output.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    serde_json::from_slice(&text).ok().filter(Value::is_object).unwrap_or_else(|| Value::Object(Default::default()))
}

/// `--OPTION=VALUE`: those that the program says it knows, or all if it says nothing.
fn options(provider: &Provider, metadata: &Value, verb: Verb) -> Result<Vec<String>, String> {
    let silent = ["description", "up", "down"].iter().all(|key| metadata.get(key).is_none());
    let known = metadata[verb.word()]["parameters"].as_array().cloned().unwrap_or_default();
    let named = |parameter: &Value, name: &str| parameter["name"].as_str() == Some(name);
    let required = known.iter().filter(|parameter| parameter["required"].as_bool() == Some(true));
    for name in required.filter_map(|parameter| parameter["name"].as_str()) {
        if !provider.options.iter().any(|(key, _)| key == name) {
            return Err(format!("its provider {:?} needs the option {name:?}", provider.kind));
        }
    }
    let given =
        provider.options.iter().filter(|(key, _)| silent || known.iter().any(|parameter| named(parameter, key)));
    Ok(given.flat_map(|(key, values)| values.iter().map(move |value| format!("--{key}={value}"))).collect())
}

/// The providers among these services, or all of the project's; and those services that are none.
pub fn split(project: &ProjectArgs, services: &[String]) -> Result<Split> {
    let others = || services.to_vec();
    // Without a file nobody knows of any.
    let Ok(loaded) = project.load_all_profiles() else {
        return Ok(Split { found: None, others: others(), only: false });
    };
    let named = |provider: &Provider| services.is_empty() || services.contains(&provider.service);
    let providers: Vec<Provider> = loaded.providers()?.into_iter().filter(named).collect();
    let mut others = others();
    others.retain(|service| !providers.iter().any(|provider| provider.service == *service));
    let only = !services.is_empty() && others.is_empty();
    Ok(Split { found: Some((loaded, providers)), others, only })
}

/// Services, providers apart.
#[derive(Debug)]
pub struct Split {
    found: Option<(Loaded, Vec<Provider>)>,
    /// Those that have containers; empty for all.
    pub others: Vec<String>,
    /// Only providers were named.
    pub only: bool,
}

impl Split {
    /// Has the providers that depend on containers end before those do, once nothing that depends on them runs.
    pub async fn end_early(&mut self, client: &mut Client, verb: Verb) -> Result<()> {
        let Some((loaded, providers)) = &mut self.found else { return Ok(()) };
        let (early, late) = std::mem::take(providers).into_iter().partition(|provider| !provider.needs.is_empty());
        *providers = late;
        for provider in Vec::<Provider>::into_iter(early).rev() {
            let dependents = compose_spec::all_dependents(&loaded.project, &provider.service);
            lifecycle::stop_in_order(client, &loaded.project.name, &dependents, None).await?;
            run(&loaded.project, &provider, verb).await?;
        }
        Ok(())
    }

    /// Has the providers end, dependents first; or tells of it.
    pub async fn end(&self, verb: Verb, dry_run: bool) -> Result<()> {
        let Some((loaded, providers)) = &self.found else { return Ok(()) };
        for provider in providers.iter().rev() {
            if dry_run {
                let word = if verb == Verb::Down { "Removed" } else { "Stopped" };
                dry_run::tell([Step::new("Service", provider.service.clone(), word)]);
            } else {
                run(&loaded.project, provider, verb).await?;
            }
        }
        Ok(())
    }
}

/// Gives what a provider has set to the services that depend on it.
pub fn hand_out(project: &Project, provider: &Provider, provided: &Provided, variables: &mut Variables) {
    let prefix = provider.service.to_uppercase();
    for dependent in compose_spec::dependents(project, &provider.service) {
        let own = variables.entry(dependent.to_owned()).or_default();
        own.extend(provided.prefixed.iter().map(|(key, value)| (format!("{prefix}_{key}"), value.clone())));
        own.extend(provided.raw.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider() -> Provider {
        let options = vec![("type".into(), vec!["small".into()]), ("tag".into(), vec!["a".into(), "b".into()])];
        Provider { service: "db".into(), kind: "cloud".into(), options, needs: Vec::new() }
    }

    #[test]
    fn messages_are_taken_or_refused() {
        let mut provided = Provided::default();
        let mut say = |line: &str| message(line).and_then(|message| take(message, &provider(), &mut provided));
        assert_eq!(say(r#"{"type":"setenv","message":"URL=https://x?a=b"}"#), Ok(false));
        assert_eq!(say(r#"{"type":"rawsetenv","message":"PLAIN=1"}"#), Ok(false));
        assert_eq!(say(r#"{"type":"get-service-config"}"#), Ok(true));
        assert_eq!(say(r#"{"type":"error","message":"no quota"}"#), Err("no quota".into()));
        for bad in [
            "hello",
            "{}",
            r#"{"type":"setenv","message":"x"}"#,
            r#"{"type":"other"}"#,
            r#"{"type":"setenv","message":"=x"}"#,
        ] {
            assert!(say(bad).is_err(), "{bad}");
        }
        assert_eq!(provided.prefixed["URL"], "https://x?a=b");
        assert_eq!(provided.raw["PLAIN"], "1");
    }

    #[test]
    fn options_are_those_that_the_program_knows() {
        let all = ["--type=small", "--tag=a", "--tag=b"];
        assert_eq!(options(&provider(), &serde_json::json!({}), Verb::Up).unwrap(), all);
        let metadata = serde_json::json!({"up": {"parameters": [{"name": "type", "required": true}]}, "down": {}});
        assert_eq!(options(&provider(), &metadata, Verb::Up).unwrap(), ["--type=small"]);
        assert!(options(&provider(), &metadata, Verb::Down).unwrap().is_empty());
        let metadata = serde_json::json!({"up": {"parameters": [{"name": "region", "required": true}]}});
        assert!(options(&provider(), &metadata, Verb::Up).unwrap_err().contains("region"));
    }

    #[test]
    fn kinds_are_names() {
        for bad in ["", "compose", "../x", "/bin/sh", ".hidden", "a b"] {
            assert_eq!(find(bad), None, "{bad}");
        }
        assert!(find("true").is_some());
    }
}
