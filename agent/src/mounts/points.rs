//! Everything that one container mounts, made ready on the host.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::{DirBuilderExt, chown};
use std::path::{Path, PathBuf};

use image::MergedRoot;
use image::user::resolve_user;
use model::shim::IdMap;
use model::{Assignments, FileTarget, NetworkMode, Propagation};
use rustix::fs::Mode;

use super::contents::{Contents, place, settle};
use super::{Volumes, declared, filled, relabel, text};
use crate::bundle::{MountPoint, selinux};
use crate::containers::Record;
use crate::paths::Paths;
use crate::placeholders::Placeholders;
use crate::{Error, Result};

/// Longest passwd or group file that is read, in bytes.
const DATABASE_MAX: u64 = 1 << 20;

/// What the files of a container say about its network.
#[derive(Debug, Clone)]
pub struct Names {
    /// Its host name.
    pub hostname: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The node as it sees it.
    pub gateway: Option<IpAddr>,
    /// The files of the container whose network it shares.
    pub partner: Option<PathBuf>,
}

/// Where mounts come from.
pub struct Sources<'a> {
    /// The node's directories.
    pub paths: &'a Paths,
    /// The node's volumes.
    pub volumes: &'a Volumes,
    /// The container's root file system as it is now: its own layer over the image's.
    pub root: &'a MergedRoot,
    /// The node's images.
    pub images: Images<'a>,
    /// Secrets and configs.
    pub contents: &'a Assignments,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
    /// This node's name.
    pub hostname: &'a str,
    /// `x86_64` or `aarch64`.
    pub architecture: &'a str,
    /// For whom file systems are mounted.
    pub holder: &'a str,
    /// The container's ids; `None`: the host's.
    pub map: Option<&'a IdMap>,
}

/// Images whose files are mounted.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// Where they are.
    pub store: &'a image::Store,
    /// Who unpacks them.
    pub unpacker: &'a image::Unpacker,
}

impl Sources<'_> {
    /// Whether they are for a run of the container; else somebody only looks at its files.
    pub(super) fn for_run(&self, record: &Record) -> bool {
        self.holder == record.id.to_string()
    }

    /// A user and group of the container as the host numbers them.
    fn on_host(&self, (uid, gid): (u32, u32)) -> Result<(u32, u32)> {
        let Some(map) = self.map else { return Ok((uid, gid)) };
        map.uid(uid).zip(map.gid(gid)).ok_or_else(|| Error::Spec {
            key: "owner",
            value: format!("{uid}:{gid}"),
            reason: "the container's user namespace has no such user or group".into(),
        })
    }
}

/// Makes ready what the container mounts.
///
/// # Errors
/// Missing sources, unknown users, secrets that no manager has sent.
pub fn ready(record: &Record, names: &Names, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    let mut points = own_files(record, names, sources)?;
    points.extend(secrets(record, sources)?);
    points.extend(configs(record, sources)?);
    label(record, names, &points)?;
    points.splice(OWN_FILES..OWN_FILES, users_own(record, sources)?);
    // A mount of the user's at the place of one of Orca's own files is the one that counts.
    let targets: Vec<_> = record.spec.mounts.iter().map(|mount| mount.target.clone()).collect();
    let mut index = 0;
    points.retain(|point| {
        index += 1;
        index > OWN_FILES || !targets.contains(&point.target)
    });
    Ok(points)
}

/// The mounts whose contents outlive a run: volumes and binds.
///
/// # Errors
/// Missing sources.
pub fn lasting(record: &Record, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    Ok(users_own(record, sources)?.into_iter().filter(|point| point.kind == "bind").collect())
}

/// What the spec and the image declare.
fn users_own(record: &Record, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    let mounts = &record.spec.mounts;
    let mut points = Vec::new();
    for (index, mount) in mounts.iter().enumerate() {
        points.push(declared::point(record, index, mount, sources)?);
    }
    for volume in &record.volumes {
        if !mounts.iter().any(|mount| mount.target == volume.target) {
            let fill = Some((sources.root, volume.target.as_str()));
            let source = sources.volumes.source(&volume.name, fill, sources.holder)?;
            share(record, &source, sources)?;
            points.push(bind(&volume.target, source, false, Propagation::Rprivate));
        }
    }
    Ok(points)
}

/// Gives a volume the label of what all containers may use, if SELinux confines this one. (Docker mounts volumes with `z`.)
pub(super) fn share(record: &Record, source: &Path, sources: &Sources<'_>) -> Result<()> {
    match relabel::labels(record).filter(|_| sources.for_run(record)) {
        Some(labels) => relabel::set_once(source, &selinux::shared(&labels.mount)),
        None => Ok(()),
    }
}

