//! `RUN --mount=type=…`.

use super::suggest::hint;
use super::{Expander, Reason};

/// What is mounted for the time of one RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What.
    pub kind: MountKind,
    /// Where; relative to the working directory. Secrets and sockets have a place of their own if none is given.
    pub target: Option<String>,
}

/// What a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// A directory or file of the context, a stage or an image; what is written to it is lost.
    Bind { from: Option<String>, source: String, writable: bool },
    /// A directory that lasts from build to build.
    Cache {
        id: Option<String>,
        read_only: bool,
        sharing: Sharing,
        from: Option<String>,
        source: String,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    /// A file system in memory.
    Tmpfs { size: Option<u64> },
    /// A file, or a variable, with a secret of the caller's.
    Secret { id: String, env: Option<String>, required: bool, mode: u32, uid: u32, gid: u32 },
    /// The caller's SSH agent.
    Ssh { id: String, required: bool, mode: u32, uid: u32, gid: u32 },
}

/// Whether several RUNs may use a cache at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// They may.
    #[default]
    Shared,
    /// Each waits for the one before.
    Locked,
    /// Each has its own.
    Private,
}

const KEYS: [&str; 18] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "ro",
    "readonly",
    "rw",
    "readwrite",
    "id",
    "sharing",
    "required",
    "mode",
    "uid",
    "gid",
    "size",
];

/// The keys of one mount as they were given.
#[derive(Default)]
struct Given {
    kind: String,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    writable: Option<bool>,
    id: Option<String>,
    sharing: Option<Sharing>,
    required: bool,
    env: Option<String>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
}

impl Mount {
    /// Reads the value of `--mount`, its variables expanded by `expander`.
    ///
    /// # Errors
    /// What is wrong with it, by the key.
    pub fn parse(text: &str, expander: &Expander<'_>) -> Result<Mount, Reason> {
        let mut given = Given { kind: "bind".to_owned(), ..Given::default() };
        for field in text.split(',') {
            let (key, value) = field.split_once('=').map_or((field, None), |(key, value)| (key, Some(value)));
            let value = value.map(|value| expander.word(value)).transpose()?;
            given.set(&key.trim().to_ascii_lowercase(), value)?;
        }
        given.mount()
    }
}

/// Whether a shell takes it for a variable's name.
fn is_variable(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

impl Given {
    fn set(&mut self, key: &str, value: Option<String>) -> Result<(), Reason> {
        let flag = |value: Option<&str>| match value {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("invalid value {other:?} of {key} in --mount: true or false")),
        };
        match key {
            "ro" | "readonly" => self.writable = Some(!flag(value.as_deref())?),
            "rw" | "readwrite" => self.writable = Some(flag(value.as_deref())?),
            "required" => self.required = flag(value.as_deref())?,
            _ => {
                if !KEYS.contains(&key) && key != "env" {
                    return Err(format!("unexpected key {key:?} in --mount{}", hint(key, &KEYS)));
                }
                let value = value.ok_or_else(|| format!("{key} in --mount needs a value"))?;
                self.set_value(key, value)?;
            }
        }
        Ok(())
    }

    fn set_value(&mut self, key: &str, value: String) -> Result<(), Reason> {
        let number = |radix: u32| {
            u32::from_str_radix(&value, radix).map_err(|_| format!("invalid value {value:?} of {key} in --mount"))
        };
        match key {
            "type" => self.kind = value.to_ascii_lowercase(),
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "id" => self.id = Some(value),
            "env" if !is_variable(&value) => {
                return Err(format!("{value:?} is no name of a variable, as env in --mount needs"));
            }
            "env" => self.env = Some(value),
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            "size" => self.size = Some(size(&value)?),
            "sharing" => {
                self.sharing = Some(match value.as_str() {
                    "shared" => Sharing::Shared,
                    "locked" => Sharing::Locked,
                    "private" => Sharing::Private,
                    other => return Err(format!("unsupported sharing value {other:?}: shared, locked or private")),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, Reason> {
        let needs_target = matches!(self.kind.as_str(), "bind" | "cache" | "tmpfs");
        if needs_target && self.target.as_deref().unwrap_or_default().is_empty() {
            return Err(format!("--mount=type={} needs a target", self.kind));
        }
        let (uid, gid) = (self.uid.unwrap_or(0), self.gid.unwrap_or(0));
        let source = self.source.clone().unwrap_or_else(|| "/".to_owned());
        let kind = match self.kind.as_str() {
            "bind" => MountKind::Bind { from: self.from, source, writable: self.writable.unwrap_or(false) },
            "cache" => MountKind::Cache {
                id: self.id,
                read_only: self.writable == Some(false),
                sharing: self.sharing.unwrap_or_default(),
                from: self.from,
                source,
                mode: self.mode.unwrap_or(0o755),
                uid,
                gid,
            },
            "tmpfs" => MountKind::Tmpfs { size: self.size },
            "secret" => {
                let of_target = || self.target.as_deref().and_then(|path| path.rsplit('/').next()).map(str::to_owned);
                let id = self.id.or(self.source).or_else(of_target);
                let id = id.filter(|id| !id.is_empty()).ok_or("--mount=type=secret needs an id or a target")?;
                MountKind::Secret {
                    id,
                    env: self.env,
                    required: self.required,
                    mode: self.mode.unwrap_or(0o400),
                    uid,
                    gid,
                }
            }
            "ssh" => {
                let id = self.id.unwrap_or_else(|| "default".to_owned());
                MountKind::Ssh { id, required: self.required, mode: self.mode.unwrap_or(0o600), uid, gid }
            }
            other => {
                let known = ["bind", "cache", "tmpfs", "secret", "ssh"];
                return Err(format!("unsupported mount type {other:?}{}", hint(other, &known)));
            }
        };
        Ok(Mount { kind, target: self.target })
    }
}

/// Bytes, with the units of Docker's sizes.
fn size(text: &str) -> Result<u64, Reason> {
    let invalid = || format!("invalid size {text:?} in --mount: a number of bytes such as 64m");
    let lower = text.to_ascii_lowercase();
    let digits = lower.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = lower[..digits].parse().map_err(|_| invalid())?;
    let unit = match lower[digits..].trim_end_matches('b').trim_end_matches('i') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return Err(invalid()),
    };
    number.checked_mul(unit).ok_or_else(invalid)
}
