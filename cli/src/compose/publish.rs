//! `orca compose publish`: the application's files as an artifact of a registry, for `-f oci://…`.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use compose_spec::publish::{Contents, Named, contents, renamed};
use image::manifest::{Descriptor, MEDIA_INDEX};
use image::registry::artifact::{NewArtifact, Part, Typed};
use image::registry::{Document, Place, Registries};
use image::{Digest, Reference};
use serde_json::json;

use super::project::{Loaded, ProjectArgs, Reading};
use super::remote::{EMPTY_CONFIG, ENV_FILE, ENV_FILE_NAME, EXTENDS, FILE, FILE_NAME, PROJECT};
use super::sensitive::suspicious;
use super::{digests, dry_run, push};
use crate::client::Host;
use crate::error::{Error, Result};
use crate::{clock, registry, terminal};

/// Largest file that is published, in bytes.
const FILE_MAX: u64 = 4 << 20;
/// The annotation with who wrote it.
const VERSION: &str = "com.docker.compose.version";
/// The most suspicious lines that are shown.
const SHOWN: usize = 20;

/// Arguments of `orca compose publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Copy the images of the services along, with all of their platforms
    #[arg(long)]
    app: bool,
    /// How the artifact says what it is: 1.1, or 1.0 for older registries; by default what the registry takes
    #[arg(long, value_name = "VERSION", value_parser = ["1.0", "1.1"])]
    oci_version: Option<String>,
    /// Publish with the digests that the images have now
    #[arg(long)]
    resolve_image_digests: bool,
    /// Publish variables and files of variables, too
    #[arg(long)]
    with_env: bool,
    /// Answer every question with yes
    #[arg(short, long)]
    yes: bool,
    /// REPOSITORY[:TAG]
    repository: String,
}

/// A file on its way.
struct Source {
    path: PathBuf,
    /// What its relative paths are relative to.
    base: PathBuf,
    text: String,
    contents: Contents,
    /// The name under which others extend it.
    extended_as: Option<String>,
}

/// What is published.
#[derive(Default)]
struct Bundle {
    sources: Vec<Source>,
    /// Files of variables: their names there by their paths here.
    env_files: BTreeMap<PathBuf, String>,
}

/// Publishes the application.
pub async fn publish(host: &Host, project: &ProjectArgs, args: PublishArgs) -> Result<()> {
    let reference: Reference =
        args.repository.parse().map_err(|error| Error::Registry(format!("{}: {error}", args.repository)))?;
    let mut loaded = project.read(Reading { all_profiles: true, ..Reading::default() })?;
    let bundle = Bundle::of(&loaded)?;
    only_built(&loaded)?;
    if !may_go(&loaded, &bundle, &args)? {
        return Err(Error::NotConverged("publishing has been cancelled".into()));
    }
    push::built(host, &loaded).await?;
    let mut parts = bundle.parts(args.with_env)?;
    if args.resolve_image_digests {
        digests::resolve(host, &mut loaded.project).await?;
        let text = compose_spec::yaml(&digests::lock(&loaded.project));
        parts.push(compose_file("image-digests.yaml", text));
    }
    if host.dry_run {
        dry_run::tell([dry_run::Step::new("Application", args.repository, "Published")]);
        return Ok(());
    }
    eprintln!(" {} publishing", args.repository);
    let credentials = registry::logged_in(&reference)?;
    let created = [("org.opencontainers.image.created".to_owned(), clock::now().to_rfc3339())];
    let mut artifact =
        NewArtifact { typed: Typed::Artifact(PROJECT), parts: &parts, annotations: created.into_iter().collect() };
    if args.oci_version.as_deref() == Some("1.0") {
        artifact.typed = Typed::Config(EMPTY_CONFIG);
    }
    let registries = registry::direct(Vec::new());
    let to = Place { reference, credentials };
    // First, so that an application without its images is not published.
    let images = if args.app { copy_images(&registries, &loaded, &to).await? } else { Vec::new() };
    let Place { reference, credentials } = &to;
    let pushed = match registries.push_artifact(reference, credentials.as_ref(), &artifact).await {
        // A registry that does not know artifacts refuses the manifest.
        Err(error) if args.oci_version.is_none() && error.is_refusal() => {
            artifact.typed = Typed::Config(EMPTY_CONFIG);
            registries.push_artifact(reference, credentials.as_ref(), &artifact).await?
        }
        pushed => pushed?,
    };
    if args.app {
        put_index(&registries, &images, &to, &pushed).await?;
    }
    eprintln!(" {} published", args.repository);
    crate::output::format::write(&format!("{}@{}\n", to.reference.with_default_tag().familiar(), pushed.digest))
}

