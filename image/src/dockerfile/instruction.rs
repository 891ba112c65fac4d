//! One instruction: its flags and arguments, variables not yet expanded.

use super::healthcheck;
use super::lines::{self, Heredoc};
use super::mount::Mount;
use super::suggest::hint;
use super::{Expander, Reason, Span};
use crate::manifest::Healthcheck;

/// An instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Where it is.
    pub span: Span,
    /// Its text, lines joined.
    pub text: String,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    From { image: String, platform: Option<String>, name: Option<String> },
    Arg(Vec<Arg>),
    Run(Run),
    Copy(Copy),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Cmd(Command),
    Entrypoint(Command),
    Expose(Vec<String>),
    Healthcheck(Healthcheck),
    Onbuild(String),
    Stopsignal(String),
    Shell(Vec<String>),
    User(String),
    Volume(Vec<String>),
    Workdir(String),
    Maintainer(String),
}

/// One variable of ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// What it is if the caller says nothing.
    pub default: Option<String>,
}

/// How a program is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// By its arguments, as a JSON array.
    Exec(Vec<String>),
    /// By a line for the shell.
    Shell(String),
}

/// RUN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The program.
    pub command: Command,
    /// `--mount`, as written.
    pub mounts: Vec<String>,
    /// `--network`.
    pub network: Option<String>,
    /// `--security`.
    pub security: Option<String>,
    /// Texts below it.
    pub heredocs: Vec<Heredoc>,
}

