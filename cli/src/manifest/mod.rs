//! `orca manifest create|annotate|inspect|push|rm` and `orca image copy`: images as registries have them, with all of their
//! platforms. This program itself asks the registries; nothing comes to the node.

mod list;
mod store;

use clap::{Args, Subcommand};
use image::manifest::Descriptor;
use image::registry::{Document, Insecure, Place, Registries};
use image::{Digest, Reference};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::output::format;
use crate::registry;
use list::{Annotation, Described, Entry, List, Platform};

/// `orca manifest VERB`.
#[derive(Debug, Subcommand)]
pub enum ManifestVerb {
    /// Put a list of manifests together, to be annotated and pushed
    Create(CreateArgs),
    /// Say what a manifest of a list runs on
    Annotate(AnnotateArgs),
    /// Show a manifest or a list, as its registry has it or as it was put together
    Inspect(InspectArgs),
    /// Push a list with all that it names
    Push(PushArgs),
    /// Forget lists that were put together
    Rm(RemoveArgs),
}

/// Arguments of `orca manifest create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Add to a list that was begun
    #[arg(short, long)]
    amend: bool,
    #[command(flatten)]
    trust: Trust,
    /// Name of the list
    list: String,
    /// Manifests in registries
    #[arg(required = true)]
    manifests: Vec<String>,
}

/// Arguments of `orca manifest annotate`.
#[derive(Debug, Args)]
pub struct AnnotateArgs {
    /// Architecture
    #[arg(long)]
    arch: Option<String>,
    /// Operating system
    #[arg(long)]
    os: Option<String>,
    /// Features of the operating system
    #[arg(long, value_delimiter = ',')]
    os_features: Vec<String>,
    /// Version of the operating system
    #[arg(long)]
    os_version: Option<String>,
    /// Variant of the architecture
    #[arg(long)]
    variant: Option<String>,
    /// Name of the list
    list: String,
    /// A manifest of it
    manifest: String,
}

/// Arguments of `orca manifest inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    trust: Trust,
    /// With name and descriptor, and of a list every manifest
    #[arg(short, long)]
    verbose: bool,
    /// [LIST] MANIFEST
    #[arg(required = true, num_args = 1..=2, value_name = "NAME")]
    names: Vec<String>,
}

/// Arguments of `orca manifest push`.
#[derive(Debug, Args)]
pub struct PushArgs {
    #[command(flatten)]
    trust: Trust,
    /// Forget the list once it is pushed
    #[arg(short, long)]
    purge: bool,
    /// Name of the list
    list: String,
}

/// Arguments of `orca manifest rm`.
#[derive(Debug, Args)]
pub struct RemoveArgs {
    /// Names of lists
    #[arg(required = true)]
    lists: Vec<String>,
}

/// Arguments of `orca image copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    #[command(flatten)]
    trust: Trust,
    /// NAME[:TAG|@DIGEST] in a registry
    source: String,
    /// NAME[:TAG] in a registry
    target: String,
}

/// Whether the registries that are named may be insecure.
#[derive(Debug, Args)]
struct Trust {
    /// The registries may answer without TLS, or with any certificate
    #[arg(long)]
    insecure: bool,
}

impl Trust {
    fn registries(&self, names: &[&Reference]) -> Registries {
        let insecure = names.iter().filter(|_| self.insecure);
        registry::direct(insecure.map(|name| Insecure::Host(name.domain().to_ascii_lowercase())).collect())
    }
}

/// Carries a verb out.
pub async fn run(verb: ManifestVerb) -> Result<()> {
    match verb {
        ManifestVerb::Create(args) => create(args).await,
        ManifestVerb::Annotate(args) => annotate(args),
        ManifestVerb::Inspect(args) => inspect(args).await,
        ManifestVerb::Push(args) => push(args).await,
        ManifestVerb::Rm(args) => remove(&args),
    }
}

/// Copies an image from registry to registry, with all of its platforms.
pub async fn copy(args: CopyArgs) -> Result<()> {
    let (from, to) = (place(&args.source)?, place(&args.target)?);
    let registries = args.trust.registries(&[&from.reference, &to.reference]);
    let copied = registries.copy(&from, &to, true).await?;
    format::write(&format!("{}@{}\n", to.reference.with_default_tag().familiar(), copied.digest))
}

fn parse(text: &str) -> Result<Reference> {
    let name: Reference = text.parse().map_err(|error| Error::Registry(format!("{text}: {error}")))?;
    Ok(name.with_default_tag())
}

fn place(text: &str) -> Result<Place> {
    let reference = parse(text)?;
    let credentials = registry::logged_in(&reference)?;
    Ok(Place { reference, credentials })
}

fn begun(name: &Reference) -> Result<List> {
    store::read(name)?.ok_or_else(|| Error::NotFound { kind: "manifest list", name: name.familiar() })
}

async fn create(args: CreateArgs) -> Result<()> {
    let name = parse(&args.list)?;
    let mut list = match (store::read(&name)?, args.amend) {
        (None, _) => List::new(name.to_string()),
        (Some(list), true) => list,
        (Some(_), false) => {
            return Err(Error::NotConverged("refusing to amend an existing manifest list with no --amend flag".into()));
        }
    };
    for manifest in &args.manifests {
        let place = place(manifest)?;
        let registries = args.trust.registries(&[&place.reference]);
        list.add(entry(&registries, &place).await?);
    }
    store::write(&name, &list)?;
    format::write(&format!("Created manifest list {name}\n"))
}

