//! Docker's `config.json` on disk, and the programs that keep credentials for it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::credentials::{Credentials, DockerConfig, Source, helper_input, key, parse_helper};
use super::{Error, Result};

/// Largest `config.json`, and largest answer of a helper.
const FILE_MAX: u64 = 4 << 20;

/// A user's credentials for all registries.
#[derive(Clone, Debug)]
pub struct Logins {
    path: PathBuf,
}

/// What a logout did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoggedOut {
    /// The credentials are gone.
    Removed,
    /// There were none.
    NotLoggedIn,
}

impl Logins {
    /// Those of `config.json` in `dir`, which need not exist.
    pub fn new(dir: &Path) -> Logins {
        Logins { path: dir.join("config.json") }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The credentials for the registry `domain`, if there are any.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Helper`].
    pub fn get(&self, domain: &str) -> Result<Option<Credentials>> {
        match self.read()?.find(domain) {
            Source::Nowhere => Ok(None),
            Source::File(credentials) => Ok(Some(credentials)),
            Source::Helper(program) => ask(&program, domain),
        }
    }

    /// Keeps `credentials`; returns whether they are in the file, where whoever reads it can read them.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Helper`].
    pub fn set(&self, domain: &str, credentials: &Credentials) -> Result<bool> {
        let mut config = self.read()?;
        let helper = config.helper(domain);
        match &helper {
            Some(program) => {
                run(program, "store", &helper_input(domain, credentials))?;
                config.set(domain, None);
            }
            None => config.set(domain, Some(credentials)),
        }
        self.write(&config)?;
        Ok(helper.is_none())
    }

    /// Forgets the credentials for `domain`.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Helper`].
    pub fn erase(&self, domain: &str) -> Result<LoggedOut> {
        let mut config = self.read()?;
        let helper = config.helper(domain);
        let known = config.mentions(domain)
            || helper.as_ref().is_some_and(|program| matches!(ask(program, domain), Ok(Some(_))));
        if !known {
            return Ok(LoggedOut::NotLoggedIn);
        }
        if let Some(program) = helper {
            run(&program, "erase", key(domain))?;
        }
        config.erase(domain);
        self.write(&config)?;
        Ok(LoggedOut::Removed)
    }

    fn read(&self) -> Result<DockerConfig> {
        let path = self.path.display().to_string();
        let failed = |error: io::Error| Error::File { path: path.clone(), reason: error.to_string() };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(DockerConfig::default());
            }
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_MAX).read_to_end(&mut bytes).map_err(failed)?;
        DockerConfig::parse(&path, &bytes)
    }

    /// Writes a new file and renames it over the old one, or over what a link of that name means.
    fn write(&self, config: &DockerConfig) -> Result<()> {
        let failed =
            |error: io::Error| Error::File { path: self.path.display().to_string(), reason: error.to_string() };
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let staged = dir.join(format!(".config.json.{}", std::process::id()));
        let written =
            File::options().write(true).create(true).truncate(true).mode(0o600).open(&staged).and_then(|mut file| {
                rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o600))?;
                file.write_all(config.to_text().as_bytes())?;
                file.sync_all()?;
                fs::rename(&staged, &path)
            });
        if written.is_err() {
            let _ = fs::remove_file(&staged);
        }
        written.map_err(failed)
    }
}

fn ask(program: &str, domain: &str) -> Result<Option<Credentials>> {
    match run(program, "get", key(domain)) {
        Ok(output) => {
            let failed = |reason| Error::Helper { program: name(program), reason };
            let credentials = parse_helper(&output).map_err(failed)?;
            // Some helpers answer so when they know nobody.
            Ok(Some(credentials).filter(
                |credentials| !matches!(credentials, Credentials::Password { username, .. } if username.is_empty()),
            ))
        }
        Err(Error::Helper { reason, .. }) if reason.contains("credentials not found") => Ok(None),
        Err(error) => Err(error),
    }
}

fn name(program: &str) -> String {
    format!("docker-credential-{program}")
}

/// Runs a helper (<https://github.com/docker/docker-credential-helpers>): it takes `input` and answers on standard output, also
/// with what is wrong. Secrets go by pipe, never as arguments.
fn run(program: &str, verb: &str, input: &str) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Helper { program: name(program), reason };
    if program.contains('/') {
        return Err(failed("the name of a helper has no slash".to_owned()));
    }
    let mut child = Command::new(name(program))
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed(format!("it cannot be run: {error}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that doesn't read its input says so by its end.
        let _ = stdin.write_all(input.as_bytes());
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(FILE_MAX).read_to_end(&mut output).map_err(|error| failed(error.to_string()))?;
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() {
        return Ok(output);
    }
    let said = super::problem::message(&output);
    Err(failed(if said.is_empty() { format!("it ended with {status}") } else { said }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn password(secret: &str) -> Credentials {
        Credentials::Password { username: "u".into(), password: secret.into() }
    }

    #[test]
    fn a_login_is_kept_where_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let logins = Logins::new(&dir.path().join("new/.docker"));
        assert_eq!(logins.get("r.example").unwrap(), None);
        assert_eq!(logins.erase("r.example").unwrap(), LoggedOut::NotLoggedIn);
        assert!(!logins.path().exists());
        assert!(logins.set("r.example", &password("s")).unwrap());
        assert_eq!(logins.get("r.example").unwrap(), Some(password("s")));
        fs::set_permissions(logins.path(), fs::Permissions::from_mode(0o644)).unwrap();
        logins.set("other.example", &password("t")).unwrap();
        assert_eq!(fs::metadata(logins.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(logins.path().parent().unwrap()).unwrap().count(), 1);
        assert_eq!(logins.erase("r.example").unwrap(), LoggedOut::Removed);
        assert_eq!(logins.get("r.example").unwrap(), None);
        assert_eq!(logins.get("other.example").unwrap(), Some(password("t")));
    }

    #[test]
    fn a_helper_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let logins = Logins::new(dir.path());
        fs::write(logins.path(), r#"{"credsStore": "not-there"}"#).unwrap();
        assert!(logins.get("r.example").unwrap_err().to_string().contains("docker-credential-not-there"));
        fs::write(logins.path(), r#"{"credsStore": "../sh"}"#).unwrap();
        assert!(logins.get("r.example").unwrap_err().to_string().contains("slash"));
        fs::write(logins.path(), "{").unwrap();
        assert!(logins.get("r.example").unwrap_err().to_string().contains("config.json"));
    }
}
