//! System call filters: Docker's default one and those of users, in Docker's published profile format, and their
//! translation for one container.
//!
//! The format is that of <https://docs.docker.com/engine/security/seccomp/>: an entry counts if every capability that it
//! includes is there, none that it excludes is, and architecture and kernel fit. Older profiles name `architectures`
//! instead of `archMap`, and one system call an entry.

use std::collections::BTreeSet;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder, LinuxSeccompFilterFlag, LinuxSyscall,
    LinuxSyscallBuilder,
};
use serde::{Deserialize, Deserializer};

use crate::Error;

const DEFAULT: &str = include_str!("../../data/seccomp.json");

/// A profile as Docker publishes them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<ArchMap>,
    #[serde(default)]
    architectures: Vec<Arch>,
    #[serde(default)]
    flags: Vec<LinuxSeccompFilterFlag>,
    #[serde(default)]
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: Arch,
    #[serde(default)]
    sub_architectures: Vec<Arch>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    names: Vec<String>,
    name: Option<String>,
    /// For people.
    #[serde(rename = "comment")]
    _comment: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "or_default")]
    args: Vec<LinuxSeccompArg>,
    #[serde(default, deserialize_with = "or_default")]
    includes: Filter,
    #[serde(default, deserialize_with = "or_default")]
    excludes: Filter,
}

/// Docker's own tools write null for what is empty.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Filter {
    #[serde(deserialize_with = "or_default")]
    caps: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    arches: Vec<String>,
    min_kernel: Option<String>,
}

/// What a profile's conditions are about.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The container's capabilities, without `CAP_`.
    pub capabilities: &'a BTreeSet<&'static str>,
    /// `x86_64` or `aarch64`.
    pub architecture: &'a str,
    /// Major and minor version of the kernel.
    pub kernel: (u32, u32),
}

/// Longest profile that is read, in bytes; Docker's own has 15,000.
const LONGEST: usize = 1 << 20;

/// Docker's default filter for this container.
///
/// # Errors
/// If the architecture is none that Orca runs on.
pub fn default_filter(target: Target<'_>) -> Result<LinuxSeccomp, Error> {
    translate(serde_json::from_str(DEFAULT).map_err(Error::SeccompProfile)?, target)
}

/// The filter of a user's profile for this container; `None` if it allows everything.
///
/// # Errors
/// [`Error::Spec`] for a text that is no profile.
pub fn filter(profile: &str, target: Target<'_>) -> Result<Option<LinuxSeccomp>, Error> {
    let refused =
        |reason: String| Error::Spec { key: "seccomp profile", value: profile.chars().take(60).collect(), reason };
    if profile.len() > LONGEST {
        return Err(refused("it is longer than 1 MiB".into()));
    }
    let profile: Profile = serde_json::from_str(profile).map_err(|error| refused(error.to_string()))?;
    if !profile.arch_map.is_empty() && !profile.architectures.is_empty() {
        return Err(refused("it has both architectures and archMap: use one of them".into()));
    }
    if let Some(rule) = profile.syscalls.iter().find(|rule| rule.name.is_some() != rule.names.is_empty()) {
        return Err(refused(format!("an entry needs either name or names: {:?} {:?}", rule.name, rule.names)));
    }
    if profile.default_action == LinuxSeccompAction::ScmpActAllow && profile.syscalls.is_empty() {
        return Ok(None);
    }
    translate(profile, target).map(Some)
}

fn translate(profile: Profile, target: Target<'_>) -> Result<LinuxSeccomp, Error> {
    let (architecture, word) = match target.architecture {
        "x86_64" => (Arch::ScmpArchX86_64, "amd64"),
        "aarch64" => (Arch::ScmpArchAarch64, "arm64"),
        other => return Err(Error::Architecture { found: other.into() }),
    };
    let mut architectures = profile.architectures;
    if architectures.is_empty() {
        architectures.push(architecture);
    }
    for map in profile.arch_map {
        if map.architecture == architecture {
            architectures.extend(map.sub_architectures);
        }
    }
    let rules = profile.syscalls.into_iter().filter(|rule| rule.applies(target, word));
    let syscalls = rules.map(Rule::translate).collect::<Result<Vec<_>, _>>()?;
    let mut builder = LinuxSeccompBuilder::default()
        .default_action(profile.default_action)
        .architectures(architectures)
        .syscalls(syscalls);
    if let Some(errno) = profile.default_errno_ret {
        builder = builder.default_errno_ret(errno);
    }
    if !profile.flags.is_empty() {
        builder = builder.flags(profile.flags);
    }
    Ok(builder.build()?)
}

