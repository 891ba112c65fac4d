//! The command line of `orca build`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use api::image::{BuildDone, BuildStart};
use clap::Args;
use image::Reference;
use model::{ContainerSpec, HostEntry, Limits, Resources, Ulimit};

use super::context::{Tree, ignore_rules, is_archive};
use super::job::{Dockerfile, Job, execute, read_dockerfile};
use super::output::Output;
use super::show::{Mode, Show};
use crate::client::{Client, Host};
use crate::container::flags;
use crate::error::{Error, Result};
use crate::output::format;

/// The largest secret.
const SECRET_LIMIT: u64 = 500 << 10;

/// Arguments of `orca build`.
#[derive(Debug, Args)]
pub struct BuildArgs {
    /// Dockerfile; by default PATH/Dockerfile; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Name of the image
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Value of an ARG: KEY=VALUE, or KEY for the value that it has here
    #[arg(long, value_name = "KEY[=VALUE]")]
    build_arg: Vec<String>,
    /// Label of the image
    #[arg(long, value_name = "KEY[=VALUE]")]
    label: Vec<String>,
    /// The stage that is wanted; by default the last
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Do every step again
    #[arg(long)]
    no_cache: bool,
    /// Do the steps of this stage again
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Pull the images that it begins with, even if they are here
    #[arg(long)]
    pull: bool,
    /// Print only the image's id
    #[arg(short, long)]
    quiet: bool,
    /// How it is shown: auto, plain, tty or quiet
    #[arg(long, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS", value_parser = Mode::parse)]
    progress: Mode,
    /// Write the image's id into a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write what was built into a file, as JSON
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// What it is built for, such as linux/arm64; another than the node's only without RUN
    #[arg(long, env = "DOCKER_DEFAULT_PLATFORM")]
    platform: Option<String>,
    /// Where the result goes: type=local|tar|oci|docker|image|cacheonly,dest=PATH; PATH; -
    #[arg(short, long, value_name = "OUTPUT", value_parser = Output::parse)]
    output: Option<Output>,
    /// Into the node's images; so by default
    #[arg(long, conflicts_with = "output")]
    load: bool,
    /// A file or a variable that only RUN --mount=type=secret sees: id=ID[,src=FILE|,env=NAME]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// A further context: NAME=DIRECTORY or NAME=docker-image://IMAGE
    #[arg(long, value_name = "NAME=SOURCE")]
    build_context: Vec<String>,
    /// Allow what is not by default: network.host, security.insecure
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_parser = ["network.host", "security.insecure"])]
    allow: Vec<String>,
    /// Only read the Dockerfile, and say what is wrong with it
    #[arg(long)]
    check: bool,
    /// Network of RUN: default, none or host
    #[arg(long, value_name = "NETWORK", value_parser = ["default", "none", "host"])]
    network: Option<String>,
    /// Entry for /etc/hosts of RUN
    #[arg(long, value_name = "HOST:ADDRESS", value_parser = flags::extra_host)]
    add_host: Vec<HostEntry>,
    /// Size of /dev/shm of RUN
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    shm_size: Option<u64>,
    /// Resource limit of RUN: NAME=SOFT[:HARD]
    #[arg(long, value_name = "LIMIT", value_parser = flags::ulimit)]
    ulimit: Vec<(String, Ulimit)>,
    /// The cgroup that those of RUN are made in
    #[arg(long, value_name = "PARENT")]
    cgroup_parent: Option<String>,
    /// Memory limit of RUN
    #[arg(short, long, value_name = "BYTES", value_parser = flags::bytes)]
    memory: Option<u64>,
    /// Memory and swap together
    #[arg(long, value_name = "BYTES", value_parser = flags::bytes)]
    memory_swap: Option<u64>,
    /// Relative CPU weight of RUN
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Microseconds in which the CPU quota may be used up
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// Microseconds of CPU time in a period
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<i64>,
    /// CPUs to run on, such as 0-2,4
    #[arg(long, value_name = "CPUS")]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use, such as 0-1
    #[arg(long, value_name = "NODES")]
    cpuset_mems: Option<String>,
    /// Remove containers of RUN that have failed; so in any case
    #[arg(long)]
    force_rm: bool,
    /// Remove containers of RUN; so in any case
    #[arg(long)]
    rm: bool,
    /// A directory, or - for an archive or a Dockerfile on standard input
    path: String,
}

