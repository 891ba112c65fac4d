//! Writes what a shim is given: config.json and shim.json.

use std::fs;
use std::path::{Path, PathBuf};

use image::MergedRoot;
use image::store::Image;
use image::user::{resolve_groups, resolve_user};
use model::NetworkMode;
use model::shim::{CONFIG_FILE, Donor, SPEC_FILE, SPEC_VERSION, SharedShm, ShimSpec, Snapshot, StdinMode, Users};

use super::{Executor, cdi, devices};
use crate::bundle::logging::LogFacts;
use crate::bundle::{self, Facts, Peer, Peers};
use crate::containers::Record;
use crate::mounts::{self, Names, Sources};
use crate::{Error, Result};

/// Longest passwd or group file that is read, in bytes.
const DATABASE_MAX: u64 = 1 << 20;

impl Executor {
    /// Writes the bundle of one run. Blocks.
    pub(super) fn write_bundle(&self, record: &Record, peers: Peers, generation: u64, attached: bool) -> Result<()> {
        let image = self.images.get(&record.image_id)?;
        let lower = self.lower_dirs(&image)?;
        super::make_dirs(&self.paths, record.id)?;
        if let Some(labels) = bundle::labels(&record.spec, record.id, &self.host) {
            mounts::label_layers(&labels, &lower, &self.paths.upper(record.id))?;
        }
        let mut layers = vec![self.paths.upper(record.id)];
        layers.extend(lower.iter().cloned());
        let root = MergedRoot::new(layers);
        let (config, users) = self.runtime_config(record, peers, generation, &image, &root)?;
        let spec = ShimSpec { users, ..self.shim_spec(record, peers, generation, &image, lower, attached)? };
        let dir = self.paths.bundle(record.id);
        write_json(&dir, CONFIG_FILE, &config)?;
        write_json(&dir, SPEC_FILE, &spec)
    }

    pub(super) fn lower_dirs(&self, image: &Image) -> Result<Vec<PathBuf>> {
        let lower = self.images.prepare(image, &self.unpacker)?;
        if !lower.is_empty() {
            return Ok(lower);
        }
        // An image without layers: overlayfs wants one all the same.
        let empty = self.paths.data().join("empty-layer");
        fs::create_dir_all(&empty).map_err(Error::io("make", &empty))?;
        Ok(vec![empty])
    }