impl Rule {
    fn applies(&self, target: Target<'_>, architecture: &str) -> bool {
        let has = |name: &String| target.capabilities.contains(name.strip_prefix("CAP_").unwrap_or(name));
        let fits = |filter: &Filter| filter.arches.is_empty() || filter.arches.iter().any(|arch| arch == architecture);
        let new_enough = |filter: &Filter| {
            let version = filter.min_kernel.as_deref().and_then(|text| text.split_once('.'));
            let version = version.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
            version.is_none_or(|version: (u32, u32)| target.kernel >= version)
        };
        let excluded = self.excludes.caps.iter().any(has) || !self.excludes.arches.is_empty() && fits(&self.excludes);
        self.includes.caps.iter().all(has) && fits(&self.includes) && new_enough(&self.includes) && !excluded
    }

    fn translate(self) -> Result<LinuxSyscall, Error> {
        let names = self.name.into_iter().chain(self.names).collect::<Vec<_>>();
        let mut builder = LinuxSyscallBuilder::default().names(names).action(self.action);
        if let Some(errno) = self.errno_ret {
            builder = builder.errno_ret(errno);
        }
        if !self.args.is_empty() {
            builder = builder.args(self.args);
        }
        Ok(builder.build()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::capabilities;

    fn filter(capabilities: &[&'static str], architecture: &str) -> LinuxSeccomp {
        let capabilities = capabilities.iter().copied().collect();
        default_filter(Target { capabilities: &capabilities, architecture, kernel: (6, 1) }).unwrap()
    }

    fn rules<'a>(filter: &'a LinuxSeccomp, name: &str) -> Vec<&'a LinuxSyscall> {
        let rules = filter.syscalls().as_ref().unwrap();
        rules.iter().filter(|rule| rule.names().iter().any(|known| known == name)).collect()
    }

    #[test]
    fn capabilities_open_what_belongs_to_them() {
        let default = filter(&capabilities::DEFAULT, "x86_64");
        assert_eq!(default.default_action(), LinuxSeccompAction::ScmpActErrno);
        assert!(rules(&default, "mount").is_empty());
        assert!(rules(&default, "keyctl").is_empty());
        assert_eq!(rules(&default, "read").len(), 1);
        assert_eq!(rules(&default, "chroot").len(), 1);
        assert!(rules(&default, "clone").iter().all(|rule| rule.args().is_some()));
        assert_eq!(rules(&default, "clone3")[0].errno_ret(), Some(38));
        let admin = filter(&["SYS_ADMIN"], "x86_64");
        assert_eq!(rules(&admin, "mount").len(), 1);
        assert!(rules(&admin, "clone3").iter().all(|rule| rule.action() == LinuxSeccompAction::ScmpActAllow));
    }

    #[test]
    fn architectures_have_their_own() {
        let x86 = filter(&[], "x86_64");
        assert_eq!(x86.architectures().as_ref().unwrap().len(), 3);
        assert_eq!(rules(&x86, "arch_prctl").len(), 1);
        let arm = filter(&[], "aarch64");
        assert!(rules(&arm, "arch_prctl").is_empty());
        assert_eq!(rules(&arm, "set_tls").len(), 1);
        let target = Target { capabilities: &BTreeSet::new(), architecture: "mips", kernel: (6, 1) };
        assert!(default_filter(target).is_err());
    }

    #[test]
    fn profiles_of_users() {
        let target = |capabilities| Target { capabilities, architecture: "x86_64", kernel: (5, 10) };
        let none = BTreeSet::new();
        let admin = BTreeSet::from(["SYS_ADMIN"]);
        let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":null,
            "archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],
            "syscalls":[{"name":"mkdir","action":"SCMP_ACT_ERRNO","errnoRet":1,"args":null,"comment":"","includes":{},"excludes":null},
            {"names":["chmod"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_ADMIN"]}},
            {"names":["chown"],"action":"SCMP_ACT_ERRNO","includes":{"minKernel":"5.11"}},
            {"names":["statx"],"action":"SCMP_ACT_ERRNO","includes":{"arches":["arm64"]}}]}"#;
        let names = |filter: &LinuxSeccomp| {
            filter.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect::<Vec<_>>()
        };
        let plain = super::filter(profile, target(&none)).unwrap().unwrap();
        assert_eq!(names(&plain), ["mkdir", "chmod"]);
        assert_eq!(plain.architectures().as_ref().map(Vec::len), Some(2));
        assert_eq!(names(&super::filter(profile, target(&admin)).unwrap().unwrap()), ["mkdir"]);
        assert_eq!(super::filter(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#, target(&none)).unwrap(), None);
        for bad in [
            "",
            "{}",
            r#"{"defaultAction":"SCMP_ACT_NOPE"}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_KILL"}]}"#,
            r#"{"defaultAction":"SCMP_ACT_ALLOW","unknown":1}"#,
        ] {
            assert!(super::filter(bad, target(&none)).unwrap_err().to_string().contains("seccomp profile"), "{bad}");
        }
    }

    #[test]
    fn no_system_call_is_named_twice_in_the_unconditional_rule() {
        let profile: Profile = serde_json::from_str(DEFAULT).unwrap();
        let names = &profile.syscalls[0].names;
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.len() > 300);
    }
}
