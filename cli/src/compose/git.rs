//! Compose files from git repositories: `-f https://HOST/REPOSITORY.git[#REF[:DIRECTORY]]`, and the same in `include` and `extends`.
//!
//! The program `git` fetches them, with the user's own configuration and keys, and asks nothing. A commit is checked out once
//! into the user's cache; only what a branch or tag means is asked anew.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::remote::{cache_path, make};
use crate::error::{Error, Result};
use crate::output::table::printable;

/// How long one run of git may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How much of what git prints is kept, in bytes.
const OUTPUT_MAX: u64 = 64 << 10;
/// Docker Compose's variable that switches such files off.
const SWITCH: &str = "COMPOSE_EXPERIMENTAL_GIT_REMOTE";
/// What a directory's Compose file is called.
const NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];

/// A place in a git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitRef {
    /// What git is to ask.
    remote: String,
    scheme: &'static str,
    /// Branch, tag or commit; HEAD if none is said.
    reference: String,
    /// A directory or file of it.
    inside: PathBuf,
}

impl GitRef {
    /// Reads a reference; `None` if it is none, `Err` if it is one that cannot be meant.
    pub fn parse(text: &str) -> Option<Result<Self>> {
        let (place, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (place, query) = place.split_once('?').unwrap_or((place, ""));
        let (remote, scheme) = if let Some(rest) = place.strip_prefix("github.com/") {
            (format!("https://github.com/{rest}"), "https")
        } else if place.starts_with("git@") && place.contains(':') {
            (place.to_owned(), "ssh")
        } else {
            let scheme = ["https", "http", "ssh", "git"]
                .into_iter()
                .find(|scheme| place.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://")))?;
            // Other pages of the web are no repositories.
            if scheme.starts_with("http") && !place.ends_with(".git") {
                return None;
            }
            (place.to_owned(), scheme)
        };
        Some(Self::inside(remote, scheme, fragment, query))
    }

    fn inside(remote: String, scheme: &'static str, fragment: &str, query: &str) -> Result<Self> {
        let shown = without_password(&remote);
        let refused = |what: &str, value: &str| {
            Error::Compose(format!("{shown}: {what} {:?} cannot be fetched", printable(value)))
        };
        let (mut reference, mut directory) = match fragment.split_once(':') {
            Some((reference, directory)) => (reference.to_owned(), directory.to_owned()),
            None => (fragment.to_owned(), String::new()),
        };
        for (key, value) in
            query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        {
            match key {
                "ref" => reference = value.to_owned(),
                "branch" => reference = format!("refs/heads/{value}"),
                "tag" => reference = format!("refs/tags/{value}"),
                "subdir" => directory = value.to_owned(),
                _ => return Err(refused("the option", key)),
            }
        }
        if reference.is_empty() {
            reference = "HEAD".into();
        }
        let plain = |c: char| !c.is_control() && !" ~^:?*[\\".contains(c);
        if reference.starts_with('-') || reference.len() > 255 || !reference.chars().all(plain) {
            return Err(refused("the ref", &reference));
        }
        let inside = PathBuf::from(&directory);
        if !inside.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Err(refused("the directory", &directory));
        }
        Ok(Self { remote, scheme, reference, inside })
    }

    /// The repository's own name, which a project is called by if nothing else says how.
    fn base(&self) -> &str {
        let end = self.remote.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let name = end.strip_suffix(".git").unwrap_or(end);
        if name.is_empty() || name.starts_with('.') { "repository" } else { name }
    }

    /// The Compose file on this machine.
    pub fn fetch(&self) -> Result<PathBuf> {
        let switch = std::env::var(SWITCH).unwrap_or_default();
        if matches!(switch.as_str(), "0" | "f" | "F" | "false" | "FALSE" | "False") {
            return Err(self.failed(format!("{SWITCH} says that no repositories are to be fetched")));
        }
        if matches!(self.scheme, "http" | "git") {
            eprintln!("WARNING: {} is fetched without encryption: whoever is on the way may change it", self.shown());
        }
        let cache = cache_path("compose-git")?;
        make(&cache)?;
        let commit = match is_commit(&self.reference) {
            true => self.reference.clone(),
            false => self.commit(&cache)?,
        };
        let checkout = cache.join(&commit).join(self.base());
        if !checkout.is_dir() {
            self.check_out(&cache, &commit, &checkout)?;
        }
        self.find(&checkout)
    }

    fn shown(&self) -> String {
        without_password(&self.remote)
    }

    fn failed(&self, reason: impl std::fmt::Display) -> Error {
        Error::Compose(format!("cannot fetch {}: {reason}", self.shown()))
    }

    /// What the reference means now.
    fn commit(&self, cache: &Path) -> Result<String> {
        let ran = self.git(cache, &["ls-remote", "--exit-code", "--", &self.remote, &self.reference])?;
        match ran.code {
            Some(0) => {}
            Some(2) => return Err(self.failed(format!("it has no {:?}", self.reference))),
            _ => return Err(self.failed(ran.error)),
        }
        let commit = ran.output.get(..40).filter(|commit| is_commit(commit));
        commit.map(str::to_owned).ok_or_else(|| self.failed("git does not say which commit is meant"))
    }

    /// Checks a commit out beside, and moves it where it belongs all at once.
    fn check_out(&self, cache: &Path, commit: &str, end: &Path) -> Result<()> {
        let staging = cache.join(format!(".{}", std::process::id()));
        let _ = fs::remove_dir_all(&staging);
        make(&staging)?;
        let result = self.check_out_at(&staging, commit).and_then(|()| {
            make(end.parent().unwrap_or(cache))?;
            match fs::rename(&staging, end) {
                // Another command may have been faster with the same.
                Err(_) if end.is_dir() => Ok(()),
                Err(source) => Err(Error::File { action: "write", path: end.to_owned(), source }),
                Ok(()) => Ok(()),
            }
        });
        let _ = fs::remove_dir_all(&staging);
        result
    }

    fn check_out_at(&self, directory: &Path, commit: &str) -> Result<()> {
        let steps: [&[&str]; 3] = [
            &["init", "--quiet", "--template=", "."],
            &["fetch", "--quiet", "--depth=1", "--no-tags", "--", &self.remote, commit],
            &["checkout", "--quiet", "--detach", commit],
        ];
        for step in steps {
            let ran = self.git(directory, step)?;
            if ran.code != Some(0) {
                return Err(self.failed(ran.error));
            }
        }
        Ok(())
    }

    /// The file that is meant in a checkout; a link in it must not lead out of it.
    fn find(&self, checkout: &Path) -> Result<PathBuf> {
        let place = checkout.join(&self.inside);
        let file = match place.is_dir() {
            true => NAMES.iter().map(|name| place.join(name)).find(|path| path.is_file()),
            false => Some(place).filter(|path| path.is_file()),
        };
        let inside = self.inside.display();
        let file = file.ok_or_else(|| match self.inside.as_os_str().is_empty() {
            true => self.failed("it has no Compose file"),
            false => self.failed(format!("it has no Compose file in {inside}")),
        })?;
        let root = checkout.canonicalize();
        match (file.canonicalize(), root) {
            (Ok(real), Ok(root)) if real.starts_with(&root) => Ok(file),
            _ => Err(self.failed(format!("{} leads out of it", file.display()))),
        }
    }

    fn git(&self, directory: &Path, args: &[&str]) -> Result<Ran> {
        let mut command = Command::new("git");
        // Only the protocol that was named, and no programs that a repository or template brings.
        command.args(["-c", "protocol.allow=never", "-c", &format!("protocol.{}.allow=always", self.scheme)]);
        command.args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
            "-c",
            "advice.detachedHead=false",
        ]);
        command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "submodule.recurse=false"]);
        command.args(args).current_dir(directory);
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALLOW_PROTOCOL"] {
            command.env_remove(name);
        }
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !is_set("GIT_TERMINAL_PROMPT") {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        if !is_set("GIT_SSH") && !is_set("GIT_SSH_COMMAND") {
            command.env("GIT_SSH_COMMAND", "ssh -o ControlMaster=no -o BatchMode=yes");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => Error::Unsupported {
                what: format!("the Compose file of the repository {}", self.shown()),
                instead: "the program git is not installed here: install it, or clone the repository yourself".into(),
            },
            _ => Error::File { action: "run", path: "git".into(), source },
        })?;
        self.wait(child)
    }

    fn wait(&self, mut child: Child) -> Result<Ran> {
        let keep = |stream: Option<Box<dyn Read + Send>>| {
            std::thread::spawn(move || {
                let (mut kept, Some(mut stream)) = (Vec::new(), stream) else { return Vec::new() };
                let _ = (&mut stream).take(OUTPUT_MAX).read_to_end(&mut kept);
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
                kept
            })
        };
        let output = keep(child.stdout.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
        let error = keep(child.stderr.take().map(|stream| Box::new(stream) as Box<dyn Read + Send>));
        let deadline = Instant::now() + PATIENCE;
        let failed = |source| Error::File { action: "wait for", path: "git".into(), source };
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    // Its helpers are in its group.
                    let group = rustix::process::Pid::from_child(&child);
                    let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                    let _ = child.wait();
                    return Err(self.failed(format!("git has not ended within {} s", PATIENCE.as_secs())));
                }
                None => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let text = |kept: std::thread::JoinHandle<Vec<u8>>| {
            String::from_utf8_lossy(&kept.join().unwrap_or_default()).into_owned()
        };
        let error = text(error);
        let lines = error.lines().map(printable).filter(|line| !line.trim().is_empty());
        Ok(Ran { code: status.code(), output: text(output), error: lines.collect::<Vec<_>>().join("; ") })
    }
}

