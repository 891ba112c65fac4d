//! `--mount`, `-v`, `--tmpfs` and `--volumes-from`. Pure.

use std::path::Path;

use model::{Mount, MountSource, Propagation, Recursive, Relabel, VolumeSpec, is_tmpfs_option};

use super::flags::bytes;

/// `-v NAME:/path[:ro]`, `-v /host:/path`, `-v ./relative:/path`, `-v /anonymous`.
pub fn volume(value: &str, working_directory: &Path) -> Result<Mount, String> {
    let parts: Vec<&str> = value.split(':').collect();
    let (source, target, options) = match parts[..] {
        [target] => (None, target, ""),
        [source, target] => (Some(source), target, ""),
        [source, target, options] => (Some(source), target, options),
        _ => return Err("expected [SOURCE:]TARGET[:OPTIONS]".into()),
    };
    let source = match source {
        Some(path) if path.starts_with(['/', '.', '~']) => bind(working_directory, path, true)?,
        name => named(name)?,
    };
    let mut mount = Mount { target: checked_target(target)?, read_only: false, source };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        apply_volume_option(&mut mount, option)?;
    }
    Ok(mount)
}

fn checked_target(target: &str) -> Result<String, String> {
    if !target.starts_with('/') {
        return Err(format!("the target {target:?} must be an absolute path"));
    }
    if target.trim_end_matches('/').is_empty() {
        return Err("the target must not be the root".into());
    }
    Ok(target.into())
}

fn bind(working_directory: &Path, path: &str, create: bool) -> Result<MountSource, String> {
    let path = working_directory.join(path);
    let path = path.to_str().ok_or("the path is not UTF-8")?.to_owned();
    let (propagation, recursive) = (Propagation::Rprivate, Recursive::Enabled);
    Ok(MountSource::Bind { path, create, propagation, recursive, relabel: None })
}

fn named(name: Option<&str>) -> Result<MountSource, String> {
    if let Some(name) = name {
        model::check_object_name("volume", name).map_err(|error| error.to_string())?;
    }
    let name = name.map(Into::into);
    Ok(MountSource::Volume { name, no_copy: false, subpath: None, spec: VolumeSpec::default() })
}

fn apply_volume_option(mount: &mut Mount, option: &str) -> Result<(), String> {
    let refused = || Err(format!("mount option {option:?} is not supported"));
    match (option, &mut mount.source) {
        ("ro" | "readonly", _) => mount.read_only = true,
        ("rw", _) => mount.read_only = false,
        // Hints for Docker Desktop's file sharing; on Linux every mount is consistent.
        ("consistent" | "cached" | "delegated" | "default", _) => {}
        ("nocopy", MountSource::Volume { no_copy, .. }) => *no_copy = true,
        // A volume is made by Orca and has the label of its containers.
        ("z" | "Z", MountSource::Volume { .. }) => {}
        ("z", MountSource::Bind { relabel, .. }) => *relabel = Some(Relabel::Shared),
        ("Z", MountSource::Bind { relabel, .. }) => *relabel = Some(Relabel::Private),
        ("rbind", MountSource::Bind { recursive, .. }) => *recursive = Recursive::Enabled,
        ("bind", MountSource::Bind { recursive, .. }) => *recursive = Recursive::Disabled,
        (name, MountSource::Bind { propagation: value, .. }) => match Propagation::of_word(name) {
            Some(found) => *value = found,
            None => return refused(),
        },
        _ => return refused(),
    }
    Ok(())
}

/// `--tmpfs /run:size=64m,mode=1777,exec`.
pub fn tmpfs(value: &str) -> Result<Mount, String> {
    let (target, options) = value.split_once(':').unwrap_or((value, ""));
    let target = checked_target(target)?;
    let (mut size, mut mode, mut read_only, mut further) = (None, None, false, Vec::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=').unwrap_or((option, "")) {
            ("size", text) if text.ends_with('%') => further.push(option.to_owned()),
            ("size", text) => size = Some(bytes(text)?),
            ("mode", digits) => mode = Some(octal(digits)?),
            ("ro", "") => read_only = true,
            ("rw", "") => read_only = false,
            _ if is_tmpfs_option(option) => further.push(option.to_owned()),
            (name, _) => return Err(format!("tmpfs option {name:?} is not supported")),
        }
    }
    Ok(Mount { target, read_only, source: MountSource::Tmpfs { size, mode, options: further } })
}

fn octal(digits: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("mode {digits:?} is not octal"))
}

/// `--volumes-from CONTAINER[:ro|rw]`.
pub fn volumes_from(value: &str) -> Result<Mount, String> {
    let (container, read_only) = match value.rsplit_once(':') {
        None => (value, false),
        Some((container, "ro")) => (container, true),
        Some((container, "rw" | "z" | "Z")) => (container, false),
        Some((_, other)) => return Err(format!("mode {other:?} is none of ro and rw")),
    };
    if container.is_empty() {
        return Err("expected CONTAINER[:ro|rw]".into());
    }
    let source = MountSource::VolumesOf { container: container.to_owned() };
    Ok(Mount { target: String::new(), read_only, source })
}