async fn entry(registries: &Registries, place: &Place) -> Result<Entry> {
    let document = registries.manifest(place).await?;
    let reference = place.reference.to_string();
    if document.descriptor.is_index() {
        return Err(Error::NotConverged(format!("{reference} is a manifest list: name the manifests in it by digest")));
    }
    let config = registries.document(place, &config_of(&reference, &document)?).await?;
    // Where the config is no image's, the platform is for `annotate` to say.
    let platform: Platform = serde_json::from_slice(&config).unwrap_or_default();
    let Descriptor { media_type, digest, size, .. } = document.descriptor;
    Ok(Entry { reference, descriptor: Described { media_type, size, digest, platform } })
}

fn config_of(name: &str, document: &Document) -> Result<Descriptor> {
    let manifest = image::manifest::Manifest::parse(name, &document.bytes);
    Ok(manifest.map_err(|error| Error::Registry(error.to_string()))?.config)
}

fn annotate(args: AnnotateArgs) -> Result<()> {
    let AnnotateArgs { arch: architecture, os, os_features, os_version, variant, list, manifest } = args;
    let (name, manifest) = (parse(&list)?, parse(&manifest)?);
    let mut list = begun(&name)?;
    let annotation = Annotation { architecture, os, os_version, os_features, variant };
    if !list.annotate(&manifest.to_string(), annotation) {
        return Err(Error::NotConverged(format!("manifest for image {manifest} does not exist in {name}")));
    }
    store::write(&name, &list)
}

async fn inspect(args: InspectArgs) -> Result<()> {
    let value = match args.names.as_slice() {
        [list, manifest] => {
            let (list, manifest) = (begun(&parse(list)?)?, parse(manifest)?.to_string());
            let found = list.entries.iter().find(|entry| entry.reference == manifest);
            let entry = found.ok_or_else(|| Error::NotFound { kind: "manifest", name: manifest.clone() })?;
            remote(&args, &entry.reference, Some(&entry.descriptor)).await?
        }
        [name] => match store::read(&parse(name)?)? {
            Some(list) if args.verbose => {
                let mut all = Vec::new();
                for entry in &list.entries {
                    all.push(remote(&args, &entry.reference, Some(&entry.descriptor)).await?);
                }
                Value::Array(all)
            }
            Some(list) => list.index().1,
            None => remote(&args, name, None).await?,
        },
        _ => return Ok(()),
    };
    let mut bytes = Vec::new();
    let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, tabs);
    // Writing into memory cannot fail.
    let _ = serde::Serialize::serialize(&value, &mut serializer);
    format::write(&format!("{}\n", String::from_utf8_lossy(&bytes)))
}

/// A manifest or list as its registry has it.
async fn remote(args: &InspectArgs, name: &str, known: Option<&Described>) -> Result<Value> {
    let place = place(name)?;
    let registries = args.trust.registries(&[&place.reference]);
    let document = registries.manifest(&place).await?;
    let value = parsed(name, &document)?;
    if !args.verbose {
        return Ok(value);
    }
    let Some(manifests) = value["manifests"].as_array().filter(|_| document.descriptor.is_index()) else {
        let described = known.map_or_else(|| json!(document.descriptor), |known| json!(known));
        return Ok(verbose(&place.reference.to_string(), &described, &document, value));
    };
    let mut all = Vec::new();
    for described in manifests {
        let digest = described["digest"].as_str().unwrap_or_default();
        let reference = parse(&format!("{}@{digest}", place.reference.name()))?;
        let one = Place { reference, credentials: place.credentials.clone() };
        let document = registries.manifest(&one).await?;
        let value = parsed(name, &document)?;
        all.push(verbose(&one.reference.to_string(), described, &document, value));
    }
    Ok(Value::Array(all))
}

fn parsed(name: &str, document: &Document) -> Result<Value> {
    serde_json::from_slice(&document.bytes).map_err(|error| Error::Registry(format!("{name}: {error}")))
}

/// As Docker shows one.
fn verbose(reference: &str, described: &Value, document: &Document, manifest: Value) -> Value {
    let is_oci = document.descriptor.media_type == image::manifest::MEDIA_MANIFEST;
    let key = if is_oci { "OCIManifest" } else { "SchemaV2Manifest" };
    json!({ "Ref": reference, "Descriptor": described, key: manifest })
}

async fn push(args: PushArgs) -> Result<()> {
    let to = place(&args.list)?;
    let list = begun(&to.reference)?;
    if let Some(silent) = list.incomplete() {
        let reason = format!("{silent} does not say what it runs on: use `orca manifest annotate --os --arch`");
        return Err(Error::NotConverged(reason));
    }
    for entry in &list.entries {
        // What was added is what is pushed, whatever its tag means by now.
        let named = parse(&entry.reference)?;
        let from = place(&format!("{}@{}", named.name(), entry.descriptor.digest))?;
        let registries = args.trust.registries(&[&from.reference, &to.reference]);
        registries.copy(&from, &to, false).await?;
        format::write(&format!("Pushed ref {}@{}\n", to.reference.name(), entry.descriptor.digest))?;
    }
    let (media_type, index) = list.index();
    let bytes = serde_json::to_vec_pretty(&index).map_err(|error| Error::Registry(error.to_string()))?;
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    let digest = descriptor.digest;
    args.trust.registries(&[&to.reference]).put_manifest(&to, &Document { bytes, descriptor }).await?;
    if args.purge {
        store::remove(&to.reference)?;
    }
    format::write(&format!("{digest}\n"))
}

fn remove(args: &RemoveArgs) -> Result<()> {
    let mut missing = Vec::new();
    for list in &args.lists {
        let name = parse(list)?;
        if !store::remove(&name)? {
            missing.push(format!("No such manifest list: {}", name.familiar()));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(Error::Several(missing.join("\n"))) }
}