/// Makes an image from a Dockerfile.
pub async fn build(host: &Host, args: BuildArgs) -> Result<()> {
    let mode = if args.quiet { Mode::Quiet } else { args.progress };
    let output = args.output.clone().unwrap_or_default();
    let (dockerfile, tree, problem) = args.sources()?;
    let start = args.start(&dockerfile, problem, &output)?;
    let mut trees: BTreeMap<String, Tree> = tree.into_iter().map(|tree| (String::new(), tree)).collect();
    for (name, source) in args.contexts()? {
        if !source.starts_with("docker-image://") {
            let root = PathBuf::from(source);
            trees.insert(name, Tree::directory(&root, ignore_rules(&root, None)?)?);
        }
    }
    let mut client = Client::connect_or_start(host).await?;
    let mut show = Show::new(mode, None);
    let job = Job { start, trees, output, quiet: mode == Mode::Quiet };
    let done = execute(&mut client, job, &mut show).await?;
    args.tell(&done, mode)
}

impl BuildArgs {
    /// The Dockerfile, the context, and why there is none if there is none.
    fn sources(&self) -> Result<(Dockerfile, Option<Tree>, Option<String>)> {
        if self.path == "-" {
            return self.read_stdin();
        }
        let remote = ["http://", "https://", "git://", "git@", "github.com/", "ssh://"];
        if remote.iter().any(|scheme| self.path.starts_with(scheme)) {
            return Err(Error::Unsupported {
                what: format!("the build context {}", self.path),
                instead: "fetch it and build the directory, or pipe an archive to `orca build -`".into(),
            });
        }
        let root = Path::new(&self.path);
        let dockerfile = match self.file.as_deref() {
            Some(path) if path == Path::new("-") => {
                Dockerfile { name: "Dockerfile".into(), text: read_stdin()?, path: None }
            }
            Some(path) => read_dockerfile(path)?,
            None => read_dockerfile(&root.join("Dockerfile"))?,
        };
        let ignore = ignore_rules(root, dockerfile.path.as_deref())?;
        Ok((dockerfile, Some(Tree::directory(root, ignore)?), None))
    }

    fn read_stdin(&self) -> Result<(Dockerfile, Option<Tree>, Option<String>)> {
        let mut head = Vec::new();
        let mut stdin = std::io::stdin().lock();
        let read = |source| Error::Terminal { action: "read standard input", source };
        stdin.by_ref().take(512).read_to_end(&mut head).map_err(read)?;
        if is_archive(&head) {
            let tree = Tree::archive(std::io::Cursor::new(head).chain(stdin))?;
            let name = self.file.clone().unwrap_or_else(|| "Dockerfile".into()).to_string_lossy().into_owned();
            let text = tree.archived(&name)?;
            let text = text.ok_or_else(|| Error::Files(format!("the archive has no {name}")))?;
            let rules = match tree.archived(&format!("{name}.dockerignore"))? {
                Some(own) => Some(own),
                None => tree.archived(".dockerignore")?,
            };
            let rules = String::from_utf8_lossy(&rules.unwrap_or_default()).into_owned();
            let ignore = image::dockerfile::Ignore::parse(&rules);
            let ignore = ignore.map_err(|reason| Error::Files(format!(".dockerignore: {reason}")))?;
            return Ok((Dockerfile { name, text, path: None }, Some(tree.ignoring(&ignore)), None));
        }
        if let Some(file) = &self.file {
            let what = format!("-f {} with a Dockerfile on standard input", file.display());
            return Err(Error::Unsupported {
                what,
                instead: "give a directory, or an archive on standard input".into(),
            });
        }
        let limit = image::dockerfile::SIZE_LIMIT as u64 + 1;
        stdin.take(limit).read_to_end(&mut head).map_err(read)?;
        let problem = "there is no build context: the Dockerfile alone came on standard input".to_owned();
        Ok((Dockerfile { name: "Dockerfile".into(), text: head, path: None }, None, Some(problem)))
    }

