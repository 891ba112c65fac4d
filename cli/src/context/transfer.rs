//! Contexts as files, to take them to another machine: a tar with `meta.json` in Docker's shape.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::store::{Context, FILE_MAX};
use crate::error::{Error, Result};

/// Writes a context into a tar.
pub fn export(context: &Context, file: Option<PathBuf>) -> Result<()> {
    let path = file.unwrap_or_else(|| format!("{}.dockercontext", context.name).into());
    let error = |source| Error::File { action: "write", path: path.clone(), source };
    let bytes = pack(context).map_err(error)?;
    if path == Path::new("-") {
        return std::io::stdout().write_all(&bytes).map_err(error);
    }
    let mut out = std::fs::OpenOptions::new().write(true).create_new(true).open(&path).map_err(error)?;
    out.write_all(&bytes).map_err(error)?;
    eprintln!("Written file {:?}", path.display().to_string());
    Ok(())
}

fn pack(context: &Context) -> std::io::Result<Vec<u8>> {
    let meta = json!({
        "Name": context.name,
        "Metadata": { "Description": context.description },
        "Endpoints": { "docker": { "Host": context.host, "SkipTLSVerify": false } },
    });
    let text = meta.to_string();
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "meta.json", text.as_bytes())?;
    archive.into_inner()
}

/// Reads a context from a tar.
pub fn import(name: &str, file: &Path) -> Result<Context> {
    let error = |source| Error::File { action: "read", path: file.into(), source };
    let mut bytes = Vec::new();
    match file == Path::new("-") {
        true => std::io::stdin().take(FILE_MAX).read_to_end(&mut bytes).map_err(error)?,
        false => std::fs::File::open(file).map_err(error)?.take(FILE_MAX).read_to_end(&mut bytes).map_err(error)?,
    };
    let refuse =
        |reason: &str| Error::Flag { flag: "the file", value: file.display().to_string(), reason: reason.into() };
    let meta = unpack(&bytes).map_err(error)?.ok_or_else(|| refuse("it has no meta.json: export makes such files"))?;
    let text = |path: &str| meta.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
    let host = text("/Endpoints/docker/Host");
    api::client::Endpoint::parse(&host)?;
    Ok(Context { description: text("/Metadata/Description"), ..Context::new(name, &host) })
}

fn unpack(bytes: &[u8]) -> std::io::Result<Option<Json>> {
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries()? {
        let entry = entry?;
        let path = entry.path_bytes();
        if path.as_ref() == b"meta.json" || path.as_ref() == b"./meta.json" {
            return Ok(Some(serde_json::from_reader(entry.take(FILE_MAX))?));
        }
        if path.starts_with(b"tls/") {
            return Err(std::io::Error::other("it has certificates, which contexts do not take yet: use ssh://"));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_back() {
        let context = Context { description: "the far one".into(), ..Context::new("far", "ssh://ann@far:2222") };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, pack(&context).unwrap()).unwrap();
        assert_eq!(import("near", &path).unwrap(), Context { name: "near".into(), ..context });
        std::fs::write(&path, [0; 4096]).unwrap();
        assert!(import("near", &path).is_err());
        std::fs::write(&path, "no tar").unwrap();
        assert!(import("near", &path).is_err());
    }
}
