//! `orca compose ls`.

use std::collections::BTreeMap;

use api::node::{Container, ListContainersRequest};
use clap::Args;
use serde_json::{Value, json};

use crate::client::{Client, Host};
use crate::error::Result;
use crate::filter::Filters;
use crate::output::format::{self, Format};
use crate::output::human;
use crate::output::table::Table;

/// Arguments of `orca compose ls`.
#[derive(Debug, Args)]
pub struct LsArgs {
    /// Also projects that do not run
    #[arg(short, long)]
    all: bool,
    /// Only projects that fit: name=PATTERN
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<String>,
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// table or json
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

#[derive(Debug, Default)]
struct Project {
    states: BTreeMap<&'static str, usize>,
    files: String,
}

impl Project {
    /// `running(2), exited(1)`.
    fn status(&self) -> String {
        self.states.iter().map(|(state, count)| format!("{state}({count})")).collect::<Vec<_>>().join(", ")
    }
}

/// Lists the projects that have containers on this node.
pub async fn ls(host: &Host, args: LsArgs) -> Result<()> {
    let filters = Filters::parse(&args.filter, &["name"])?;
    let mut client = Client::connect(host).await?;
    let labels = [("com.docker.compose.project".to_owned(), String::new())].into();
    let request = ListContainersRequest { all: args.all, labels, size: false };
    let containers = client.node.list_containers(request).await?.into_inner().containers;
    let mut projects = projects(&containers);
    projects.retain(|name, _| filters.matches("name", name));
    let names = args.quiet.then(|| projects.keys().map(|name| (*name).to_owned()).collect());
    if args.format == Format::Json && names.is_none() {
        // Docker prints one array here, where its other listings print an object a line.
        let array: Vec<Value> = projects.iter().map(|(name, project)| describe(name, project)).collect();
        return format::write(&format!("{}\n", Value::Array(array)));
    }
    let table = || {
        let mut table = Table::new(&["NAME", "STATUS", "CONFIG FILES"]);
        for (name, project) in &projects {
            table.row([(*name).to_owned(), project.status(), project.files.clone()]);
        }
        table
    };
    format::print(args.format, names, Vec::new, table)
}

fn projects(containers: &[Container]) -> BTreeMap<&str, Project> {
    let mut projects: BTreeMap<&str, Project> = BTreeMap::new();
    for container in containers {
        let Some(name) = container.labels.get("com.docker.compose.project") else { continue };
        let project = projects.entry(name).or_default();
        let state = container.status.as_ref().map_or("created", human::state);
        *project.states.entry(state).or_default() += 1;
        if let Some(files) = container.labels.get("com.docker.compose.project.config_files") {
            project.files.clone_from(files);
        }
    }
    projects
}

fn describe(name: &str, project: &Project) -> Value {
    json!({ "Name": name, "Status": project.status(), "ConfigFiles": project.files })
}
