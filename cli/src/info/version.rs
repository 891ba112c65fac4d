//! `orca version`.

use std::fmt::Write as _;

use api::node::{GetNodeReply, GetNodeRequest};
use clap::Args;
use serde_json::{Value as Json, json};

use super::architecture;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Arguments of `orca version`.
#[derive(Debug, Args)]
pub struct VersionArgs {
    /// json, or a Go template
    #[arg(short, long)]
    format: Option<String>,
}

/// The version of what commands and daemons say to each other.
const API_VERSION: &str = "1";

/// Shows the versions of the client and, where one answers, of the daemon.
pub async fn version(host: &Host, args: VersionArgs) -> Result<()> {
    format::check(args.format.as_deref())?;
    let node = async {
        let mut client = Client::connect(host).await?;
        Ok::<_, Error>(client.node.get_node(GetNodeRequest {}).await?.into_inner())
    };
    let node = node.await;
    let versions = json!({ "Client": client(host), "Server": node.as_ref().ok().map(server) });
    format::print_one(args.format.as_deref(), "types.VersionInfo", &versions, || people(&versions))?;
    node.map(drop)
}

fn client(host: &Host) -> Json {
    json!({
        "Platform": { "Name": "Orca" },
        "Version": env!("CARGO_PKG_VERSION"),
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "Os": std::env::consts::OS,
        "Arch": architecture(),
        "Context": host.context,
    })
}

fn server(node: &GetNodeReply) -> Json {
    let description = node.description.clone().unwrap_or_default();
    json!({
        "Platform": { "Name": "Orca" },
        "Version": description.engine_version,
        "ApiVersion": API_VERSION,
        "MinAPIVersion": API_VERSION,
        "Os": description.os,
        "Arch": description.architecture,
        "Experimental": false,
        "KernelVersion": node.kernel_version,
        "Components": [{ "Name": "Engine", "Version": description.engine_version }],
    })
}

fn people(versions: &Json) -> String {
    let mut text = String::new();
    let get = |path: &str| versions.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
    let os = |side: &str| format!("{}/{}", get(&format!("/{side}/Os")), get(&format!("/{side}/Arch")));
    let _ = write!(
        text,
        "Client: Orca\n Version:           {}\n API version:       {}\n OS/Arch:           {}\n Context:           {}\n",
        get("/Client/Version"),
        get("/Client/ApiVersion"),
        os("Client"),
        get("/Client/Context"),
    );
    if !versions["Server"].is_null() {
        let _ = write!(
            text,
            "\nServer: Orca\n Engine:\n  Version:          {}\n  API version:      {} (minimum version {})\n  OS/Arch:          {}\n  \
             Kernel:           {}\n",
            get("/Server/Version"),
            get("/Server/ApiVersion"),
            get("/Server/MinAPIVersion"),
            os("Server"),
            get("/Server/KernelVersion"),
        );
    }
    text
}