/// COPY and ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copy {
    /// ADD: archives are unpacked, URLs fetched.
    pub is_add: bool,
    /// `--from`.
    pub from: Option<String>,
    /// `--chown`.
    pub chown: Option<String>,
    /// `--chmod`.
    pub chmod: Option<String>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--checksum`.
    pub checksum: Option<String>,
    /// `--keep-git-dir`.
    pub keep_git_dir: bool,
    /// `--unpack`; none: archives of the context are, those from URLs aren't.
    pub unpack: Option<bool>,
    /// What is copied.
    pub sources: Vec<String>,
    /// Where to.
    pub destination: String,
    /// Files whose text is below it.
    pub heredocs: Vec<Heredoc>,
}

const NAMES: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction that an image's ONBUILD has kept.
///
/// # Errors
/// What is wrong with it.
pub fn parse_trigger(text: &str, span: Span) -> Result<Instruction, Reason> {
    let mut parts = text.split_inclusive('\n');
    let first = parts.next().unwrap_or_default().trim_end().to_owned();
    let mut rest: Vec<&str> = parts.map(|line| line.trim_end_matches('\n')).collect();
    let mut heredocs = lines::openings(&first, '\\');
    for heredoc in &mut heredocs {
        let end = rest.iter().position(|line| *line == heredoc.name).unwrap_or(rest.len());
        heredoc.content = rest[..end].iter().map(|line| format!("{line}\n")).collect();
        rest = rest.split_off((end + 1).min(rest.len()));
    }
    Ok(Instruction { span, kind: parse(&first, heredocs, '\\')?, text: first })
}

/// Reads one instruction.
pub(super) fn parse(text: &str, heredocs: Vec<Heredoc>, escape: char) -> Result<Kind, Reason> {
    let (name, rest) = lines::command(text);
    let name = name.to_ascii_uppercase();
    if !NAMES.contains(&name.as_str()) {
        return Err(format!("unknown instruction: {}{}", lines::command(text).0, hint(&name, &NAMES)));
    }
    if rest.is_empty() {
        return Err(format!("{name} needs an argument"));
    }
    if name == "HEALTHCHECK" {
        return Ok(Kind::Healthcheck(healthcheck::parse(rest)?));
    }
    // What a trigger says is looked at when it is pulled.
    if name == "ONBUILD" {
        return trigger(rest, &heredocs, escape).map(Kind::Onbuild);
    }
    let (flags, rest) = lines::flags(rest, escape)?;
    let mut flags = Flags { name: &name, flags };
    let kind = with_flags(&name, &mut flags, rest, heredocs, escape)?;
    flags.none_left()?;
    Ok(kind)
}

fn with_flags(
    name: &str,
    flags: &mut Flags<'_>,
    rest: &str,
    heredocs: Vec<Heredoc>,
    escape: char,
) -> Result<Kind, Reason> {
    if rest.is_empty() {
        return Err(format!("{name} needs an argument"));
    }
    Ok(match name {
        "FROM" => from(flags, rest)?,
        "ARG" => Kind::Arg(args(rest, escape)?),
        "RUN" => Kind::Run(run(flags, rest, heredocs, escape)?),
        "COPY" | "ADD" => Kind::Copy(copy(name, flags, rest, heredocs, escape)?),
        "ENV" => Kind::Env(pairs(name, rest, escape)?),
        "LABEL" => Kind::Label(pairs(name, rest, escape)?),
        "CMD" => Kind::Cmd(command(rest)),
        "ENTRYPOINT" => Kind::Entrypoint(command(rest)),
        "EXPOSE" => Kind::Expose(super::expand::split(rest, escape)?),
        "STOPSIGNAL" => Kind::Stopsignal(rest.to_owned()),
        "SHELL" => match json_form(rest) {
            Some(shell) if !shell.is_empty() => Kind::Shell(shell),
            _ => return Err("SHELL requires the arguments to be in JSON form".to_owned()),
        },
        "USER" => Kind::User(rest.to_owned()),
        "VOLUME" => match json_form(rest) {
            Some(paths) => Kind::Volume(paths),
            None => Kind::Volume(super::expand::split(rest, escape)?),
        },
        "WORKDIR" => Kind::Workdir(rest.to_owned()),
        _ => Kind::Maintainer(rest.to_owned()),
    })
}

/// The flags of an instruction that nobody has asked for yet.
struct Flags<'a> {
    name: &'a str,
    flags: Vec<lines::Flag>,
}

impl Flags<'_> {
    fn all(&mut self, name: &str) -> Result<Vec<String>, Reason> {
        let mut values = Vec::new();
        let mut kept = Vec::new();
        for (flag, value) in std::mem::take(&mut self.flags) {
            match (flag == name, value) {
                (true, Some(value)) => values.push(value),
                (true, None) => return Err(format!("missing a value on flag: --{name}")),
                (false, value) => kept.push((flag, value)),
            }
        }
        self.flags = kept;
        Ok(values)
    }

    fn one(&mut self, name: &str) -> Result<Option<String>, Reason> {
        let mut values = self.all(name)?;
        if values.len() > 1 {
            return Err(format!("duplicate flag specified: --{name}"));
        }
        Ok(values.pop())
    }

    fn switch(&mut self, name: &str) -> Result<Option<bool>, Reason> {
        let Some(at) = self.flags.iter().position(|(flag, _)| flag == name) else { return Ok(None) };
        match self.flags.remove(at).1.as_deref() {
            None | Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(format!("expecting boolean value for flag --{name}, not {other:?}")),
        }
    }

    fn none_left(&self) -> Result<(), Reason> {
        let known: &[&str] = match self.name {
            "FROM" => &["platform"],
            "RUN" => &["mount", "network", "security", "device"],
            "COPY" => &["from", "chown", "chmod", "link", "parents", "exclude"],
            "ADD" => &["chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack"],
            _ => &[],
        };
        match self.flags.first() {
            None => Ok(()),
            Some((flag, _)) => Err(format!("unknown flag: --{flag} of {}{}", self.name, hint(flag, known))),
        }
    }
}

fn from(flags: &mut Flags<'_>, rest: &str) -> Result<Kind, Reason> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words.as_slice() {
        [image] => (image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => (image, Some(name.to_ascii_lowercase())),
        _ => return Err("FROM requires either one or three arguments: FROM IMAGE [AS NAME]".to_owned()),
    };
    if let Some(name) = &name {
        let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
        if !valid {
            return Err(format!(
                "invalid name for build stage: {name:?}: it must begin with a letter, and - _ . and digits may follow"
            ));
        }
        if name == "context" || name == "scratch" {
            return Err(format!("{name} is a reserved name of a build stage"));
        }
    }
    Ok(Kind::From { image: (*image).to_owned(), platform: flags.one("platform")?, name })
}

fn args(rest: &str, escape: char) -> Result<Vec<Arg>, Reason> {
    let mut args = Vec::new();
    for word in super::expand::split(rest, escape)? {
        let (name, default) = match word.split_once('=') {
            Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
            None => (word, None),
        };
        if name.is_empty() {
            return Err("ARG names can not be blank".to_owned());
        }
        args.push(Arg { name, default });
    }
    Ok(args)
}

fn run(flags: &mut Flags<'_>, rest: &str, heredocs: Vec<Heredoc>, escape: char) -> Result<Run, Reason> {
    let mounts = flags.all("mount")?;
    for mount in mounts.iter().filter(|mount| !mount.contains('$')) {
        Mount::parse(mount, &Expander::nothing(escape))?;
    }
    let network = flags.one("network")?;
    if let Some(other) = network.as_deref().filter(|network| !["default", "none", "host"].contains(network)) {
        return Err(format!("invalid network mode {other:?}: default, none or host"));
    }
    let security = flags.one("security")?;
    if let Some(other) = security.as_deref().filter(|mode| !["sandbox", "insecure"].contains(mode)) {
        return Err(format!("security {other:?} is not valid: sandbox or insecure"));
    }
    if let Some(device) = flags.all("device")?.first() {
        return Err(format!(
            "--device={device} of RUN is not supported: devices belong to containers, give them to `run`"
        ));
    }
    let command = if heredocs.is_empty() { command(rest) } else { Command::Shell(rest.to_owned()) };
    Ok(Run { command, mounts, network, security, heredocs })
}

fn copy(name: &str, flags: &mut Flags<'_>, rest: &str, heredocs: Vec<Heredoc>, escape: char) -> Result<Copy, Reason> {
    let is_add = name == "ADD";
    let mut copy = Copy {
        is_add,
        chown: flags.one("chown")?,
        chmod: flags.one("chmod")?,
        link: flags.switch("link")?.unwrap_or(false),
        exclude: flags.all("exclude")?,
        ..Copy::default()
    };
    if is_add {
        copy.checksum = flags.one("checksum")?;
        copy.keep_git_dir = flags.switch("keep-git-dir")?.unwrap_or(false);
        copy.unpack = flags.switch("unpack")?;
    } else {
        copy.from = flags.one("from")?;
        copy.parents = flags.switch("parents")?.unwrap_or(false);
    }
    let mut words = match json_form(rest) {
        Some(words) => words,
        None => rest.split_whitespace().map(str::to_owned).collect(),
    };
    words.retain(|word| !is_opening(word, &heredocs, escape));
    copy.destination = words.pop().unwrap_or_default();
    if copy.destination.is_empty() || (words.is_empty() && heredocs.is_empty()) {
        return Err(format!(
            "{name} requires at least two arguments, but only one was provided. Destination could not be determined"
        ));
    }
    if words.len() + heredocs.len() > 1
        && !copy.destination.ends_with('/')
        && !copy.destination.contains('$')
        && !matches!(copy.destination.rsplit('/').next(), Some("." | ".."))
    {
        return Err(format!(
            "when using {name} with more than one source file, the destination must be a directory and end with a /"
        ));
    }
    copy.sources = words;
    copy.heredocs = heredocs;
    Ok(copy)
}

fn is_opening(word: &str, heredocs: &[Heredoc], escape: char) -> bool {
    !heredocs.is_empty() && !lines::openings(word, escape).is_empty()
}

/// JSON form as it is; as in Docker, anything else is no error but shell form.
fn command(text: &str) -> Command {
    json_form(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}

/// A JSON array of strings.
pub(super) fn json_form(text: &str) -> Option<Vec<String>> {
    if text.starts_with('[') { serde_json::from_str(text).ok() } else { None }
}

/// `K=V …`, or the legacy form `K the whole rest`.
fn pairs(name: &str, text: &str, escape: char) -> Result<Vec<(String, String)>, Reason> {
    let words = super::expand::split(text, escape)?;
    if !words.first().is_some_and(|word| word.contains('=')) {
        let (key, value) =
            text.split_once(char::is_whitespace).ok_or_else(|| format!("{name} must have two arguments"))?;
        return Ok(vec![(key.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| {
        let (key, value) =
            word.split_once('=').ok_or_else(|| format!("can't find = in {word:?}, must be of the form: name=value"))?;
        if key.is_empty() {
            return Err(format!("{name} names can not be blank"));
        }
        Ok((key.to_owned(), value.to_owned()))
    };
    words.iter().map(pair).collect()
}

/// What ONBUILD keeps: the instruction with its here-documents.
fn trigger(text: &str, heredocs: &[Heredoc], escape: char) -> Result<String, Reason> {
    let name = lines::command(text).0.to_ascii_uppercase();
    match name.as_str() {
        "ONBUILD" => return Err("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".to_owned()),
        "FROM" | "MAINTAINER" => return Err(format!("{name} isn't allowed as an ONBUILD trigger")),
        _ => drop(parse(text, heredocs.to_vec(), escape)?),
    }
    let mut kept = text.to_owned();
    for heredoc in heredocs {
        kept.push_str(&format!("\n{}{}", heredoc.content, heredoc.name));
    }
    Ok(kept)
}
