//! `models:`, run by the model runner's program (`docker-model`): pulled, configured, and made known to the services that use them.

use std::path::PathBuf;

use compose_spec::{AiModel, Project, Variables};
use serde_json::Value;

use super::programs;
use crate::error::{Error, Result};

/// The program that runs models, where there is one.
pub fn runner() -> Option<PathBuf> {
    programs::find("model")
}

/// Has the models of a project pulled and configured; what their services are told.
pub async fn ensure(project: &Project) -> Result<Variables> {
    let models = compose_spec::models(project);
    let (Some(program), false) = (runner(), models.is_empty()) else { return Ok(Variables::new()) };
    let run = async |args: &[String]| {
        let output = programs::command(&program, project).args(args).output().await;
        let output = output.map_err(|source| Error::File { action: "run", path: program.clone(), source })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::NotConverged(format!("{} {}: {said}", program.display(), args.join(" "))))
    };
    let json = async |args: [&str; 2]| {
        let bytes = run(&args.map(str::to_owned)).await?;
        let value: Result<Value, _> = serde_json::from_slice(&bytes);
        value.map_err(|error| Error::NotConverged(format!("{} {}: {error}", program.display(), args.join(" "))))
    };
    let there = tags(&json(["ls", "--json"]).await?);
    for model in &models {
        if !there.contains(&model.model) {
            eprintln!(" Model {}  Pulling", model.key);
            run(&["pull".into(), model.model.clone()]).await?;
            eprintln!(" Model {}  Pulled", model.key);
        }
        run(&configure(model)).await?;
    }
    let status = json(["status", "--json"]).await?;
    let endpoint = status["endpoint"].as_str().unwrap_or_default();
    if endpoint.is_empty() {
        return Err(Error::NotConverged(format!("{} status --json names no endpoint", program.display())));
    }
    Ok(compose_spec::model_variables(project, endpoint))
}

fn tags(list: &Value) -> Vec<String> {
    let models = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let tags = models.iter().filter_map(|model| model["tags"].as_array()).flatten();
    tags.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn configure(model: &AiModel) -> Vec<String> {
    let mut args = vec!["configure".to_owned()];
    if let Some(size) = model.context_size.filter(|size| *size > 0) {
        args.extend(["--context-size".to_owned(), size.to_string()]);
    }
    args.push(model.model.clone());
    if !model.runtime_flags.is_empty() {
        args.push("--".into());
        args.extend(model.runtime_flags.iter().cloned());
    }
    args
}
