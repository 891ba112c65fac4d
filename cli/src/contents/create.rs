//! `orca secret create` and `orca config create`.

use std::path::{Path, PathBuf};

use api::control::{CreateConfigRequest, CreateSecretRequest};
use model::{ConfigSpec, SecretData, SecretSpec};
use tokio::io::AsyncReadExt;

use super::Kind;
use crate::client::{Client, Host};
use crate::container::flags;
use crate::error::{Error, Result};
use crate::output::format;

/// Arguments of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A label
    #[arg(short, long, value_name = "KEY[=VALUE]", value_parser = flags::label)]
    label: Vec<String>,
    /// What it holds is a template that is filled in for each task: golang
    #[arg(long, value_name = "DRIVER", value_parser = ["golang"])]
    template_driver: Option<String>,
    /// What this variable of the environment holds, instead of a file
    #[arg(long, value_name = "VARIABLE", conflicts_with = "file")]
    environment: Option<String>,
    /// Its name
    name: String,
    /// What it is to hold; -: standard input
    #[arg(value_name = "FILE|-", required_unless_present = "environment")]
    file: Option<PathBuf>,
}

/// Keeps it, and prints its id.
pub async fn create(host: &Host, kind: Kind, args: Args) -> Result<()> {
    let limit = match kind {
        Kind::Secret => SecretSpec::LIMIT,
        Kind::Config => ConfigSpec::LIMIT,
    };
    let data = match (&args.environment, &args.file) {
        (Some(variable), _) => variable_of(variable)?,
        (None, Some(file)) => read(file, limit).await?,
        (None, None) => Vec::new(),
    };
    let (name, labels, template) = (args.name, flags::labels(&args.label), args.template_driver.is_some());
    let mut client = Client::connect_or_start(host).await?;
    let id = match kind {
        Kind::Secret => {
            let spec = SecretSpec { name, labels, stack: None, data: SecretData::new(data), template };
            client.control.create_secret(CreateSecretRequest { spec: Some(spec.into()) }).await?.into_inner().id
        }
        Kind::Config => {
            let spec = ConfigSpec { name, labels, stack: None, data, template };
            client.control.create_config(CreateConfigRequest { spec: Some(spec.into()) }).await?.into_inner().id
        }
    };
    format::write(&format!("{id}\n"))
}

fn variable_of(variable: &str) -> Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let value = std::env::var_os(variable).ok_or_else(|| Error::Flag {
        flag: "--environment",
        value: variable.to_owned(),
        reason: "there is no such variable".into(),
    })?;
    Ok(value.into_vec())
}

/// Reads one byte more than is allowed at most, which the managers then refuse by its size.
async fn read(file: &Path, limit: usize) -> Result<Vec<u8>> {
    let failed = |source| Error::File { action: "read", path: file.into(), source };
    let most = limit as u64 + 1;
    let mut data = Vec::new();
    match file == Path::new("-") {
        true => tokio::io::stdin().take(most).read_to_end(&mut data).await.map_err(failed)?,
        false => {
            let opened = tokio::fs::File::open(file).await.map_err(failed)?;
            opened.take(most).read_to_end(&mut data).await.map_err(failed)?
        }
    };
    Ok(data)
}