    fn start(&self, dockerfile: &Dockerfile, problem: Option<String>, output: &Output) -> Result<BuildStart> {
        let mut tags = self.tag.clone();
        if let Output::Named(names) = output {
            tags.extend(names.split(',').map(str::to_owned));
        }
        for tag in &tags {
            let parsed = tag.parse::<Reference>();
            parsed.map_err(|error| Error::Flag { flag: "--tag", value: tag.clone(), reason: error.to_string() })?;
        }
        let platform = self.platform.clone().filter(|platform| !platform.is_empty());
        if let Some(several) = platform.as_deref().filter(|platform| platform.contains(',')) {
            let (what, instead) =
                (format!("--platform {several}"), "an image is built for one platform: build each by itself".into());
            return Err(Error::Unsupported { what, instead });
        }
        let args = arguments(&self.build_arg)?;
        let epoch = args.get("SOURCE_DATE_EPOCH").cloned().or_else(|| std::env::var("SOURCE_DATE_EPOCH").ok());
        let source_date_epoch = epoch.filter(|text| !text.is_empty()).map(|text| {
            let invalid =
                |_| Error::Flag { flag: "SOURCE_DATE_EPOCH", value: text.clone(), reason: "seconds since 1970".into() };
            text.parse::<i64>().map_err(invalid)
        });
        Ok(BuildStart {
            dockerfile: dockerfile.text.clone(),
            name: dockerfile.name.clone(),
            target: self.target.clone().unwrap_or_default(),
            args,
            tags,
            labels: flags::labels(&self.label),
            no_cache: self.no_cache,
            no_cache_filter: self.no_cache_filter.clone(),
            platform,
            contexts: self.contexts()?.into_iter().map(|(name, source)| (name, image_only(source))).collect(),
            secrets: self.secret.iter().map(|text| secret(text)).collect::<Result<_>>()?,
            network: self.network.clone(),
            container: Some(self.container().into()),
            source_date_epoch: source_date_epoch.transpose()?,
            export: 0,
            insecure: self.allow.iter().any(|what| what == "security.insecure"),
            check: self.check,
            context_problem: problem,
            pull: self.pull,
        })
    }

    fn contexts(&self) -> Result<BTreeMap<String, String>> {
        let mut contexts = BTreeMap::new();
        for text in &self.build_context {
            let invalid =
                |reason: &str| Error::Flag { flag: "--build-context", value: text.clone(), reason: reason.into() };
            let (name, source) = text.split_once('=').ok_or_else(|| invalid("expected NAME=SOURCE"))?;
            if source.contains("://") && !source.starts_with("docker-image://") {
                return Err(invalid("only directories and docker-image:// are contexts: fetch it first"));
            }
            contexts.insert(name.to_ascii_lowercase(), source.to_owned());
        }
        Ok(contexts)
    }

    /// What every RUN's container has.
    fn container(&self) -> ContainerSpec {
        let limits = Limits {
            memory: self.memory,
            memory_swap: self.memory_swap.and_then(|bytes| i64::try_from(bytes).ok()),
            cpu_shares: self.cpu_shares,
            cpu_period: self.cpu_period,
            cpu_quota: self.cpu_quota,
            cpuset: self.cpuset_cpus.clone(),
            cpuset_mems: self.cpuset_mems.clone(),
            ..Limits::default()
        };
        ContainerSpec {
            extra_hosts: self.add_host.clone(),
            shm_size: self.shm_size,
            ulimits: self.ulimit.iter().cloned().collect(),
            cgroup_parent: self.cgroup_parent.clone(),
            resources: Resources { limits, ..Resources::default() },
            ..ContainerSpec::default()
        }
    }

