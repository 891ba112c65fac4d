//! `orca compose config`.

use clap::Args;
use compose_spec::{Model, Project, TranslateOptions};

use super::digests;
use super::project::{Disk, ProjectArgs, Reading};
use crate::client::Host;
use crate::error::{Error, Result};
use crate::output::format::write;
use crate::output::table::Table;

/// Arguments of `orca compose config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// yaml or json; table, too, for --variables
    #[arg(long, value_parser = ["yaml", "json", "table"])]
    format: Option<String>,
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
    /// Only the models' names
    #[arg(long)]
    models: bool,
    /// Only the images' names
    #[arg(long)]
    images: bool,
    /// Only the profiles' names
    #[arg(long)]
    profiles: bool,
    /// Only the variables used for interpolation
    #[arg(long)]
    environment: bool,
    /// Only the variables that the files name, with their defaults
    #[arg(long)]
    variables: bool,
    /// What becomes of each attribute: carried, or refused with the reason
    #[arg(long)]
    report: bool,
    /// The hash of a service's configuration; * for all
    #[arg(long, value_name = "SERVICE")]
    hash: Option<String>,
    /// Leave variables as they are written
    #[arg(long)]
    no_interpolate: bool,
    /// Leave out defaults, names and implied dependencies
    #[arg(long)]
    no_normalize: bool,
    /// Leave relative paths as they are
    #[arg(long)]
    no_path_resolution: bool,
    /// Do not read env files of services
    #[arg(long)]
    no_env_resolution: bool,
    /// Do not check that what services refer to exists
    #[arg(long)]
    no_consistency: bool,
    /// Name images by digest
    #[arg(long)]
    resolve_image_digests: bool,
    /// Print an override file that names images by digest
    #[arg(long)]
    lock_image_digests: bool,
    /// Write to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<std::path::PathBuf>,
    /// Services; none means all
    only: Vec<String>,
}

impl ConfigArgs {
    fn reading(&self) -> Reading {
        Reading {
            services: self.only.clone(),
            no_consistency: self.no_consistency,
            no_normalize: self.no_normalize,
            no_path_resolution: self.no_path_resolution,
            no_env_resolution: self.no_env_resolution,
            ..Reading::default()
        }
    }

    /// The flag, if any, whose answer depends on the values of variables.
    fn of_values(&self) -> Option<&'static str> {
        let flags = [
            ("--volumes", self.volumes),
            ("--networks", self.networks),
            ("--models", self.models),
            ("--hash", self.hash.is_some()),
            ("--profiles", self.profiles),
            ("--images", self.images),
            ("--environment", self.environment),
            ("--report", self.report),
            ("--resolve-image-digests", self.resolve_image_digests),
            ("--lock-image-digests", self.lock_image_digests),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }

    fn json(&self) -> bool {
        self.format.as_deref() == Some("json")
    }
}

/// Checks the project and prints it.
pub async fn config(host: &Host, project: &ProjectArgs, args: ConfigArgs) -> Result<()> {
    if args.format.as_deref() == Some("table") && !args.variables {
        let reason = "only --variables prints a table".into();
        return Err(Error::Flag { flag: "--format", value: "table".into(), reason });
    }
    let pinned = args.resolve_image_digests || args.lock_image_digests;
    let text = if args.variables || args.no_interpolate {
        if let Some(flag) = args.of_values() {
            return Err(Error::Unsupported {
                what: format!("{flag} of a project whose variables are left as they are"),
                instead: "drop --no-interpolate or --variables".into(),
            });
        }
        uninterpolated(&project.template(args.reading())?, &args)?
    } else {
        let mut project = project.read(args.reading())?.project;
        if pinned {
            digests::resolve(host, &mut project).await?;
        }
        interpolated(&project, &args)?
    };
    match &args.output {
        _ if args.quiet => Ok(()),
        None => write(&text),
        Some(path) => {
            std::fs::write(path, text).map_err(|source| Error::File { action: "write", path: path.clone(), source })
        }
    }
}

/// Files of a stack as they are after everything in them was worked out, variables too unless they are to be left.
pub fn canonical(files: Vec<std::path::PathBuf>, no_interpolate: bool) -> Result<String> {
    let project = ProjectArgs::of_files(files);
    match no_interpolate {
        true => Ok(project.template(Reading::default())?.config_yaml()),
        false => Ok(project.read(Reading::default())?.project.config_yaml()),
    }
}

fn lines<T: Into<String>>(names: impl IntoIterator<Item = T>) -> String {
    names.into_iter().map(|name| name.into() + "\n").collect()
}

fn interpolated(project: &Project, args: &ConfigArgs) -> Result<String> {
    Ok(if args.services {
        lines(project.service_names())
    } else if args.volumes {
        lines(project.volume_names())
    } else if args.networks {
        lines(project.network_names())
    } else if args.models {
        lines(project.model_names())
    } else if let Some(which) = &args.hash {
        hashes(project, which)?
    } else if args.profiles {
        lines(project.profile_names())
    } else if args.images {
        lines(project.images())
    } else if args.environment {
        lines(project.environment.iter().map(|(key, value)| format!("{key}={value}")))
    } else if args.report {
        let rows = compose_spec::report(project, &TranslateOptions::default(), &Disk);
        lines(rows.iter().map(|row| format!("{}: {}", row.path, row.outcome)))
    } else if args.lock_image_digests {
        digests::warn_of_steps(project);
        let lock = digests::lock(project);
        if args.json() { format!("{lock:#}\n") } else { compose_spec::yaml(&lock) }
    } else if args.json() {
        format!("{:#}\n", project.config_json())
    } else {
        project.config_yaml()
    })
}

fn uninterpolated(model: &Model, args: &ConfigArgs) -> Result<String> {
    if args.services && !args.variables {
        return Ok(lines(model.service_names()));
    }
    if !args.variables {
        if !args.only.is_empty() {
            eprintln!("WARNING: with --no-interpolate services cannot be chosen: the whole model follows");
        }
        return Ok(if args.json() { format!("{:#}\n", model.config_json()) } else { model.config_yaml() });
    }
    let variables = model.variables();
    if args.format.as_deref().is_none_or(|format| format == "table") {
        let mut table = Table::new(&["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"]);
        for v in variables {
            table.row([v.name, v.required.to_string(), v.default, v.alternate]);
        }
        return Ok(table.render());
    }
    // As Compose, whose YAML has them in lower case.
    let case = |key: &str| if args.json() { key.to_owned() } else { key.to_lowercase() };
    let object = |v: &compose_spec::Variable| {
        let mut object = serde_json::Map::new();
        object.insert(case("Name"), v.name.clone().into());
        object.insert(case("DefaultValue"), v.default.clone().into());
        object.insert(case("PresenceValue"), v.alternate.clone().into());
        object.insert(case("Required"), v.required.into());
        serde_json::Value::Object(object)
    };
    let map: serde_json::Map<String, serde_json::Value> =
        variables.iter().map(|variable| (variable.name.clone(), object(variable))).collect();
    let map = serde_json::Value::Object(map);
    Ok(if args.json() { format!("{map:#}\n") } else { compose_spec::yaml(&map) })
}

fn hashes(project: &Project, which: &str) -> Result<String> {
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