/// The fields of one `--mount`.
#[derive(Debug, Default)]
struct Long {
    kind: String,
    source: String,
    target: String,
    read_only: bool,
    options: Vec<(String, String)>,
}

/// `--mount type=bind,source=/host,target=/path,readonly`: a line of comma-separated fields, quoted as in CSV.
pub fn long(value: &str, working_directory: &Path) -> Result<Mount, String> {
    let mut long = Long { kind: "volume".into(), ..Long::default() };
    for field in model::csv::fields(value)? {
        let (key, value) = field.split_once('=').unwrap_or((&field, ""));
        let has_value = field.contains('=');
        match key.to_ascii_lowercase().as_str() {
            "type" => long.kind = value.to_ascii_lowercase(),
            "source" | "src" => long.source = value.into(),
            "target" | "dst" | "destination" => long.target = value.into(),
            "readonly" | "ro" => long.read_only = flag(key, value, has_value)?,
            // A hint for Docker Desktop; on Linux every mount is consistent.
            "consistency" => match value {
                "consistent" | "cached" | "delegated" | "default" => {}
                _ => return Err(format!("consistency {value:?} is none of consistent, cached, delegated and default")),
            },
            "bind-nonrecursive" => {
                let word = if flag(key, value, has_value)? { "disabled" } else { "enabled" };
                long.options.push(("bind-recursive".into(), word.into()));
            }
            "volume-nocopy" => long.options.push((key.into(), flag(key, value, has_value)?.to_string())),
            "bind-propagation" | "bind-recursive" | "volume-subpath" | "volume-label" | "volume-driver"
            | "volume-opt" | "image-subpath" | "tmpfs-size" | "tmpfs-mode"
                if has_value =>
            {
                long.options.push((key.to_ascii_lowercase(), value.into()));
            }
            _ if !has_value => return Err(format!("invalid field {key:?} must be a key=value pair")),
            _ => return Err(format!("unexpected key {key:?} in {field:?}")),
        }
    }
    long.mount(working_directory)
}

fn flag(key: &str, value: &str, has_value: bool) -> Result<bool, String> {
    match value {
        _ if !has_value => Ok(true),
        "1" | "true" | "True" | "TRUE" | "t" | "T" => Ok(true),
        "0" | "false" | "False" | "FALSE" | "f" | "F" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value:?}")),
    }
}

impl Long {
    fn mount(self, working_directory: &Path) -> Result<Mount, String> {
        let Self { kind, source, target, read_only, options } = self;
        if let Some((key, _)) = options.iter().find(|(key, _)| !key.starts_with(&format!("{kind}-"))) {
            return Err(format!(
                "cannot mix '{}-*' options with mount type {kind:?}",
                key.split('-').next().unwrap_or(key)
            ));
        }
        if target.is_empty() {
            return Err("target is required".into());
        }
        let needs_source = matches!(kind.as_str(), "bind" | "image");
        if needs_source && source.is_empty() {
            return Err(format!("source is required for type={kind}"));
        }
        let source = match kind.as_str() {
            "bind" => bind_source(bind(working_directory, &source, false)?, &options)?,
            "volume" => volume_source(named(Some(source.as_str()).filter(|name| !name.is_empty()))?, &options)?,
            "tmpfs" if !source.is_empty() => return Err("a tmpfs has no source".into()),
            "tmpfs" => tmpfs_source(&options)?,
            "image" => image_source(source, &options),
            "cluster" => return Err("cluster volumes need CSI plug-ins, and Orca has no plug-ins".into()),
            "npipe" => return Err("named pipes are for Windows containers".into()),
            _ => return Err(format!("type {kind:?} is none of bind, volume, tmpfs and image")),
        };
        Ok(Mount { target: checked_target(&target)?, read_only, source })
    }
}

fn bind_source(mut source: MountSource, options: &[(String, String)]) -> Result<MountSource, String> {
    if let MountSource::Bind { propagation: how, recursive, .. } = &mut source {
        for (key, value) in options {
            match key.as_str() {
                "bind-propagation" => {
                    *how = Propagation::of_word(value).ok_or_else(|| format!("{value:?} is no mount propagation"))?;
                }
                _ => *recursive = Recursive::parse(value)?,
            }
        }
    }
    Ok(source)
}

fn volume_source(mut source: MountSource, options: &[(String, String)]) -> Result<MountSource, String> {
    if let MountSource::Volume { no_copy, subpath, spec, .. } = &mut source {
        for (key, value) in options {
            let (name, text) = value.split_once('=').unwrap_or((value, ""));
            match key.as_str() {
                "volume-nocopy" => *no_copy = value == "true",
                "volume-subpath" => *subpath = Some(value.clone()),
                "volume-label" => drop(spec.labels.insert(name.into(), text.into())),
                "volume-opt" => drop(spec.driver_opts.insert(name.into(), text.into())),
                _ => driver(value)?,
            }
        }
    }
    Ok(source)
}

