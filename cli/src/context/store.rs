//! Contexts on disk: `~/.orca/contexts/NAME.json`, and in `~/.orca/config.json` the one in use.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::DEFAULT;
use crate::client::DEFAULT_HOST;
use crate::error::{Error, Result};

/// Largest file that is read, in bytes.
pub const FILE_MAX: u64 = 1 << 20;

/// A daemon by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Context {
    /// Version of the file.
    #[serde(default)]
    pub format: u32,
    /// Its name.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// Where the daemon answers.
    pub host: String,
    /// The certificates for `tcp://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Certificates and a key as PEM; the file that has them is the user's alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tls {
    /// Whom to trust.
    pub ca: String,
    /// The user's certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl From<Tls> for api::tls::Identity {
    fn from(Tls { ca, cert, key }: Tls) -> Self {
        Self { ca, cert, key }
    }
}

impl Context {
    /// A context without a description.
    pub fn new(name: &str, host: &str) -> Self {
        Self { format: 1, name: name.into(), description: String::new(), host: host.into(), tls: None }
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    current_context: String,
}

/// The directory with all of them.
#[derive(Debug, Clone)]
pub struct Store {
    directory: PathBuf,
}

impl Store {
    /// At `--config`, `ORCA_CONFIG` or `~/.orca`.
    pub fn open(config: Option<PathBuf>) -> Self {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = || set("HOME").unwrap_or_else(|| "/root".into()).join(".orca");
        Self { directory: config.or_else(|| set("ORCA_CONFIG")).unwrap_or_else(home) }
    }

    /// The file of a context.
    pub fn place(&self, name: &str) -> PathBuf {
        self.directory.join("contexts").join(format!("{name}.json"))
    }

    /// The context in use, by name.
    pub fn current(&self) -> Result<String> {
        let path = self.directory.join("config.json");
        let Some(bytes) = read(&path)? else { return Ok(DEFAULT.into()) };
        let config: Config = parse(&path, &bytes)?;
        Ok(if config.current_context.is_empty() { DEFAULT.into() } else { config.current_context })
    }

    /// Chooses a context.
    pub fn set_current(&self, name: &str) -> Result<()> {
        let name = if name == DEFAULT { "" } else { name };
        write(&self.directory.join("config.json"), &Config { current_context: name.into() })
    }

    /// The context of a name.
    pub fn get(&self, name: &str) -> Result<Context> {
        if name == DEFAULT {
            let description = "This machine's own daemon".into();
            return Ok(Context { description, ..Context::new(DEFAULT, DEFAULT_HOST) });
        }
        check(name)?;
        let path = self.place(name);
        match read(&path)? {
            Some(bytes) => parse(&path, &bytes),
            None => Err(Error::NotFound { kind: "context", name: name.to_owned() }),
        }
    }

    /// Every context by name, the default one first.
    pub fn list(&self) -> Result<Vec<Context>> {
        let mut names: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(self.directory.join("contexts")).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            names.extend(name.strip_suffix(".json").filter(|name| check(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        std::iter::once(DEFAULT.to_owned()).chain(names).map(|name| self.get(&name)).collect()
    }

    /// Writes a new context.
    pub fn add(&self, context: &Context) -> Result<()> {
        check(&context.name)?;
        if self.place(&context.name).exists() {
            return Err(Error::Several(format!("a context {:?} exists already: update or remove it", context.name)));
        }
        write(&self.place(&context.name), context)
    }

    /// Writes a context that there is.
    pub fn change(&self, context: &Context) -> Result<()> {
        check(&context.name)?;
        write(&self.place(&context.name), context)
    }

    /// Removes a context; the default one is used from then on if it was in use.
    pub fn remove(&self, name: &str) -> Result<()> {
        check(name)?;
        let path = self.place(name);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::NotFound { kind: "context", name: name.to_owned() });
            }
            Err(source) => return Err(Error::File { action: "remove", path, source }),
        }
        if self.current()? == name { self.set_current(DEFAULT) } else { Ok(()) }
    }
}

/// Docker's rule for names, which makes them safe as names of files too.
pub fn check(name: &str) -> Result<()> {
    let refuse =
        |reason: &str| Err(Error::Flag { flag: "the context's name", value: name.into(), reason: reason.into() });
    if name == DEFAULT {
        return refuse("\"default\" is reserved, and always there");
    }
    let fine = name.len() >= 2
        && name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'+' | b'-'));
    if fine { Ok(()) } else { refuse("expected a letter or digit, then letters, digits, _ . + -") }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    use std::io::Read;
    let error = |source| Error::File { action: "read", path: path.into(), source };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(error(source)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(error)?;
    Ok(Some(bytes))
}

fn parse<T: serde::de::DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::File {
        action: "read",
        path: path.into(),
        source: error.into(),
    })
}

/// Written aside and moved into place, so that no reader finds half of it.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let error = |source| Error::File { action: "write", path: path.into(), source };
    let text = serde_json::to_string_pretty(value).map_err(|source| error(source.into()))?;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(error)?;
    }
    let draft = path.with_extension(format!("new{}", std::process::id()));
    let _ = std::fs::remove_file(&draft);
    let mut options = std::fs::OpenOptions::new();
    let file = std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600).open(&draft);
    let written = file.and_then(|mut file| std::io::Write::write_all(&mut file, (text + "\n").as_bytes()));
    written.and_then(|()| std::fs::rename(&draft, path)).map_err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_kept_and_names_are_safe() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Some(dir.path().into()));
        assert_eq!(store.current().unwrap(), DEFAULT);
        let far = Context::new("far", "ssh://far");
        store.add(&far).unwrap();
        assert!(store.add(&far).is_err(), "it is there");
        assert_eq!(store.get("far").unwrap(), far);
        store.set_current("far").unwrap();
        assert_eq!(store.current().unwrap(), "far");
        assert_eq!(
            store.list().unwrap().iter().map(|context| context.name.as_str()).collect::<Vec<_>>(),
            ["default", "far"]
        );
        store.remove("far").unwrap();
        assert_eq!(store.current().unwrap(), DEFAULT, "what is gone is not in use");
        for bad in ["", "a", "../x", "a/b", ".hidden", "default", &"a".repeat(200)] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
