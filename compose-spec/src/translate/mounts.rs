//! `volumes`, `volumes_from` and `tmpfs`.

use model::{Mount, MountSource, Propagation, Recursive, Relabel, VolumeSpec, is_tmpfs_option};

use super::fields::Fields;
use crate::canonical::volume::clean;
use crate::error::Error;
use crate::node::Node;
use crate::project::Project;
use crate::typed::units;

/// Every mount of the service.
pub fn all(project: &Project, fields: &Fields, errors: &mut Vec<Error>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for (index, node) in fields.list("volumes").iter().enumerate() {
        let mount = Fields::new(node, format!("{}[{index}]", fields.path("volumes")));
        mounts.extend(one(project, &mount, errors));
        mount.finish(errors);
    }
    for line in fields.texts("tmpfs") {
        mounts.extend(tmpfs_line(fields, &line, errors));
    }
    for item in fields.texts("volumes_from") {
        let (name, read_only) = match item.rsplit_once(':') {
            Some((name, "ro")) => (name.to_owned(), true),
            Some((name, "rw")) => (name.to_owned(), false),
            _ => (item, false),
        };
        let container = match name.strip_prefix("container:") {
            Some(container) => container.to_owned(),
            None => format!("service:{name}"),
        };
        mounts.push(Mount { target: String::new(), read_only, source: MountSource::VolumesOf { container } });
    }
    mounts
}

fn one(project: &Project, mount: &Fields, errors: &mut Vec<Error>) -> Option<Mount> {
    let target = mount.text("target").unwrap_or_default();
    if !target.starts_with('/') {
        mount.invalid("target", format!("{target:?} is not an absolute path in the container"), errors);
    }
    let read_only = mount.flag("read_only");
    // Docker for Mac's hint; it means nothing on Linux.
    mount.take("consistency");
    let source = mount.text("source");
    let kind = mount.text("type").unwrap_or_default();
    let source = match kind.as_str() {
        "volume" => volume(project, mount, source, errors),
        "bind" => bind(mount, source.unwrap_or_default(), errors),
        "tmpfs" => tmpfs(mount, errors),
        "image" => image(mount, source.unwrap_or_default(), errors),
        _ => {
            mount.refuse("type", Some("only volume, bind, tmpfs and image"), errors);
            return None;
        }
    };
    Some(Mount { target, read_only, source })
}

fn volume(project: &Project, mount: &Fields, key: Option<String>, errors: &mut Vec<Error>) -> MountSource {
    let mut spec = VolumeSpec::default();
    let mut name = None;
    if let Some((key, node)) = key.as_ref().and_then(|key| project.volumes.get_key_value(key)) {
        name = node.get("name").and_then(Node::as_str).map(str::to_owned);
        spec = volume_spec(project, key, node, errors);
    }
    let (mut no_copy, mut subpath) = (false, None);
    if let Some(options) = mount.nested("volume") {
        no_copy = options.flag("nocopy");
        subpath = options.text("subpath");
        spec.labels.extend(options.strings("labels"));
        options.finish(errors);
    }
    MountSource::Volume { name, no_copy, subpath, spec }
}

pub fn volume_spec(project: &Project, key: &str, node: &Node, errors: &mut Vec<Error>) -> VolumeSpec {
    let fields = Fields::new(node, format!("volumes.{key}"));
    fields.take("name");
    if fields.text("driver").is_some_and(|driver| driver != "local") {
        fields.refuse("driver", Some("only local"), errors);
    }
    let external = fields.flag("external");
    let driver_opts = fields.strings("driver_opts");
    for option in driver_opts.keys().filter(|option| !["type", "o", "device"].contains(&option.as_str())) {
        fields.refuse(&format!("driver_opts.{option}"), Some("the local driver has type, o and device"), errors);
    }
    let mut labels = fields.strings("labels");
    if !external {
        labels.insert("com.docker.compose.project".into(), project.name.clone());
        labels.insert("com.docker.compose.volume".into(), key.to_owned());
    }
    fields.finish(errors);
    VolumeSpec { labels, driver_opts, external }
}