/// Copies the services' images into the application's repository.
async fn copy_images(registries: &Registries, loaded: &Loaded, to: &Place) -> Result<Vec<Descriptor>> {
    let mut manifests = Vec::new();
    for image in loaded.project.images() {
        let reference: Reference = image.parse().map_err(|error| Error::Registry(format!("{image}: {error}")))?;
        let credentials = registry::logged_in(&reference)?;
        eprintln!(" {image} copying");
        manifests.push(registries.copy(&Place { reference, credentials }, to, false).await?);
    }
    manifests.sort_by_key(|manifest| manifest.digest);
    manifests.dedup_by_key(|manifest| manifest.digest);
    Ok(manifests)
}

/// Puts an index there that refers to the application and holds its images.
async fn put_index(
    registries: &Registries,
    manifests: &[Descriptor],
    to: &Place,
    application: &Descriptor,
) -> Result<()> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MEDIA_INDEX,
        "manifests": manifests,
        "subject": application,
        "annotations": { (VERSION): env!("CARGO_PKG_VERSION") },
    });
    let bytes = index.to_string().into_bytes();
    let descriptor = Descriptor::new(MEDIA_INDEX, Digest::of(&bytes), bytes.len() as u64);
    let name = to.reference.at_digest(descriptor.digest);
    let place = Place { reference: name, credentials: to.credentials.clone() };
    Ok(registries.put_manifest(&place, &Document { bytes, descriptor }).await?)
}

impl Bundle {
    /// The application's files, and those that they lead to.
    fn of(loaded: &Loaded) -> Result<Self> {
        let directory = &loaded.project.directory;
        let mut bundle = Self::default();
        let main = loaded.project.files.iter().map(|file| (PathBuf::from(file), directory.clone(), None));
        let mut todo: VecDeque<(PathBuf, PathBuf, Option<String>)> = main.collect();
        while let Some((path, base, extended_as)) = todo.pop_front() {
            if bundle.sources.iter().any(|source| source.path == path && source.extended_as == extended_as) {
                continue;
            }
            let source = Source::read(path, base, extended_as)?;
            for named in &source.contents.extends {
                let path = source.base.join(&named.path);
                // What an extended file says is relative to its own directory.
                let own = path.parent().unwrap_or(Path::new("/")).to_owned();
                let name = hashed(&path, "yaml");
                todo.push_back((path, own, Some(name)));
            }
            for path in source.contents.env_files.iter().map(|named| source.base.join(&named.path)) {
                let name = hashed(&path, "env");
                bundle.env_files.insert(path, name);
            }
            bundle.sources.push(source);
        }
        Ok(bundle)
    }

    /// The documents of the artifact: the application's own files first, in their order.
    fn parts(&self, with_env: bool) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for source in &self.sources {
            let own = &source.contents;
            let name = |named: &Named, ending| hashed(&source.base.join(&named.path), ending);
            let env_files = own.env_files.iter().map(|named| (named, name(named, "env")));
            let extends = own.extends.iter().map(|named| (named, name(named, "yaml")));
            let names: Vec<(&Named, String)> = env_files.chain(extends).collect();
            let shown = source.path.display().to_string();
            let text = renamed(&shown, &source.text, &names).map_err(|errors| Error::Compose(errors.to_string()))?;
            let base = source.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let mut part = compose_file(source.extended_as.as_deref().unwrap_or(&base), text);
            if source.extended_as.is_some() {
                part.annotations.insert(EXTENDS.into(), "true".into());
            }
            parts.push(part);
        }
        for (path, name) in self.env_files.iter().filter(|_| with_env) {
            // One that need not be there may be missing.
            if let Some(content) = read(path)? {
                let annotations = [(ENV_FILE_NAME, name.as_str()), (VERSION, env!("CARGO_PKG_VERSION"))];
                parts.push(Part { media_type: ENV_FILE.into(), annotations: owned(annotations), content });
            }
        }
        Ok(parts)
    }
}

