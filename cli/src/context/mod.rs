//! `orca context`: daemons by name, and which of them commands talk to.

mod resolve;
mod store;
mod transfer;

pub use resolve::{Choice, TlsChoice, resolve};

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::error::{Error, Result};
use crate::inspect;
use crate::output::format::{self, Format, Listing};
use store::{Context, Store, Tls};
use template::Value;

/// The context that is always there.
pub const DEFAULT: &str = "default";

/// `orca context VERB`.
#[derive(Debug, Subcommand)]
pub enum ContextVerb {
    /// Give a daemon a name
    Create(CreateArgs),
    /// Write a context into a tar
    Export(ExportArgs),
    /// Make a context from a tar
    Import(ImportArgs),
    /// Show all about contexts
    Inspect(InspectArgs),
    /// List contexts
    #[command(alias = "list")]
    Ls(ListArgs),
    /// Remove contexts
    #[command(alias = "remove")]
    Rm(RemoveArgs),
    /// Print the name of the context in use
    Show,
    /// Change a context
    Update(UpdateArgs),
    /// Choose the context that commands use
    Use(UseArgs),
}

/// Arguments of `orca context create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Where the daemon answers: host=unix://PATH, host=ssh://[USER@]HOST[:PORT], or
    /// host=tcp://HOST[:PORT],ca=FILE,cert=FILE,key=FILE
    #[arg(long, value_name = "KEY=VALUE,...")]
    docker: Option<String>,
    /// Copy another context
    #[arg(long, value_name = "CONTEXT")]
    from: Option<String>,
    /// Name
    name: String,
}

/// Arguments of `orca context update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// Where the daemon answers: host=unix://PATH, host=ssh://[USER@]HOST[:PORT], or
    /// host=tcp://HOST[:PORT],ca=FILE,cert=FILE,key=FILE
    #[arg(long, value_name = "KEY=VALUE,...")]
    docker: Option<String>,
    /// Name
    name: String,
}

/// Arguments of `orca context export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Name
    name: String,
    /// File, or - for standard output; NAME.dockercontext by default
    file: Option<PathBuf>,
}

/// Arguments of `orca context import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Name
    name: String,
    /// File, or - for standard input
    file: PathBuf,
}

/// Arguments of `orca context inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
    /// Names; none means the one in use
    names: Vec<String>,
}

/// Arguments of `orca context ls`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    format: Format,
}

/// Arguments of `orca context rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Also the one in use
    #[arg(short, long)]
    force: bool,
    /// Names
    #[arg(required = true)]
    names: Vec<String>,
}

/// Arguments of `orca context use`.
#[derive(Debug, Args)]
pub struct UseArgs {
    /// Name
    name: String,
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.clientContextContext",
    columns: "{{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}",
    headers: &[("DockerEndpoint", "DOCKER ENDPOINT"), ("Current", "")],
};

/// Runs a verb.
pub async fn run(choice: &Choice, verb: ContextVerb) -> Result<()> {
    let store = Store::open(choice.config.clone());
    match verb {
        ContextVerb::Create(args) => create(&store, args),
        ContextVerb::Update(args) => update(&store, args),
        ContextVerb::Export(args) => transfer::export(&store.get(&args.name)?, args.file),
        ContextVerb::Import(args) => {
            let context = transfer::import(&args.name, &args.file)?;
            store.add(&context)?;
            done(&args.name, "imported")
        }
        ContextVerb::Inspect(args) => show_all(&store, choice, args).await,
        ContextVerb::Ls(args) => list(&store, choice, args),
        ContextVerb::Rm(args) => remove(&store, choice, args),
        ContextVerb::Show => format::write(&format!("{}\n", choice.in_use(&store.current()?))),
        ContextVerb::Use(args) => {
            store.get(&args.name)?;
            store.set_current(&args.name)?;
            if std::env::var_os("ORCA_HOST").is_some_and(|host| !host.is_empty()) {
                eprintln!("orca: ORCA_HOST is set and goes before the context; unset it to use {}", args.name);
            }
            done(&args.name, "in use")
        }
    }
}

/// As Docker: the name, and on standard error what has been done.
fn done(name: &str, what: &str) -> Result<()> {
    format::write(&format!("{name}\n"))?;
    eprintln!("Context {name:?} is {what}");
    Ok(())
}

fn create(store: &Store, args: CreateArgs) -> Result<()> {
    let mut context = match (&args.from, &args.docker) {
        (Some(_), Some(_)) => {
            return Err(Error::Unsupported { what: "--from with --docker".into(), instead: "give one of them".into() });
        }
        (Some(from), None) => Context { name: args.name.clone(), ..store.get(from)? },
        (None, Some(endpoint)) => {
            let (host, tls) = endpoint_of(endpoint)?;
            Context { tls, ..Context::new(&args.name, &host) }
        }
        (None, None) => Context { name: args.name.clone(), ..store.get(DEFAULT)? },
    };
    if let Some(description) = args.description {
        context.description = description;
    }
    store.add(&context)?;
    done(&args.name, "created")
}

