//! `USER name|uid[:group|gid]` resolved with an image's passwd(5) and group(5) texts, by Docker's rules. Pure.
//!
//! glibc's getpwnam is never called: it would read the host's files, and load modules into a static program.

use crate::error::{Error, Result};

/// The largest id Docker takes.
const MAX_ID: u32 = i32::MAX as u32;

/// As whom a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecUser {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups: the primary one, and those that list the user if no group was named. The primary one is among
    /// them so that a set-group-id program doesn't take a group from who runs it that files deny (CVE-2022-36109).
    pub additional_gids: Vec<u32>,
    pub home: String,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Lines that are malformed are passed over, as libc does.
fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _, uid, gid, _, home) = (
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next()?,
            fields.next().unwrap_or(""),
            fields.next().unwrap_or(""),
        );
        Some(PasswdEntry { name, uid: uid.parse().ok()?, gid: gid.parse().ok()?, home })
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(GroupEntry { name, gid: gid.parse().ok()?, members: fields.next().unwrap_or("") })
    })
}

/// Resolves `spec` (empty means root) with the texts of `/etc/passwd` and `/etc/group`, empty if the image has none.
///
/// Numbers need no entry; names do. A uid without entry has gid 0 and home `/`.
///
/// # Errors
/// [`Error::InvalidUser`] for names without entry and ids out of range.
pub fn resolve_user(spec: &str, passwd: &str, group: &str) -> Result<ExecUser> {
    let invalid = |reason: String| Error::InvalidUser { spec: spec.to_owned(), reason };
    let (user, group_part) = spec.split_once(':').unwrap_or((spec, ""));
    let user = if user.is_empty() { "0" } else { user };
    let number = number(user).map_err(&invalid)?;
    let entry = passwd_entries(passwd).find(|entry| match number {
        Some(uid) => entry.uid == uid,
        None => entry.name == user,
    });
    let mut resolved = match (&entry, number) {
        (Some(entry), _) => {
            let home = if entry.home.is_empty() { "/" } else { entry.home };
            ExecUser { uid: entry.uid, gid: entry.gid, additional_gids: Vec::new(), home: home.to_owned() }
        }
        (None, Some(uid)) => ExecUser { uid, gid: 0, additional_gids: Vec::new(), home: "/".to_owned() },
        (None, None) => return Err(invalid(format!("unable to find user {user}: no matching entries in passwd file"))),
    };
    if !group_part.is_empty() {
        resolved.gid = find_group(group_part, group).map_err(invalid)?;
    } else if let Some(entry) = entry {
        let lists_user = |group: &GroupEntry<'_>| group.members.split(',').any(|member| member == entry.name);
        resolved.additional_gids = group_entries(group).filter(lists_user).map(|group| group.gid).collect();
    }
    let primary = resolved.gid;
    resolved.additional_gids.retain(|gid| *gid != primary);
    resolved.additional_gids.insert(0, primary);
    Ok(resolved)
}

/// Resolves the groups of `--group-add`, names or numbers.
///
/// # Errors
/// [`Error::InvalidUser`] for names without entry and ids out of range.
pub fn resolve_groups<'a>(groups: impl IntoIterator<Item = &'a str>, group: &str) -> Result<Vec<u32>> {
    let resolve =
        |spec: &str| find_group(spec, group).map_err(|reason| Error::InvalidUser { spec: spec.to_owned(), reason });
    groups.into_iter().map(resolve).collect()
}

fn find_group(spec: &str, text: &str) -> Result<u32, String> {
    if let Some(gid) = number(spec)? {
        return Ok(gid);
    }
    let entry = group_entries(text).find(|entry| entry.name == spec);
    entry
        .map(|entry| entry.gid)
        .ok_or_else(|| format!("unable to find group {spec}: no matching entries in group file"))
}

/// The id that `text` is, `None` if it is a name.
fn number(text: &str) -> Result<Option<u32>, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(format!("uids and gids must be in range 0-{MAX_ID}")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# comment\nbad line\nwww:x:33:34:www:/var/www:/bin/false\nnohome:x:40:40::\n";
    const GROUP: &str = "root:x:0:root\nwww:x:34:\nadm:x:4:root,www\nvideo:x:44:www\nbad\n";

    fn resolved(spec: &str) -> (u32, u32, Vec<u32>, String) {
        let user = resolve_user(spec, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.additional_gids, user.home)
    }

    #[test]
    fn dockers_rules() {
        assert_eq!(resolved(""), (0, 0, vec![0, 4], "/root".to_owned()));
        assert_eq!(resolved("www"), (33, 34, vec![34, 4, 44], "/var/www".to_owned()));
        assert_eq!(resolved("33"), (33, 34, vec![34, 4, 44], "/var/www".to_owned()));
        assert_eq!(resolved("www:adm"), (33, 4, vec![4], "/var/www".to_owned()));
        assert_eq!(resolved("1000"), (1000, 0, vec![0], "/".to_owned()));
        assert_eq!(resolved("1000:1001"), (1000, 1001, vec![1001], "/".to_owned()));
        assert_eq!(resolved("nohome"), (40, 40, vec![40], "/".to_owned()));
        assert_eq!(resolved(":video"), (0, 44, vec![44], "/root".to_owned()));
        assert_eq!(resolve_groups(["adm", "77"], GROUP).unwrap(), [4, 77]);
    }

    #[test]
    fn unknown_names_and_ids_out_of_range_are_refused() {
        for (spec, part) in [
            ("nobody", "find user nobody"),
            ("www:nogroup", "find group nogroup"),
            ("2147483648", "range"),
            ("0:99999999999", "range"),
        ] {
            let message = resolve_user(spec, PASSWD, GROUP).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(resolve_user("5", "", "").unwrap().uid, 5);
    }

    proptest! {
        #[test]
        fn no_text_panics(spec in ".{0,20}", passwd in "[a-z0-9:\n]{0,80}", group in "[a-z0-9:,\n]{0,80}") {
            let _ = resolve_user(&spec, &passwd, &group);
        }
    }
}