fn bind(mount: &Fields, path: String, errors: &mut Vec<Error>) -> MountSource {
    let (mut create, mut propagation) = (false, Propagation::default());
    let (mut recursive, mut relabel) = (Recursive::default(), None);
    if let Some(options) = mount.nested("bind") {
        // Only `false` is kept in the canonical form.
        create = options.take("create_host_path").and_then(Node::as_bool).unwrap_or(true);
        propagation = options.text("propagation").map_or(Propagation::Rprivate, |word| {
            Propagation::of_word(&word).unwrap_or_else(|| {
                options.invalid("propagation", format!("{word:?} is no mount propagation"), errors);
                Propagation::Rprivate
            })
        });
        // Any other word does not pass the schema.
        recursive = options.text("recursive").and_then(|word| Recursive::parse(&word).ok()).unwrap_or_default();
        relabel = match options.text("selinux").as_deref() {
            Some("z") => Some(Relabel::Shared),
            Some(_) => Some(Relabel::Private),
            None => None,
        };
        options.finish(errors);
    }
    if !path.starts_with('/') {
        mount.invalid("source", format!("{path:?} is not an absolute path on the host"), errors);
    }
    MountSource::Bind { path, create, propagation, recursive, relabel }
}

fn tmpfs(mount: &Fields, errors: &mut Vec<Error>) -> MountSource {
    let Some(options) = mount.nested("tmpfs") else {
        return MountSource::Tmpfs { size: None, mode: None, options: Vec::new() };
    };
    let size = options.bytes("size");
    let mode = options.integer("mode").and_then(|mode| {
        let bits = u32::try_from(mode).ok().filter(|bits| *bits <= 0o7777);
        if bits.is_none() {
            options.invalid("mode", "expected permission bits, 0 to 07777", errors);
        }
        bits
    });
    options.finish(errors);
    MountSource::Tmpfs { size, mode, options: Vec::new() }
}

fn image(mount: &Fields, image: String, errors: &mut Vec<Error>) -> MountSource {
    if image.is_empty() {
        mount.invalid("source", "it must name an image", errors);
    }
    let mut subpath = None;
    if let Some(options) = mount.nested("image") {
        subpath = options.text("subpath");
        options.finish(errors);
    }
    MountSource::Image { image, id: None, subpath }
}

/// `PATH[:OPTION,…]` of the attribute `tmpfs`. `noexec,nosuid,nodev` are Docker's defaults; `exec`, `suid` and `dev` lift them.
fn tmpfs_line(fields: &Fields, line: &str, errors: &mut Vec<Error>) -> Option<Mount> {
    let (target, options) = line.split_once(':').unwrap_or((line, ""));
    if !target.starts_with('/') {
        fields.invalid("tmpfs", format!("{target:?} is not an absolute path in the container"), errors);
        return None;
    }
    let (mut size, mut mode, mut read_only, mut further) = (None, None, false, Vec::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        match name {
            "size" => match units::parse_bytes(value).ok().and_then(|bytes| u64::try_from(bytes).ok()) {
                Some(bytes) => size = Some(bytes),
                None => fields.invalid("tmpfs", format!("invalid size {value:?}"), errors),
            },
            "mode" => match u32::from_str_radix(value, 8) {
                Ok(bits) if bits <= 0o7777 => mode = Some(bits),
                _ => fields.invalid("tmpfs", format!("invalid mode {value:?}"), errors),
            },
            "ro" => read_only = true,
            "rw" => read_only = false,
            _ if is_tmpfs_option(option) => further.push(option.to_owned()),
            _ => fields.refuse("tmpfs", Some("its options are those of tmpfs(5) and mount(8)"), errors),
        }
    }
    Some(Mount { target: clean(target), read_only, source: MountSource::Tmpfs { size, mode, options: further } })
}