impl Source {
    fn read(path: PathBuf, base: PathBuf, extended_as: Option<String>) -> Result<Self> {
        if path.as_os_str() == "-" {
            return Err(Error::Unsupported {
                what: "publishing standard input".into(),
                instead: "write it into a file".into(),
            });
        }
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let failed = |source| Error::File { action: "read", path: path.clone(), source };
        let bytes = read(&path)?.ok_or_else(|| failed(missing()))?;
        let contents = contents(&path.display().to_string(), &bytes);
        let contents = contents.map_err(|errors| Error::Compose(errors.to_string()))?;
        if let Some(include) = contents.includes.first() {
            return Err(Error::Unsupported {
                what: format!("publishing {}, which includes the local file {include}", path.display()),
                instead: "publish that one first, and include it as oci://…".into(),
            });
        }
        let mut named = contents.env_files.iter().chain(&contents.extends);
        if let Some(named) = named.find(|named| named.path.contains('$')) {
            return Err(Error::Unsupported {
                what: format!(
                    "publishing {}, in which service {:?} names {}",
                    path.display(),
                    named.service,
                    named.path
                ),
                instead: "write the name without variables".into(),
            });
        }
        // YAML is UTF-8: it was read as such.
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Self { path, base, text, contents, extended_as })
    }
}

/// The name under which a file goes along, which tells nothing of this machine.
fn hashed(path: &Path, ending: &str) -> String {
    format!("{}.{ending}", Digest::of(path.as_os_str().as_encoded_bytes()).hex())
}

fn compose_file(name: &str, text: String) -> Part {
    let annotations = [(FILE_NAME, name), (VERSION, env!("CARGO_PKG_VERSION"))];
    Part { media_type: FILE.into(), annotations: owned(annotations), content: text.into_bytes() }
}

fn owned<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(failed(std::io::Error::other(format!("it is larger than {} MiB", FILE_MAX >> 20))));
    }
    Ok(Some(bytes))
}

/// Services that nobody else could run: they have no image's name.
fn only_built(loaded: &Loaded) -> Result<()> {
    let services = loaded.project.services().filter(|service| service.image().is_none());
    let built = services.filter(|service| service.node.get("build").is_some());
    let names: Vec<&str> = built.map(|service| service.name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Error::NotConverged(format!(
        "services {} have a build section and no image: give each the image's name, under which it is pushed",
        names.join(", ")
    )))
}

/// Whether all that is in the files may be seen by everybody, as their author says.
fn may_go(loaded: &Loaded, bundle: &Bundle, args: &PublishArgs) -> Result<bool> {
    let variables = variables(bundle);
    if !args.with_env && !variables.is_empty() {
        return Err(Error::NotConverged(format!(
            "{}\nthey may be secret: publish them with --with-env, or take them out of the files",
            variables.join("\n")
        )));
    }
    let mut questions = Vec::new();
    if !variables.is_empty() {
        questions.push(("variables", variables));
    }
    let binds = binds(loaded);
    if !binds.is_empty() {
        questions.push(("the names of these directories and files, not what is in them", binds));
    }
    let secrets = secrets(bundle, args.with_env)?;
    if !secrets.is_empty() {
        questions.push(("what looks like secrets", secrets));
    }
    for (what, lines) in questions {
        eprintln!("WARNING: this publishes {what}:\n{}", lines.join("\n"));
        if !args.yes && !terminal::confirm("Publish them?")? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn variables(bundle: &Bundle) -> Vec<String> {
    let mut lines = Vec::new();
    for Contents { env_files, with_variables, with_content, .. } in bundle.sources.iter().map(|source| &source.contents)
    {
        lines.extend(
            env_files.iter().map(|named| format!("service {:?} has the env_file {}", named.service, named.path)),
        );
        lines.extend(with_variables.iter().map(|service| format!("service {service:?} sets variables")));
        lines.extend(with_content.iter().map(|config| format!("config {config:?} has its content in the file")));
    }
    lines
}

fn binds(loaded: &Loaded) -> Vec<String> {
    let mut lines = Vec::new();
    for service in loaded.project.services() {
        let text = |mount: &compose_spec::node::Node, key: &str| mount.get(key).and_then(|node| node.scalar_text());
        let binds = service.list(&["volumes"]).iter().filter(|mount| text(mount, "type").as_deref() == Some("bind"));
        let line = |mount| Some(format!("service {:?}: {}", service.name, text(mount, "source")?));
        lines.extend(binds.filter_map(line));
    }
    lines
}

fn secrets(bundle: &Bundle, with_env: bool) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let mut look = |path: &Path, text: &str| {
        let found = suspicious(text).into_iter();
        lines.extend(found.map(|(line, what)| format!("{}:{line}: {what}", path.display())));
    };
    for source in &bundle.sources {
        look(&source.path, &source.text);
    }
    for path in bundle.env_files.keys().filter(|_| with_env) {
        look(path, &String::from_utf8_lossy(&read(path)?.unwrap_or_default()));
    }
    if lines.len() > SHOWN {
        let more = lines.len() - SHOWN;
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more"));
    }
    Ok(lines)
}
