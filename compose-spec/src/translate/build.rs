//! `build`: how a service's image is made.

use std::collections::{BTreeMap, BTreeSet};

use model::{ContainerSpec, SecretData};

use super::container::{extra_hosts, ulimits};
use super::fields::Fields;
use super::file_objects;
use crate::error::{Error, Errors};
use crate::files::Files;
use crate::node::Node;
use crate::project::Project;
use crate::service::Service;

/// How a service's image is made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Build {
    /// What the image is called: `image`, else `PROJECT-SERVICE`.
    pub image: String,
    /// Its directory.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// Its text instead.
    pub inline: Option<String>,
    /// Values of its ARGs.
    pub args: BTreeMap<String, String>,
    /// The stage that is wanted.
    pub target: Option<String>,
    /// Labels of the image.
    pub labels: BTreeMap<String, String>,
    /// Further names of the image.
    pub tags: Vec<String>,
    /// Network of RUN.
    pub network: Option<String>,
    /// Every step is done again.
    pub no_cache: bool,
    /// The steps of these stages are.
    pub no_cache_filter: Vec<String>,
    /// Images that are here are pulled again.
    pub pull: bool,
    /// What it is built for.
    pub platform: Option<String>,
    /// Further contexts: directories, or `docker-image://NAME`.
    pub contexts: BTreeMap<String, String>,
    /// Services whose images are contexts: they are built before.
    pub needs: BTreeSet<String>,
    /// What `RUN --mount=type=secret` sees.
    pub secrets: BTreeMap<String, SecretData>,
    /// What each RUN's container has.
    pub container: ContainerSpec,
    /// `RUN --security=insecure` is allowed.
    pub insecure: bool,
}

/// How the image of a service is made; `None` if it isn't made here.
///
/// # Errors
/// What can't be done, by its key.
pub fn build(project: &Project, service: Service, files: &dyn Files) -> Result<Option<Build>, Errors> {
    let mut errors = Vec::new();
    let fields = Fields::new(service.node, format!("services.{}", service.name));
    let found = spec(project, service, &fields, files, &mut errors);
    Errors(errors).into_result().map_err(|errors| errors.locate(&project.sources))?;
    Ok(found)
}

/// As [`build`], for whoever reads the whole service.
pub(super) fn spec(
    project: &Project,
    service: Service,
    service_fields: &Fields,
    files: &dyn Files,
    errors: &mut Vec<Error>,
) -> Option<Build> {
    let fields = service_fields.nested("build")?;
    refuse(&fields, errors);
    let platforms = fields.texts("platforms");
    if platforms.len() > 1 {
        fields.refuse("platforms", Some("an image is built for one platform"), errors);
    }
    let entitlements = fields.texts("entitlements");
    if entitlements.iter().any(|own| !["network.host", "security.insecure"].contains(&own.as_str())) {
        fields.refuse("entitlements", Some("network.host and security.insecure can be allowed"), errors);
    }
    let (contexts, needs) = contexts(project, &fields);
    let container = ContainerSpec {
        extra_hosts: extra_hosts(&fields, errors),
        shm_size: fields.bytes("shm_size"),
        ulimits: ulimits(&fields),
        ..ContainerSpec::default()
    };
    let network = fields.text("network");
    if network.as_deref().is_some_and(|network| !["default", "none", "host"].contains(&network)) {
        fields.refuse("network", Some("a RUN has the default network, none or the host's"), errors);
    }
    let found = Build {
        image: project.image_name(service),
        context: fields.text("context").unwrap_or_else(|| ".".to_owned()),
        dockerfile: fields.text("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned()),
        inline: fields.text("dockerfile_inline"),
        args: fields.strings("args"),
        target: fields.text("target"),
        labels: fields.strings("labels"),
        tags: fields.texts("tags"),
        network,
        no_cache: fields.flag("no_cache"),
        no_cache_filter: fields.texts("no_cache_filter"),
        pull: fields.flag("pull"),
        platform: platforms.into_iter().next().or_else(|| service.text("platform").map(str::to_owned)),
        contexts,
        needs,
        secrets: secrets(project, &fields, files, errors),
        container,
        insecure: entitlements.iter().any(|own| own == "security.insecure"),
    };
    fields.finish(errors);
    Some(found)
}

/// What the builder doesn't have.
fn refuse(fields: &Fields, errors: &mut Vec<Error>) {
    let lists = ["cache_from", "cache_to"];
    for key in lists.into_iter().filter(|key| !fields.list(key).is_empty()) {
        fields.refuse(key, Some("the node's own cache is used, and found by content"), errors);
    }
    if fields.take("ssh").is_some() {
        fields.refuse("ssh", Some("an agent's socket can't be passed on to the node: use a secret"), errors);
    }
    if fields.flag("privileged") {
        fields.refuse("privileged", Some("use entitlements: [security.insecure] and RUN --security=insecure"), errors);
    }
    for key in ["provenance", "sbom"] {
        let value = fields.take(key);
        if value.is_some_and(|value| value.as_bool() != Some(false) && value.as_str() != Some("false")) {
            fields.refuse(key, Some("attestations are not made"), errors);
        }
    }
    if fields.text("isolation").is_some_and(|isolation| isolation != "default") {
        fields.refuse("isolation", Some("that is of Windows"), errors);
    }
}

fn contexts(project: &Project, fields: &Fields) -> (BTreeMap<String, String>, BTreeSet<String>) {
    let mut needs = BTreeSet::new();
    let mut resolve = |source: String| match source.strip_prefix("service:") {
        Some(name) => {
            needs.insert(name.to_owned());
            let image = project.any_service(name).map(|service| project.image_name(service));
            format!("docker-image://{}", image.unwrap_or_default())
        }
        None => source,
    };
    let contexts = fields.strings("additional_contexts").into_iter();
    let contexts = contexts.map(|(name, source)| (name, resolve(source))).collect();
    (contexts, needs)
}

/// By the name that RUN has for them: the target, else the source.
fn secrets(
    project: &Project,
    fields: &Fields,
    files: &dyn Files,
    errors: &mut Vec<Error>,
) -> BTreeMap<String, SecretData> {
    let mut found = BTreeMap::new();
    for (index, node) in fields.list("secrets").iter().enumerate() {
        let own = Fields::new(node, format!("{}[{index}]", fields.path("secrets")));
        let source = own.text("source").unwrap_or_default();
        let id = own.text("target").unwrap_or_else(|| source.clone());
        for key in ["uid", "gid", "mode"] {
            if own.take(key).is_some() {
                own.refuse(key, Some("the Dockerfile's --mount=type=secret says whose the file is"), errors);
            }
        }
        let object = project.secrets.get(&source);
        let data = object.and_then(|object| file_objects::held(project, &source, object, files, errors));
        match data {
            Some(data) => drop(found.insert(id, SecretData::new(data))),
            None if object.is_some_and(|object| object.get("external").and_then(Node::as_bool) == Some(true)) => {
                own.invalid(
                    "source",
                    format!("secret {source:?} is external: a build needs a file or a variable"),
                    errors,
                );
            }
            None => {}
        }
        own.finish(errors);
    }
    found
}
