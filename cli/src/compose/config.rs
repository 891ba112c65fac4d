//! `orca compose config`.

use clap::Args;

use super::project::{ProjectArgs, Reading};
use crate::error::{Error, Result};
use crate::output::format::{print_json, write};

/// Arguments of `orca compose config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// yaml or json
    #[arg(long, default_value = "yaml", value_parser = ["yaml", "json"])]
    format: String,
    /// Only check; print nothing
    #[arg(short, long)]
    quiet: bool,
    /// Only the services' names
    #[arg(long)]
    services: bool,
    /// Only the volumes' names
    #[arg(long)]
    volumes: bool,
    /// Only the networks' names
    #[arg(long)]
    networks: bool,
    /// Only the images' names
    #[arg(long)]
    images: bool,
    /// Only the profiles' names
    #[arg(long)]
    profiles: bool,
    /// Only the variables used for interpolation
    #[arg(long)]
    environment: bool,
    /// The hash of a service's configuration; * for all
    #[arg(long, value_name = "SERVICE")]
    hash: Option<String>,
    /// Do not check that what services refer to exists
    #[arg(long)]
    no_consistency: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
    /// Services; none means all
    only: Vec<String>,
}

/// Checks the project and prints it.
pub fn config(project: &ProjectArgs, args: ConfigArgs) -> Result<()> {
    let reading = Reading { services: args.only.clone(), no_consistency: args.no_consistency, ..Reading::default() };
    let project = project.read(reading)?.project;
    if args.quiet {
        return Ok(());
    }
    let lines = |names: Vec<String>| names.into_iter().map(|name| name + "\n").collect::<String>();
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<String>>();
    let text = if args.services {
        lines(owned(project.service_names()))
    } else if args.volumes {
        lines(owned(project.volume_names()))
    } else if args.networks {
        lines(owned(project.network_names()))
    } else if args.images {
        lines(project.images())
    } else if args.profiles {
        lines(owned(project.profile_names()))
    } else if args.environment {
        lines(project.environment.iter().map(|(key, value)| format!("{key}={value}")).collect())
    } else if let Some(which) = &args.hash {
        hashes(&project, which)?
    } else if args.format == "json" {
        let json = project.config_json();
        match &args.output {
            None => return print_json(&json),
            Some(_) => format!("{json:#}\n"),
        }
    } else {
        project.config_yaml()
    };
    match &args.output {
        None => write(&text),
        Some(path) => {
            std::fs::write(path, text).map_err(|source| Error::File { action: "write", path: path.clone(), source })
        }
    }
}

fn hashes(project: &compose_spec::Project, which: &str) -> Result<String> {
    let names: Vec<&str> = match which {
        "*" => project.service_names(),
        list => list.split(',').collect(),
    };
    let line = |name: &str| match project.config_hash(name) {
        Some(hash) => Ok(format!("{name} {hash}\n")),
        None => Err(Error::NotFound { kind: "service", name: name.to_owned() }),
    };
    names.into_iter().map(line).collect()
}
