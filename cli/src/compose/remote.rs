//! Compose files from elsewhere: of git repositories ([`git`](super::git)), and of registries: `-f oci://NAME[:TAG|@DIGEST]`, and the same in `include` and `extends`.
//!
//! What was fetched is kept in the user's cache, a directory a digest, and used as it is there; only what a tag means is asked
//! anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use compose_spec::Project;
use compose_spec::node::Node;
use compose_spec::publish::{contents, renamed};
use image::Reference;
use image::registry::artifact::{ArtifactManifest, Part};

use super::git::GitRef;
use crate::error::{Error, Result};
use crate::registry;

/// What an artifact is that holds a Compose application; all of these names are Docker Compose's.
pub const PROJECT: &str = "application/vnd.docker.compose.project";
/// The media type of its config before OCI 1.1.
pub const EMPTY_CONFIG: &str = "application/vnd.docker.compose.config.empty.v1+json";
/// A Compose file.
pub const FILE: &str = "application/vnd.docker.compose.file+yaml";
/// A file of variables.
pub const ENV_FILE: &str = "application/vnd.docker.compose.envfile";
/// The annotation with a Compose file's name.
pub const FILE_NAME: &str = "com.docker.compose.file";
/// The annotation with the name of a file of variables.
pub const ENV_FILE_NAME: &str = "com.docker.compose.envfile";
/// The annotation of a file that others extend.
pub const EXTENDS: &str = "com.docker.compose.extends";

/// What begins the name of a Compose file in a registry.
const SCHEME: &str = "oci://";
/// What the application's own files become, one document each.
const MAIN: &str = "compose.yaml";
/// Applications that are kept; of more those go that were fetched first.
const KEPT: usize = 64;

/// The local file of a remote one; `None` if the path is one of this machine.
pub fn local(path: &str) -> Option<Result<PathBuf>> {
    if let Some(name) = path.strip_prefix(SCHEME) {
        return Some(once(path, || from_registry(name)));
    }
    if let Some(repository) = GitRef::parse(path) {
        return Some(repository.and_then(|repository| once(path, || repository.fetch())));
    }
    compose_spec::publish::is_remote(path).then(|| {
        Err(Error::Unsupported {
            what: format!("the Compose file {path}"),
            instead: "only oci:// and git repositories are fetched: https://….git, ssh://…, git://…, git@HOST:…".into(),
        })
    })
}

/// Each name is asked for once a command, so that a command works with one state of it.
fn once(name: &str, fetch: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    static KNOWN: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = known.get(name) {
        return Ok(path.clone());
    }
    let path = fetch()?;
    known.insert(name.to_owned(), path.clone());
    Ok(path)
}

fn from_registry(name: &str) -> Result<PathBuf> {
    // Loading is no asynchronous work, and it may be within some.
    std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|source| Error::Terminal { action: "ask a registry", source })?;
            runtime.block_on(fetch(name))
        });
        work.join().unwrap_or_else(|_| Err(Error::Registry("the request to the registry was cut off".into())))
    })
}

async fn fetch(name: &str) -> Result<PathBuf> {
    let reference: Reference = name.parse().map_err(|error| Error::Registry(format!("{SCHEME}{name}: {error}")))?;
    let cache = cache_path("compose")?;
    make(&cache)?;
    // The project is called as its repository is, if its file does not say otherwise.
    let base = reference.path().rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(digest) = reference.digest()
        && let Some(found) = kept(&cache.join(digest.hex()).join(&base))
    {
        return Ok(found);
    }
    let (registries, credentials) = (registry::direct(Vec::new()), registry::logged_in(&reference)?);
    let (digest, manifest) = registries.artifact(&reference, credentials.as_ref(), PROJECT).await?;
    check(name, &manifest)?;
    let place = cache.join(digest.hex());
    if let Some(found) = kept(&place.join(&base)) {
        return Ok(found);
    }
    let parts = registries.artifact_parts(&reference, credentials.as_ref(), &manifest).await?;
    let mut files = files(name, &parts)?;
    localize(&mut files, &place.join(&base));
    keep(&cache, &place, &base, &files)?;
    Ok(place.join(base).join(MAIN))
}

fn kept(directory: &Path) -> Option<PathBuf> {
    let path = directory.join(MAIN);
    path.is_file().then_some(path)
}

fn check(name: &str, manifest: &ArtifactManifest) -> Result<()> {
    let is = manifest.artifact_type.as_deref().unwrap_or(&manifest.config.media_type);
    if [PROJECT, EMPTY_CONFIG].contains(&is) {
        return Ok(());
    }
    Err(Error::Registry(format!("{SCHEME}{name} is not a Compose application, but {is:?}")))
}

/// The files of an application by their names.
pub fn files(name: &str, parts: &[Part]) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for part in parts {
        let annotation = |key: &str| part.annotations.get(key).map(String::as_str).unwrap_or_default();
        let file = match part.media_type.as_str() {
            FILE if part.annotations.contains_key(EXTENDS) => annotation(FILE_NAME),
            FILE => MAIN,
            ENV_FILE => annotation(ENV_FILE_NAME),
            _ => continue,
        };
        let is_plain = Path::new(file).file_name().is_some_and(|plain| plain == file) && file.len() < 256;
        // Only the application's own files are the main one.
        let is_main = part.media_type == FILE && !part.annotations.contains_key(EXTENDS);
        if !is_plain || (file == MAIN) != is_main {
            return Err(Error::Registry(format!("{SCHEME}{name}: {file:?} is no name for a file of an application")));
        }
        let content = files.entry(file.to_owned()).or_default();
        if file == MAIN && !content.is_empty() {
            // Further files are further documents, which the loader merges.
            content.extend_from_slice(b"\n---\n");
        } else {
            content.clear();
        }
        content.extend_from_slice(&part.content);
    }
    match files.contains_key(MAIN) {
        true => Ok(files),
        false => Err(Error::Registry(format!("{SCHEME}{name} has no Compose file"))),
    }
}

