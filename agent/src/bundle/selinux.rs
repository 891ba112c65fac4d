//! SELinux labels of containers, as Docker makes them (`--security-opt label=…`).

use model::ContainerId;

/// What a container's processes are, but for what the user says of it.
const PROCESS: [&str; 3] = ["system_u", "system_r", "container_t"];
/// What containers may read and write.
const FILES: [&str; 3] = ["system_u", "object_r", "container_file_t"];
/// The level of what all containers may use.
pub const SHARED: &str = "s0";

/// The labels of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Of its processes.
    pub process: String,
    /// Of its own files.
    pub mount: String,
}

/// The labels that a user's options come to; `None`: nothing was asked for, or that there be none.
pub fn labels(options: &[String], container: ContainerId) -> Option<Labels> {
    if options.is_empty() || options.iter().any(|option| option == "disable") {
        return None;
    }
    // The last one counts.
    let said = |key: &str| options.iter().rev().find_map(|option| option.strip_prefix(key)?.strip_prefix(':'));
    let level = said("level").map_or_else(|| level(container), str::to_owned);
    let part = |key, default| said(key).unwrap_or(default);
    let ([user, role, kind], [owner, object, files]) = (PROCESS, FILES);
    Some(Labels {
        process: format!("{}:{}:{}:{level}", part("user", user), part("role", role), part("type", kind)),
        mount: format!("{}:{object}:{}:{level}", part("user", owner), part("filetype", files)),
    })
}

/// The label of files that containers without labels of their own may be given, of a level.
pub fn files(level: &str) -> String {
    let [user, role, kind] = FILES;
    format!("{user}:{role}:{kind}:{level}")
}

/// The same label for files that all containers may use.
pub fn shared(label: &str) -> String {
    let parts: Vec<&str> = label.splitn(4, ':').take(3).collect();
    format!("{}:{SHARED}", parts.join(":"))
}

/// The level that is one container's own: two categories, which follow from its id.
pub fn level(container: ContainerId) -> String {
    /// Of so many categories; libselinux has no more.
    const CATEGORIES: u16 = 1024;
    let digits = container.to_string();
    let number = |range: std::ops::Range<usize>| u16::from_str_radix(digits.get(range).unwrap_or("0"), 16).unwrap_or(0);
    let (one, two) = (number(0..4) % CATEGORIES, number(4..8) % CATEGORIES);
    let two = if one == two { (two + 1) % CATEGORIES } else { two };
    format!("{SHARED}:c{},c{}", one.min(two), one.max(two))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_to_labels() {
        let of = |options: &[&str]| {
            let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
            labels(&options, ContainerId::from_random([1; 32]))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&["type:svirt_t", "disable"]), None);
        let expected =
            |process: &str, level: &str| Some(Labels { process: format!("{process}:{level}"), mount: files(level) });
        assert_eq!(of(&["type:svirt_t"]), expected("system_u:system_r:svirt_t", "s0:c257,c258"));
        let level = "s0:c1,c2";
        let all = of(&["user:u", "role:r", "type:first", "type:t", "filetype:f", "level:s0:c1,c2"]).unwrap();
        assert_eq!((all.process, all.mount.clone()), (format!("u:r:t:{level}"), format!("u:object_r:f:{level}")));
        assert_eq!(shared(&all.mount), "u:object_r:f:s0");
    }
}