    fn runtime_config(
        &self,
        record: &Record,
        peers: Peers,
        generation: u64,
        image: &Image,
        root: &MergedRoot,
    ) -> Result<(oci_spec::runtime::Spec, Option<Users>)> {
        let run = &image.config.config;
        let spec = &record.spec;
        // Whoever administers the node may have unloaded it since.
        bundle::apparmor_profile(spec, &self.host).map_or(Ok(()), super::apparmor::ready)?;
        let read = |path: &str| match root.read_file(path, DATABASE_MAX) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(image::Error::NotFoundInRootfs { .. }) => Ok(String::new()),
            Err(error) => Err(error),
        };
        let (passwd, group) = (read("/etc/passwd")?, read("/etc/group")?);
        let user = resolve_user(spec.user.as_deref().unwrap_or(&run.user), &passwd, &group)?;
        let mut groups = resolve_groups(spec.group_add.iter().map(String::as_str), &group)?;
        let edits = cdi::edits(&spec.device_requests, &self.host.cdi)?;
        groups.extend(&edits.groups);
        let host_network = record.network == NetworkMode::Host;
        let partner = record.network.is_shared().then(|| self.networks.partner(record.id)).flatten();
        let hostname = match &partner {
            None => bundle::hostname(record.id, spec, host_network, &self.host),
            Some(partner) => mounts::hostname(&partner.files)?,
        };
        let names = Names {
            partner: partner.as_ref().map(|partner| partner.files.clone()),
            hostname: hostname.clone(),
            addresses: record.attachments.iter().flat_map(|attachment| attachment.addresses.clone()).collect(),
            gateway: record
                .attachments
                .first()
                .and_then(|attachment| Some(self.networks.describe(attachment.network)?.subnets.first()?.gateway)),
        };
        let contents = self.contents.borrow().clone();
        let map = bundle::users::mapped(spec, &self.host);
        if let Some(map) = map {
            let gids = user.additional_gids.iter().chain(&groups).chain([&user.gid]);
            bundle::users::check_ids(map, user.uid, gids.copied())?;
        }
        let images = mounts::Images { store: &self.images, unpacker: &self.unpacker };
        let sources = Sources {
            paths: &self.paths,
            volumes: &self.volumes,
            images,
            root,
            contents: &contents,
            kernel: self.host.kernel,
            hostname: &self.host.hostname,
            architecture: &self.host.architecture,
            holder: &record.id.to_string(),
            map,
        };
        let mut mounts = mounts::ready(record, &names, &sources)?;
        let mut args = record.args.clone();
        if record.spec.init {
            mounts.push(mounts::init(&self.paths)?);
            args.splice(0..0, [mounts::INIT, "init"].map(String::from));
        }
        mounts.extend(cdi::mounts(&edits)?);
        let mut devices = devices::devices(&record.spec)?;
        let prepared = cdi::devices(&edits, (user.uid, user.gid))?;
        // Of two nodes at one place the one that the vendor describes counts.
        devices.retain(|device| !prepared.iter().any(|own| own.target == device.target));
        devices.extend(prepared);
        let block_devices = devices::block_devices(&record.spec)?;
        let own_netns = || self.paths.netns(record.id, generation);
        let netns = (!host_network).then(|| partner.map_or_else(own_netns, |partner| partner.netns));
        let namespace = map.zip(netns.as_deref()).map(|(map, netns)| (self.paths.userns(netns), map));
        let mut config = bundle::runtime_spec(&Facts {
            id: record.id,
            spec,
            image: run,
            args: &args,
            user: &user,
            groups: &groups,
            rootfs: &map.map_or_else(|| self.paths.rootfs(record.id), |_| bundle::users::staged_root(&self.stage)),
            mounts: &mounts,
            devices: &devices,
            hostname: &hostname,
            block_devices: &block_devices,
            peers,
            shm: &self.paths.shared_shm(record.id),
            netns: netns.as_deref(),
            cgroup: &self.cgroup_path(record),
            edits: &edits,
            users: namespace.as_ref().map(|(path, map)| (path.as_path(), *map)),
            host: &self.host,
        })?;
        let Some((namespace, map)) = namespace else { return Ok((config, None)) };
        let binds = bundle::users::stage(&mut config, &self.stage, |source| self.ids_of(record, source))?;
        Ok((config, Some(Users { namespace, map: map.clone(), stage: self.stage.clone(), binds })))
    }

    /// Below the node's own cgroup, or where the user wants it.
    pub(super) fn cgroup_path(&self, record: &Record) -> PathBuf {
        let parent = record.spec.cgroup_parent.as_deref().unwrap_or_default();
        self.cgroup.join(parent).join(record.id.to_string())
    }

    /// The program that makes the container; `None` is the built-in runtime.
    fn runtime(&self, record: &Record) -> Result<Option<PathBuf>> {
        match record.spec.runtime.as_deref() {
            None | Some(bundle::BUILT_IN_RUNTIME) => Ok(None),
            Some(name) => match self.runtimes.get(name) {
                Some(program) => Ok(Some(program.clone())),
                None => {
                    let reason = "this daemon was not started with --add-runtime for it".into();
                    Err(Error::Spec { key: "runtime", value: name.into(), reason })
                }
            },
        }
    }

    fn shim_spec(
        &self,
        record: &Record,
        peers: Peers,
        generation: u64,
        image: &Image,
        lower: Vec<PathBuf>,
        attached: bool,
    ) -> Result<ShimSpec> {
        let stdin = match (record.spec.open_stdin, attached) {
            (false, _) => StdinMode::Null,
            // Who lets go of a terminal may come back to it.
            (true, true) if !record.spec.tty => StdinMode::Once,
            (true, _) => StdinMode::Open,
        };
        Ok(ShimSpec {
            version: SPEC_VERSION,
            container_id: record.id.to_string(),
            run_generation: generation,
            snapshot: Some(Snapshot {
                lower,
                upper: self.paths.upper(record.id),
                work: self.paths.work(record.id),
                volatile: record.auto_remove,
            }),
            log: bundle::logging::log_config(LogFacts {
                record,
                image: &image.config.config,
                hostname: &self.host.hostname,
                journal: &self.logging.journal,
                path: self.paths.log(record.id),
                resolve: &super::syslog::address,
            })?,
            cgroup: self.cgroup_path(record),
            terminal: record.spec.tty,
            terminal_size: None,
            stdin,
            state_dir: self.paths.shim_state(record.id),
            start_immediately: false,
            user: None,
            create_cwd: true,
            runtime: self.runtime(record)?,
            users: None,
            namespace_dirs: self.paths.namespace_dirs().into(),
            shared_shm: peers.ipc.and_then(|peer| {
                let target = self.paths.shared_shm(record.id);
                i32::try_from(peer.process).ok().map(|pid| SharedShm { pid, target })
            }),
            donors: [peers.pid, peers.ipc].into_iter().flatten().filter_map(donor).collect(),
        })
    }
}

impl Executor {
    /// Brings `hosts` and `resolv.conf` of a container that runs to its networks. What it wrote there itself stays.
    pub async fn rename(&self, before: &Record, after: &Record) -> Result<()> {
        let host_network = after.network == NetworkMode::Host;
        let hostname = bundle::hostname(after.id, &after.spec, host_network, &self.host);
        let dir = self.paths.files(after.id);
        let (before, after) = (before.clone(), after.clone());
        super::blocking("writing a container's names", move || mounts::rename(&dir, &hostname, &before, &after)).await
    }
}

fn donor(peer: Peer) -> Option<Donor> {
    Some(Donor { pid: i32::try_from(peer.process).ok()?, container_id: peer.container.to_string() })
}

fn write_json<T: serde::Serialize>(dir: &Path, name: &str, value: &T) -> Result<()> {
    let path = dir.join(name);
    let bytes = serde_json::to_vec(value).map_err(|error| Error::io("write", &path)(std::io::Error::from(error)))?;
    fs::write(&path, bytes).map_err(Error::io("write", &path))
}