/// Lets a container that SELinux confines read the files that are made for it.
fn label(record: &Record, names: &Names, own: &[MountPoint]) -> Result<()> {
    let Some(labels) = relabel::labels(record) else { return Ok(()) };
    let shared = selinux::shared(&labels.mount);
    for (index, point) in own.iter().enumerate() {
        // Those of a network that it shares are another container's as well.
        let is_shared = index < OWN_FILES && names.partner.is_some();
        relabel::set(&point.source, if is_shared { &shared } else { &labels.mount })?;
    }
    Ok(())
}

/// hosts, hostname, resolv.conf.
const OWN_FILES: usize = 3;

pub(super) fn bind(target: &str, source: PathBuf, read_only: bool, propagation: Propagation) -> MountPoint {
    let access = if read_only { "ro" } else { "rw" };
    let options = ["rbind", access, propagation.word()].map(String::from).to_vec();
    MountPoint { target: target.into(), kind: "bind", source, options }
}

fn own_files(record: &Record, names: &Names, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    if let Some(dir) = &names.partner {
        let shared = |name| bind(&format!("/etc/{name}"), dir.join(name), record.spec.read_only, Propagation::Rprivate);
        return Ok(["hosts", "hostname", "resolv.conf"].map(shared).to_vec());
    }
    let dir = sources.paths.files(record.id);
    fs::DirBuilder::new().recursive(true).mode(0o755).create(&dir).map_err(Error::io("make", &dir))?;
    let spec = &record.spec;
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let shares_host = record.network == NetworkMode::Host;
    let host_hosts = shares_host.then(|| read("/etc/hosts"));
    let gateway = names.gateway.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let hosts = text::hosts(spec, &names.hostname, &names.addresses, gateway, host_hosts.as_deref());
    let resolv = match record.network {
        NetworkMode::Networks(_) => text::resolv_conf(spec, &read("/etc/resolv.conf")),
        _ => text::host_resolv_conf(spec, &read("/etc/resolv.conf")),
    };
    let files = [("hosts", hosts), ("hostname", format!("{}\n", names.hostname)), ("resolv.conf", resolv)];
    let write = |(name, content): (&str, String)| {
        let path = dir.join(name);
        // In place: a container that runs again may have it open.
        fs::write(&path, content).map_err(Error::io("write", &path))?;
        rustix::fs::chmod(&path, Mode::from_raw_mode(0o644)).map_err(Error::io("set the mode of", &path))?;
        let (uid, gid) = sources.on_host((0, 0))?;
        chown(&path, Some(uid), Some(gid)).map_err(Error::io("set the owner of", &path))?;
        Ok(bind(&format!("/etc/{name}"), path, record.spec.read_only, Propagation::Rprivate))
    };
    files.into_iter().map(write).collect()
}

/// The host name of a container, from its files.
///
/// # Errors
/// A file that can't be read.
pub fn hostname(dir: &Path) -> Result<String> {
    let path = dir.join("hostname");
    Ok(fs::read_to_string(&path).map_err(Error::io("read", &path))?.trim().to_owned())
}

/// Brings a running container's own files from the networks of one record to those of another.
///
/// # Errors
/// A file that can't be read or written.
pub fn rename(dir: &Path, hostname: &str, before: &Record, after: &Record) -> Result<()> {
    let addresses = |record: &Record| -> Vec<IpAddr> {
        record.attachments.iter().flat_map(|attachment| attachment.addresses.clone()).collect()
    };
    let path = dir.join("hosts");
    let hosts = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let hosts = text::renamed(&hosts, &after.spec, hostname, &addresses(before), &addresses(after));
    fs::write(&path, hosts).map_err(Error::io("write", &path))?;
    if before.attachments.is_empty() != after.attachments.is_empty() {
        let host_file = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let path = dir.join("resolv.conf");
        let text = match after.network {
            NetworkMode::Networks(_) => text::resolv_conf(&after.spec, &host_file),
            _ => text::host_resolv_conf(&after.spec, &host_file),
        };
        fs::write(&path, text).map_err(Error::io("write", &path))?;
    }
    Ok(())
}

/// As the host numbers them.
fn owner(target: &FileTarget, sources: &Sources<'_>) -> Result<(u32, u32)> {
    let read = |path: &str| match sources.root.read_file(path, DATABASE_MAX) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(image::Error::NotFoundInRootfs { .. }) => Ok(String::new()),
        Err(error) => Err(error),
    };
    if let (Ok(uid), Ok(gid)) = (target.uid.parse(), target.gid.parse()) {
        return sources.on_host((uid, gid));
    }
    let or_root = |text: &str| if text.is_empty() { "0".to_owned() } else { text.to_owned() };
    let spec = format!("{}:{}", or_root(&target.uid), or_root(&target.gid));
    let user = resolve_user(&spec, &read("/etc/passwd")?, &read("/etc/group")?)?;
    sources.on_host((user.uid, user.gid))
}