    fn tell(&self, done: &BuildDone, mode: Mode) -> Result<()> {
        let write = |path: &PathBuf, text: String| {
            std::fs::write(path, text).map_err(|source| Error::File { action: "write", path: path.clone(), source })
        };
        if self.check && mode != Mode::Quiet {
            return format::write("Check complete, no warnings found.\n");
        }
        let Some(id) = &done.id else { return Ok(()) };
        if let Some(path) = &self.iidfile {
            write(path, id.clone())?;
        }
        if let Some(path) = &self.metadata_file {
            let mut metadata = serde_json::json!({
                "containerimage.config.digest": id,
                "containerimage.digest": done.digest,
            });
            if !done.names.is_empty() {
                metadata["image.name"] = done.names.join(",").into();
            }
            write(path, format!("{metadata:#}\n"))?;
        }
        if mode == Mode::Quiet {
            return if self.output.as_ref().is_some_and(Output::is_stdout) {
                Ok(())
            } else {
                format::write(&format!("{id}\n"))
            };
        }
        let names: BTreeSet<&String> = done.names.iter().collect();
        eprintln!("writing image {id} done");
        names.iter().for_each(|name| eprintln!("naming to {name} done"));
        Ok(())
    }
}

/// What the daemon is told of a context: an image by its name, files of this machine by nothing.
fn image_only(source: String) -> String {
    if source.starts_with("docker-image://") { source } else { String::new() }
}

/// `KEY=VALUE`, or `KEY` for the value here, if it has one.
fn arguments(items: &[String]) -> Result<BTreeMap<String, String>> {
    let mut args = BTreeMap::new();
    for item in items {
        match item.split_once('=') {
            Some((key, value)) => drop(args.insert(key.to_owned(), value.to_owned())),
            None => {
                if let Ok(value) = std::env::var(item) {
                    args.insert(item.clone(), value);
                }
            }
        }
    }
    Ok(args)
}

/// `id=ID[,src=FILE|,env=NAME]`.
fn secret(text: &str) -> Result<(String, Vec<u8>)> {
    let invalid = |reason: String| Error::Flag { flag: "--secret", value: text.to_owned(), reason };
    let (mut id, mut source, mut variable) = (None, None, None);
    for field in model::csv::fields(text).map_err(invalid)? {
        match field.split_once('=') {
            Some(("id", value)) => id = Some(value.to_owned()),
            Some(("src" | "source", value)) => source = Some(value.to_owned()),
            Some(("env", value)) => variable = Some(value.to_owned()),
            Some(("type", "file" | "env")) => {}
            _ => return Err(invalid(format!("{field:?} is none of id=, src= and env="))),
        }
    }
    let id = id.filter(|id| !id.is_empty()).ok_or_else(|| invalid("it needs an id".into()))?;
    let from_env = |name: &str| std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec);
    let data = match (source, variable) {
        (_, Some(name)) => from_env(&name).ok_or_else(|| invalid(format!("{name} is not set")))?,
        (None, None) if from_env(&id).is_some() => from_env(&id).unwrap_or_default(),
        (source, None) => {
            let path = PathBuf::from(source.unwrap_or_else(|| id.clone()));
            let mut data = Vec::new();
            let read = std::fs::File::open(&path).and_then(|file| file.take(SECRET_LIMIT + 1).read_to_end(&mut data));
            read.map_err(|source| Error::File { action: "read the secret", path, source })?;
            data
        }
    };
    if data.len() as u64 > SECRET_LIMIT {
        return Err(invalid(format!("it has more than {SECRET_LIMIT} bytes")));
    }
    Ok((id, data))
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let limit = image::dockerfile::SIZE_LIMIT as u64 + 1;
    let read = std::io::stdin().lock().take(limit).read_to_end(&mut text);
    read.map_err(|source| Error::Terminal { action: "read standard input", source })?;
    Ok(text)
}