/// `--volume-driver`, `volume-driver=`, `volume create --driver`: there is one.
pub fn driver(name: &str) -> Result<(), String> {
    if matches!(name, "" | "local") {
        return Ok(());
    }
    Err(format!(
        "volume driver {name:?} is a plug-in, and Orca has none: the driver local mounts every file system that the kernel has"
    ))
}

fn tmpfs_source(options: &[(String, String)]) -> Result<MountSource, String> {
    let (mut size, mut mode) = (None, None);
    for (key, value) in options {
        match key.as_str() {
            "tmpfs-size" => size = Some(bytes(value)?),
            _ => mode = Some(octal(value)?),
        }
    }
    Ok(MountSource::Tmpfs { size, mode, options: Vec::new() })
}

fn image_source(image: String, options: &[(String, String)]) -> MountSource {
    let subpath = options.iter().find(|(key, _)| key == "image-subpath").map(|(_, value)| value.clone());
    MountSource::Image { image, id: None, subpath }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let here = Path::new("/work");
        let bind = volume("./data:/data:ro,z,rslave,cached", here).unwrap();
        assert!(bind.read_only);
        let MountSource::Bind { path, propagation, relabel, .. } = bind.source else { panic!() };
        assert_eq!((path.as_str(), propagation, relabel), ("/work/./data", Propagation::Rslave, Some(Relabel::Shared)));
        assert!(matches!(volume("data:/data", here).unwrap().source, MountSource::Volume { name: Some(_), .. }));
        assert!(matches!(volume("/data", here).unwrap().source, MountSource::Volume { name: None, .. }));
        for bad in ["a:b", "a:/b:z:c", "a:/", "a:/b:zz", "-x:/b", "a:/b:rshared"] {
            assert!(volume(bad, here).is_err(), "{bad}");
        }
    }

    #[test]
    fn long_mounts() {
        let here = Path::new("/work");
        let of = |text: &str| long(text, here);
        let bind = of("type=bind,src=sub,dst=/b,ro,bind-recursive=readonly,bind-propagation=rshared").unwrap();
        assert!(bind.read_only && bind.target == "/b");
        let MountSource::Bind { path, create, recursive, propagation, .. } = bind.source else { panic!() };
        assert_eq!((path.as_str(), create), ("/work/sub", false));
        assert_eq!((recursive, propagation), (Recursive::Readonly, Propagation::Rshared));
        let volume = of(r#"source=vol,target=/v,volume-nocopy,volume-label=a=b,volume-subpath=x,volume-opt=type=tmpfs,"volume-opt=o=size=1m,mode=700""#).unwrap();
        let MountSource::Volume { name, no_copy, subpath, spec } = volume.source else { panic!() };
        assert_eq!((name.as_deref(), no_copy, subpath.as_deref()), (Some("vol"), true, Some("x")));
        assert_eq!((spec.labels["a"].as_str(), spec.driver_opts["o"].as_str()), ("b", "size=1m,mode=700"));
        let tmpfs = of("type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700,readonly=false").unwrap();
        assert_eq!(tmpfs.source, MountSource::Tmpfs { size: Some(1 << 20), mode: Some(0o700), options: Vec::new() });
        let image = of("type=image,source=busybox,target=/i,image-subpath=etc").unwrap();
        assert!(matches!(image.source, MountSource::Image { subpath: Some(_), .. }));
        for bad in [
            "type=bind,target=/x",
            "type=bind,source=/x",
            "type=image,target=/x",
            "type=tmpfs,source=/x,target=/y",
            "type=tmpfs,target=/x,volume-nocopy",
            "type=npipe,source=a,target=/b",
            "type=else,source=a,target=/b",
            "target=relative",
            "target=/x,color=red",
            "target=/x,color",
            "target=/x,volume-driver=nfs",
            "target=/x,readonly=maybe",
            "type=bind,source=/a,target=/b,bind-recursive=some",
            "\"target=/x",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tmpfs_and_volumes_from() {
        let mount = tmpfs("/run:size=64m,mode=755,exec,uid=7,nr_inodes=1k,ro").unwrap();
        let MountSource::Tmpfs { size, mode, options } = mount.source else { panic!() };
        assert_eq!((size, mode, mount.read_only), (Some(64 << 20), Some(0o755), true));
        assert_eq!(options, ["exec", "uid=7", "nr_inodes=1k"]);
        for bad in ["run", "/run:color", "/run:mode=9", "/run:uid=me", "/run:size=x"] {
            assert!(tmpfs(bad).is_err(), "{bad}");
        }
        assert!(volumes_from("box:ro").unwrap().read_only);
        assert!(volumes_from("box:zz").is_err() && volumes_from("").is_err());
    }
}