/// Gives the files that go along their whole paths, so that they are found whatever the project's directory is.
fn localize(files: &mut BTreeMap<String, Vec<u8>>, directory: &Path) {
    let is_plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "/._- +@".contains(c));
    let Some(directory) = directory.to_str().filter(|text| is_plain(text)) else { return };
    let Some(text) = files.get(MAIN).and_then(|content| String::from_utf8(content.clone()).ok()) else { return };
    // What can't be read is told when it is loaded.
    let Ok(found) = contents(MAIN, text.as_bytes()) else { return };
    let named = found.env_files.iter().chain(&found.extends).filter(|named| files.contains_key(&named.path));
    let names: Vec<_> = named.map(|named| (named, format!("{directory}/{}", named.path))).collect();
    if let Ok(text) = renamed(MAIN, &text, &names) {
        files.insert(MAIN.to_owned(), text.into_bytes());
    }
}

/// Where applications are kept: a directory of the user's cache.
pub fn cache_path(of: &str) -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let cache = cache.ok_or_else(|| {
        Error::Registry("neither XDG_CACHE_HOME nor HOME says where Compose files from elsewhere are kept".into())
    })?;
    Ok(cache.join("orca").join(of))
}

/// Makes a directory that nobody else may read.
pub fn make(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(failed("make", directory))
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

/// Writes the files beside, and moves them where they belong all at once.
fn keep(cache: &Path, place: &Path, base: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<()> {
    bound(cache);
    let staging = cache.join(format!(".{}", std::process::id()));
    let _ = fs::remove_dir_all(&staging);
    make(&staging)?;
    for (name, content) in files {
        let path = staging.join(name);
        let file = fs::File::options().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| file.write_all(content)).map_err(failed("write", &path))?;
    }
    make(place)?;
    let end = place.join(base);
    if let Err(error) = fs::rename(&staging, &end) {
        let _ = fs::remove_dir_all(&staging);
        // Another command may have been faster with the same.
        if kept(&end).is_none() {
            return Err(failed("write", &end)(error));
        }
    }
    Ok(())
}

/// Lets go of the applications that were fetched first. Nothing of anybody's is in them: see [`check_paths`].
fn bound(cache: &Path) {
    let entries = fs::read_dir(cache).into_iter().flatten().flatten();
    let mut entries: Vec<_> =
        entries.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    entries.sort();
    for (_, path) in entries.iter().take(entries.len().saturating_sub(KEPT - 1)) {
        let _ = fs::remove_dir_all(path);
    }
}

/// Refuses a project that would have directories of the cache in its containers: a published application names files that
/// only its author's machine has.
pub fn check_paths(project: &Project) -> Result<()> {
    let Ok(cache) = cache_path("compose") else { return Ok(()) };
    for service in project.services() {
        let text = |node: &Node, key: &str| node.get(key).and_then(Node::as_str).map(PathBuf::from);
        let binds = service.list(&["volumes"]).iter();
        let binds = binds.filter(|mount| mount.get("type").and_then(Node::as_str) == Some("bind"));
        let binds = binds.filter_map(|mount| text(mount, "source"));
        let watched = service.list(&["develop", "watch"]).iter().filter_map(|item| text(item, "path"));
        let context = service.node.get("build").and_then(|build| text(build, "context"));
        if let Some(path) = binds.chain(watched).chain(context).find(|path| path.starts_with(&cache)) {
            let inside: PathBuf = path.strip_prefix(&cache).unwrap_or(&path).components().skip(2).collect();
            return Err(Error::NotConverged(format!(
                "service {:?} of a published application needs ./{}, which was not published: say with --project-directory \
                 which directory of this machine has it",
                service.name,
                inside.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(kind: &str, annotations: &[(&str, &str)], content: &str) -> Part {
        let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Part { media_type: kind.into(), annotations, content: content.into() }
    }

    #[test]
    fn parts_become_files_with_plain_names() {
        let extended = |name: &'static str| part(FILE, &[(FILE_NAME, name), (EXTENDS, "true")], "b");
        let main = part(
            FILE,
            &[(FILE_NAME, "a.yml")],
            "services: {a: {env_file: x.env, extends: {service: b, file: b.yaml}}}",
        );
        let parts = [
            main.clone(),
            part(FILE, &[(FILE_NAME, "override.yml")], "name: n"),
            extended("b.yaml"),
            part(ENV_FILE, &[(ENV_FILE_NAME, "x.env")], "A=1"),
            part("something/else", &[], "never written"),
        ];
        let mut found = files("host/x", &parts).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["b.yaml", MAIN, "x.env"]);
        localize(&mut found, Path::new("/cache/x"));
        let text = String::from_utf8(found[MAIN].clone()).unwrap();
        assert!(text.contains("env_file: /cache/x/x.env, extends: {service: b, file: /cache/x/b.yaml}"), "{text}");
        assert!(text.ends_with("\n---\nname: n"), "{text}");
        let long = "x".repeat(300);
        for name in ["", ".", "..", "../x", "/x", "a/b", "x/", MAIN, long.leak()] {
            assert!(files("host/x", &[main.clone(), extended(name)]).is_err(), "{name}");
            assert!(files("host/x", &[main.clone(), part(ENV_FILE, &[(ENV_FILE_NAME, name)], "")]).is_err(), "{name}");
        }
        assert!(files("host/x", &[]).unwrap_err().to_string().contains("no Compose file"));
    }
}