fn update(store: &Store, args: UpdateArgs) -> Result<()> {
    let mut context = store.get(&args.name)?;
    if let Some(description) = args.description {
        context.description = description;
    }
    if let Some(endpoint) = &args.docker {
        (context.host, context.tls) = endpoint_of(endpoint)?;
    }
    store.change(&context)?;
    done(&args.name, "updated")
}

/// What `host=tcp://a,ca=…,cert=…,key=…` says.
fn endpoint_of(endpoint: &str) -> Result<(String, Option<Tls>)> {
    let refuse = |reason: &str| Error::Flag { flag: "--docker", value: endpoint.into(), reason: reason.into() };
    let pairs = model::csv::fields(endpoint).map_err(|reason| refuse(&reason))?;
    let (mut host, mut files) = (None, [None, None, None]);
    for pair in &pairs {
        match pair.split_once('=') {
            Some(("host", address)) => host = Some(address.to_owned()),
            Some(("ca", path)) => files[0] = Some(path),
            Some(("cert", path)) => files[1] = Some(path),
            Some(("key", path)) => files[2] = Some(path),
            Some(("skip-tls-verify", "false")) => {}
            Some(("skip-tls-verify", _)) => {
                return Err(refuse(
                    "a daemon whose certificate is not looked at could be anybody: give its CA with ca=",
                ));
            }
            Some(("from", _)) => return Err(refuse("use --from CONTEXT")),
            _ => {
                return Err(refuse(
                    "expected host=unix://PATH, host=ssh://[USER@]HOST[:PORT] or host=tcp://HOST[:PORT],ca=FILE,cert=FILE,key=FILE",
                ));
            }
        }
    }
    let host = host.ok_or_else(|| refuse("expected host=ADDRESS"))?;
    let is_tcp = matches!(api::client::Endpoint::parse(&host)?, api::client::Endpoint::Tcp { .. });
    match (is_tcp, files) {
        (false, [None, None, None]) => Ok((host, None)),
        (false, _) => Err(refuse("certificates are for tcp:// only")),
        (true, [Some(ca), Some(cert), Some(key)]) => {
            let read = |path: &str| crate::client::read_pem(std::path::Path::new(path));
            let tls = Tls { ca: read(ca)?, cert: read(cert)?, key: read(key)? };
            api::tls::Identity::from(tls.clone()).client()?;
            Ok((host, Some(tls)))
        }
        (true, _) => Err(refuse("tcp:// needs ca=FILE, cert=FILE and key=FILE: both sides show who they are")),
    }
}

async fn show_all(store: &Store, choice: &Choice, args: InspectArgs) -> Result<()> {
    let names = if args.names.is_empty() { vec![choice.in_use(&store.current()?)] } else { args.names };
    inspect::each(args.format.as_deref(), &names, async |name| {
        let context = store.get(name)?;
        let metadata = match context.description.is_empty() {
            true => json!({}),
            false => json!({ "Description": context.description }),
        };
        Ok(json!({
            "Name": context.name,
            "Metadata": metadata,
            "Endpoints": { "docker": { "Host": context.host, "SkipTLSVerify": false } },
            "TLSMaterial": context.tls.as_ref().map_or_else(
                || json!({}), |_| json!({ "docker": ["ca.pem", "cert.pem", "key.pem"] })),
            "Storage": { "MetadataPath": store.place(name), "TLSPath": "<IN MEMORY>" },
        }))
    })
    .await
}

fn list(store: &Store, choice: &Choice, args: ListArgs) -> Result<()> {
    let in_use = choice.in_use(&store.current()?);
    let contexts = store.list()?;
    if args.quiet {
        return format::write(&contexts.iter().map(|context| format!("{}\n", context.name)).collect::<String>());
    }
    let row = |context: &Context| {
        Value::from(&json!({
            "Current": context.name == in_use,
            "Description": context.description,
            "DockerEndpoint": context.host,
            "Error": "",
            "Name": context.name,
        }))
    };
    LISTING.print(&args.format, &contexts.iter().map(row).collect::<Vec<_>>())
}

fn remove(store: &Store, choice: &Choice, args: RemoveArgs) -> Result<()> {
    let in_use = choice.in_use(&store.current()?);
    let mut failures = 0;
    for name in &args.names {
        let result = match name == &in_use && !args.force {
            true => Err(Error::Unsupported {
                what: format!("removing {name:?}, the context in use,"),
                instead: "choose another with `orca context use`, or --force".into(),
            }),
            false => store.remove(name),
        };
        match result {
            Ok(()) => format::write(&format!("{name}\n"))?,
            Err(error) => {
                failures += 1;
                eprintln!("orca: {error}");
            }
        }
    }
    if failures == 0 { Ok(()) } else { Err(Error::Exit(1)) }
}