/// A run of git that has ended.
struct Ran {
    code: Option<i32>,
    output: String,
    error: String,
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The address without what is between the user's name and the host.
fn without_password(remote: &str) -> String {
    let hidden = remote.split_once("://").and_then(|(scheme, rest)| {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, host) = host.rsplit_once('@')?;
        let (user, _) = user.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}/{path}"))
    });
    printable(&hidden.unwrap_or_else(|| remote.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let parsed = |text: &str| {
            let found = GitRef::parse(text)?.ok()?;
            Some(format!("{} {} {} {}", found.remote, found.reference, found.inside.display(), found.base()))
        };
        for (text, expected) in [
            ("https://host/o/app.git", "https://host/o/app.git HEAD  app"),
            ("https://host/app.git#v1:deploy/prod", "https://host/app.git v1 deploy/prod app"),
            ("https://host/app.git?branch=main&subdir=x", "https://host/app.git refs/heads/main x app"),
            ("github.com/o/app#:x", "https://github.com/o/app HEAD x app"),
            ("git@host:o/app.git#main", "git@host:o/app.git main  app"),
            ("ssh://git@host:22/o/app", "ssh://git@host:22/o/app HEAD  app"),
            ("git://host/.git", "git://host/.git HEAD  repository"),
        ] {
            assert_eq!(parsed(text).as_deref(), Some(expected), "{text}");
        }
        for none in ["compose.yaml", "./x.git", "https://host/compose.yaml", "file:///x.git", "ext::sh -c x", "oci://x"]
        {
            assert!(GitRef::parse(none).is_none(), "{none}");
        }
        for bad in ["#--upload-pack=x", "#a b", "#main:../x", "#main:/etc", "?checksum=1", "#a..b:x/../../y"] {
            assert!(GitRef::parse(&format!("git://h/a{bad}")).is_some_and(|found| found.is_err()), "{bad}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("https://u:secret@h/x.git"), "https://u:***@h/x.git");
        assert_eq!(without_password("ssh://git@h/x"), "ssh://git@h/x");
    }
}
