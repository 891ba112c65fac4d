//! Docker's default system call filter: data in Docker's published profile format, and its translation for one container.
//!
//! The format is that of <https://docs.docker.com/engine/security/seccomp/>: an entry counts if every capability that it
//! includes is there, none that it excludes is, and architecture and kernel fit.

use std::collections::BTreeSet;

use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;

use crate::Error;

const DEFAULT: &str = include_str!("../../data/seccomp.json");

/// A profile as Docker publishes them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    arch_map: Vec<ArchMap>,
    syscalls: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchMap {
    architecture: Arch,
    sub_architectures: Vec<Arch>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Vec<LinuxSeccompArg>,
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Filter {
    caps: Vec<String>,
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

/// Docker's default filter for this container.
///
/// # Errors
/// If the architecture is none that Orca runs on.
pub fn default_filter(target: Target<'_>) -> Result<LinuxSeccomp, Error> {
    let (architecture, word) = match target.architecture {
        "x86_64" => (Arch::ScmpArchX86_64, "amd64"),
        "aarch64" => (Arch::ScmpArchAarch64, "arm64"),
        other => return Err(Error::Architecture { found: other.into() }),
    };
    let profile: Profile = serde_json::from_str(DEFAULT).map_err(Error::SeccompProfile)?;
    let mut architectures = vec![architecture];
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
        let mut builder = LinuxSyscallBuilder::default().names(self.names).action(self.action);
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
    fn no_system_call_is_named_twice_in_the_unconditional_rule() {
        let profile: Profile = serde_json::from_str(DEFAULT).unwrap();
        let names = &profile.syscalls[0].names;
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.len() > 300);
    }
}
