//! Contexts as files, to take them to another machine: a tar with `meta.json` in Docker's shape.

use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::store::{Context, FILE_MAX, Tls};
use crate::error::{Error, Result};

/// Writes a context into a tar.
pub fn export(context: &Context, file: Option<PathBuf>) -> Result<()> {
    let path = file.unwrap_or_else(|| format!("{}.dockercontext", context.name).into());
    let error = |source| Error::File { action: "write", path: path.clone(), source };
    let bytes = pack(context).map_err(error)?;
    if path == Path::new("-") {
        if crate::terminal::stdout_is_terminal() {
            return Err(Error::Unsupported {
                what: "a context on a terminal".into(),
                instead: "it may have a key: name a file, or lead it into a pipe".into(),
            });
        }
        return std::io::stdout().write_all(&bytes).map_err(error);
    }
    // It may have a key.
    let mut options = std::fs::OpenOptions::new();
    let mut out = options.write(true).create_new(true).mode(0o600).open(&path).map_err(error)?;
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
    if let Some(tls) = &context.tls {
        for (name, text) in TLS_FILES.iter().zip([&tls.ca, &tls.cert, &tls.key]) {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, format!("{TLS_DIR}{name}"), text.as_bytes())?;
        }
    }
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
    let Packed { meta, tls } = unpack(&bytes).map_err(error)?;
    let meta = meta.ok_or_else(|| refuse("it has no meta.json: export makes such files"))?;
    let text = |path: &str| meta.pointer(path).and_then(Json::as_str).unwrap_or_default().to_owned();
    let host = text("/Endpoints/docker/Host");
    let is_tcp = matches!(api::client::Endpoint::parse(&host)?, api::client::Endpoint::Tcp { .. });
    let tls = match tls {
        [Some(ca), Some(cert), Some(key)] => Some(Tls { ca, cert, key }),
        [None, None, None] => None,
        _ => return Err(refuse("of ca.pem, cert.pem and key.pem it has only some")),
    };
    match &tls {
        None if is_tcp => return Err(refuse("its address is tcp:// and it has no certificates")),
        Some(_) if !is_tcp => return Err(refuse("it has certificates, which are for tcp:// only")),
        Some(tls) => drop(api::tls::Identity::from(tls.clone()).client()?),
        None => {}
    }
    Ok(Context { description: text("/Metadata/Description"), tls, ..Context::new(name, &host) })
}

/// Where Docker has a context's certificates, and their names there.
const TLS_DIR: &str = "tls/docker/";
const TLS_FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

#[derive(Default)]
struct Packed {
    meta: Option<Json>,
    tls: [Option<String>; 3],
}

fn unpack(bytes: &[u8]) -> std::io::Result<Packed> {
    let mut archive = tar::Archive::new(bytes);
    let mut packed = Packed::default();
    for entry in archive.entries()? {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        if path == "meta.json" {
            packed.meta = Some(serde_json::from_reader(entry.take(FILE_MAX))?);
        } else if let Some(name) = path.strip_prefix(TLS_DIR).filter(|name| !name.is_empty()) {
            let index = TLS_FILES.iter().position(|own| *own == name);
            let index =
                index.ok_or_else(|| std::io::Error::other(format!("{path} is not one of a context's files")))?;
            let mut text = String::new();
            entry.take(FILE_MAX).read_to_string(&mut text)?;
            packed.tls[index] = Some(text);
        }
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_read_back() {
        let made = rcgen::generate_simple_self_signed(["far".to_owned()]).unwrap();
        let tls = Tls { ca: made.cert.pem(), cert: made.cert.pem(), key: made.signing_key.serialize_pem() };
        let no_key = Tls { key: "no key".into(), ..tls.clone() };
        let tcp = Context { tls: Some(tls), ..Context::new("far", "tcp://far:2376") };
        let context = Context { description: "the far one".into(), ..Context::new("far", "ssh://ann@far:2222") };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        std::fs::write(&path, pack(&context).unwrap()).unwrap();
        assert_eq!(import("near", &path).unwrap(), Context { name: "near".into(), ..context });
        std::fs::write(&path, pack(&tcp).unwrap()).unwrap();
        assert_eq!(import("near", &path).unwrap(), Context { name: "near".into(), ..tcp.clone() });
        std::fs::write(&path, pack(&Context { tls: Some(no_key), ..tcp.clone() }).unwrap()).unwrap();
        assert!(import("near", &path).is_err(), "a key that is none");
        std::fs::write(&path, pack(&Context { tls: None, ..tcp }).unwrap()).unwrap();
        assert!(import("near", &path).is_err(), "tcp without certificates");
        std::fs::write(&path, [0; 4096]).unwrap();
        assert!(import("near", &path).is_err());
        std::fs::write(&path, "no tar").unwrap();
        assert!(import("near", &path).is_err());
    }
}
