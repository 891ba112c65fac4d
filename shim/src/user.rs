//! Users and groups by the container's own `/etc/passwd` and `/etc/group`, as `docker run --user` has it. Pure.

use crate::error::{Result, ShimError};

/// Who a process runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// User number.
    pub uid: u32,
    /// Primary group number.
    pub gid: u32,
    /// The primary group, and if none was asked for those that `/etc/group` lists the user in (CVE-2022-36109).
    pub additional_gids: Vec<u32>,
    /// The home directory by `/etc/passwd`.
    pub home: Option<String>,
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

fn passwd(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    // passwd(5): name:password:uid:gid:gecos:home:shell
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        let home = fields.nth(1).unwrap_or("");
        Some(PasswdEntry { name, uid, gid, home })
    })
}

fn groups(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    // group(5): name:password:gid:members
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?, fields.next().unwrap_or("")))
    })
}

/// Looks `wanted`, `name|uid[:group|gid]`, up. A number needs no entry; its group is then 0, as in Docker.
///
/// # Errors
/// [`ShimError::UnknownUser`] for a name that has no entry.
pub fn resolve(wanted: &str, passwd_file: &str, group_file: &str) -> Result<Identity> {
    let (user, group) = match wanted.split_once(':') {
        Some((user, group)) if !group.is_empty() => (user, Some(group)),
        Some((user, _)) => (user, None),
        None => (wanted, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let number = user.parse::<u32>().ok();
    let entry = passwd(passwd_file)
        .find(|entry| entry.name == user)
        .or_else(|| number.and_then(|uid| passwd(passwd_file).find(|entry| entry.uid == uid)));
    let (uid, primary) = match (&entry, number) {
        (Some(entry), _) => (entry.uid, entry.gid),
        (None, Some(uid)) => (uid, 0),
        (None, None) => {
            return Err(ShimError::UnknownUser { kind: "user", name: user.to_owned(), file: "/etc/passwd" });
        }
    };
    let home = entry.as_ref().map(|entry| entry.home.to_owned()).filter(|home| !home.is_empty());
    let Some(group) = group else {
        let name = entry.as_ref().map_or("", |entry| entry.name);
        let member = |members: &str| !name.is_empty() && members.split(',').any(|member| member.trim() == name);
        let listed = groups(group_file).filter(|(_, gid, members)| *gid != primary && member(members));
        let additional_gids = [primary].into_iter().chain(listed.map(|(_, gid, _)| gid)).collect();
        return Ok(Identity { uid, gid: primary, additional_gids, home });
    };
    let gid = groups(group_file)
        .find(|(name, ..)| *name == group)
        .map(|(_, gid, _)| gid)
        .or_else(|| group.parse().ok())
        .ok_or_else(|| ShimError::UnknownUser { kind: "group", name: group.to_owned(), file: "/etc/group" })?;
    Ok(Identity { uid, gid, additional_gids: vec![gid], home })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken\nweb:x:33:34:www:/var/www:/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nweb:x:34:\nvideo:x:44:games,web\n";

    #[test]
    fn names_numbers_and_groups() {
        let web = resolve("web", PASSWD, GROUP).unwrap();
        assert_eq!(web, Identity { uid: 33, gid: 34, additional_gids: vec![34, 44], home: Some("/var/www".into()) });
        assert_eq!(resolve("33", PASSWD, GROUP).unwrap(), web);
        assert_eq!(resolve("web:video", PASSWD, GROUP).unwrap().gid, 44);
        assert_eq!(resolve("web:video", PASSWD, GROUP).unwrap().additional_gids, [44]);
        let stranger = resolve("1234:77", PASSWD, GROUP).unwrap();
        assert_eq!(stranger, Identity { uid: 1234, gid: 77, additional_gids: vec![77], home: None });
        assert_eq!(resolve("4000000000", PASSWD, GROUP).unwrap().gid, 0);
        assert_eq!(resolve("", PASSWD, GROUP).unwrap().uid, 0);
    }

    #[test]
    fn unknown_names_are_named() {
        let error = resolve("nobody", PASSWD, GROUP).unwrap_err().to_string();
        assert!(error.contains("\"nobody\"") && error.contains("/etc/passwd"), "{error}");
        assert!(matches!(resolve("web:nogroup", PASSWD, GROUP), Err(ShimError::UnknownUser { kind: "group", .. })));
    }

    proptest! {
        #[test]
        fn no_database_panics(wanted in ".{0,20}", passwd in "[a-z0-9:,\n]{0,80}", group in "[a-z0-9:,\n]{0,80}") {
            let _ = resolve(&wanted, &passwd, &group);
        }
    }
}