/// Keeps what the secrets and configs of a new container hold, until it runs and their owners are known: only root reads it.
///
/// # Errors
/// A file that can't be written.
pub fn hand_over(paths: &Paths, record: &Record, contents: &Contents) -> Result<()> {
    let keep = |dir: &Path, index: usize, content: &[u8], target: &FileTarget| {
        let target = FileTarget { mode: 0o400, ..target.clone() };
        place(dir, &index.to_string(), content, &target, (0, 0)).map(drop)
    };
    let dir = paths.secrets().join(record.id.to_string());
    for (index, (file, content)) in record.spec.secrets.iter().zip(&contents.secrets).enumerate() {
        keep(&dir, index, content.reveal(), &file.file)?;
    }
    let dir = paths.files(record.id).join("configs");
    for (index, (file, content)) in record.spec.configs.iter().zip(&contents.configs).enumerate() {
        keep(&dir, index, content, &file.file)?;
    }
    Ok(())
}

/// What a container's secret of this number holds, if its manager has sent it.
fn secret_content<'a>(record: &Record, index: usize, contents: &'a Assignments) -> Option<&'a [u8]> {
    let id = record.spec.secrets.get(index)?.id?;
    contents.secrets.get(&id).map(model::SecretData::reveal)
}

fn config_content<'a>(record: &Record, index: usize, contents: &'a Assignments) -> Option<&'a [u8]> {
    let id = record.spec.configs.get(index)?.id?;
    contents.configs.get(&id).map(Vec::as_slice)
}

/// A template filled in for the container.
fn fill(kind: &'static str, name: &str, text: &[u8], record: &Record, sources: &Sources<'_>) -> Result<Vec<u8>> {
    let contents = sources.contents;
    let task = record.task.and_then(|task| contents.tasks.get(&task.task));
    let service = task.and_then(|task| contents.endpoints.get(&task.service));
    let service = service.map(|endpoint| endpoint.name.as_str()).unwrap_or_default();
    let names = task.map(|task| Placeholders::of(task, service, sources.hostname)).unwrap_or_default();
    let secret = |index| secret_content(record, index, contents);
    let config = |index| config_content(record, index, contents);
    let (spec, architecture) = (&record.spec, sources.architecture);
    filled::fill(
        kind,
        name,
        text,
        &filled::Facts { spec, names: &names, architecture, secret: &secret, config: &config },
    )
}

fn secrets(record: &Record, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    let dir = sources.paths.secrets().join(record.id.to_string());
    let place_one = |(index, file): (usize, &model::SecretFile)| {
        let name = index.to_string();
        let path = match secret_content(record, index, sources.contents) {
            Some(content) if file.template => {
                let content = fill("secret", &file.secret, content, record, sources)?;
                place(&dir, &name, &content, &file.file, owner(&file.file, sources)?)?
            }
            Some(content) => place(&dir, &name, content, &file.file, owner(&file.file, sources)?)?,
            // What an earlier run was given is still in memory: no manager is needed.
            None if dir.join(&name).exists() => settle(&dir.join(&name), &file.file, owner(&file.file, sources)?)?,
            None => return Err(Error::NoContent { kind: "secret", name: file.secret.clone() }),
        };
        Ok(bind(&file.file.path, path, true, Propagation::Rprivate))
    };
    record.spec.secrets.iter().enumerate().map(place_one).collect()
}

fn configs(record: &Record, sources: &Sources<'_>) -> Result<Vec<MountPoint>> {
    let place_one = |(index, file): (usize, &model::ConfigFile)| {
        // What is filled in may hold secrets, which are never on a disk.
        let (dir, name) = match file.template {
            true => (sources.paths.secrets().join(record.id.to_string()), format!("config-{index}")),
            false => (sources.paths.files(record.id).join("configs"), index.to_string()),
        };
        let path = match config_content(record, index, sources.contents) {
            Some(content) if file.template => {
                let content = fill("config", &file.config, content, record, sources)?;
                place(&dir, &name, &content, &file.file, owner(&file.file, sources)?)?
            }
            Some(content) => place(&dir, &name, content, &file.file, owner(&file.file, sources)?)?,
            None if dir.join(&name).exists() => settle(&dir.join(&name), &file.file, owner(&file.file, sources)?)?,
            None => return Err(Error::NoContent { kind: "config", name: file.config.clone() }),
        };
        Ok(bind(&file.file.path, path, true, Propagation::Rprivate))
    };
    record.spec.configs.iter().enumerate().map(place_one).collect()
}
