//! What a node has in the kernel and on disk, counted: what one thing leaves behind shows in the difference.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::Node;

/// Everything by kind; each kind sorted.
pub type Remains = BTreeMap<&'static str, Vec<String>>;

/// What there is now, but for open descriptors.
pub fn of(node: &Node) -> Remains {
    let dir = node.dir().display().to_string();
    let mut remains = Remains::new();
    remains.insert(
        "processes",
        processes(&dir).into_iter().filter(|(_, line)| is_of_a_container(line)).map(|(_, line)| line).collect(),
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|point| point.starts_with(&dir));
    remains.insert("mounts", ours.map(str::to_owned).collect());
    remains.insert("cgroups", cgroups(node));
    remains.insert("network namespaces", names(&node.run_dir().join("netns")));
    remains.insert("bundles", names(&node.data_dir().join("containers")));
    remains.insert("volumes", names(&node.data_dir().join("volumes")));
    remains.insert("shim states", names(&node.run_dir().join("shim")));
    remains.insert("secrets", names(&node.run_dir().join("secrets")));
    let links = node.in_host(&["ip", "-o", "link"]);
    remains.insert("links", links.lines().filter_map(|line| line.split(": ").nth(1)).map(str::to_owned).collect());
    remains.insert("routes", lines(&node.in_host(&["ip", "route", "show", "table", "all"])));
    let mut rules = lines(&node.in_host(&["nft", "-s", "list", "ruleset"]));
    // How many elements a set was made for: it grows with its elements and is not made anew to be smaller.
    rules.retain(|line| !line.starts_with("size "));
    remains.insert("rules", rules);
    remains.insert("records", lines(&node.ok(&["ps", "-aq"])));
    remains.values_mut().for_each(|kind| kind.sort());
    remains
}

fn is_of_a_container(line: &str) -> bool {
    !line.contains(" daemon ") && !line.contains(" netd ") && line.contains("shim")
}

/// Processes with `text` in their command lines.
pub fn processes(text: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(text) {
            found.push((pid, line));
        }
    }
    found
}

/// The node's netd.
pub fn netd(node: &Node) -> Option<i32> {
    let dir = node.run_dir().display().to_string();
    processes(&dir).into_iter().find(|(_, line)| line.contains(" netd ")).map(|(pid, _)| pid)
}

/// Cgroups of the node's containers.
fn cgroups(node: &Node) -> Vec<String> {
    let name = format!("orca-{}", node.key());
    let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().flatten().map(|entry| entry.path());
    let hierarchies = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]);
    hierarchies.flat_map(|hierarchy| directories(&hierarchy.join(&name))).collect()
}

fn directories(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).map(|path| path.display().to_string()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// Open descriptors of a process.
pub fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// What the node has when nothing is under way: devices of a removed container go a moment after it.
pub fn at_rest(node: &Node) -> Remains {
    let mut last = of(node);
    loop {
        std::thread::sleep(std::time::Duration::from_millis(500));
        let now = of(node);
        if now == last {
            return now;
        }
        last = now;
    }
}

/// Waits until the node has again what it had.
pub fn wait_until_again(node: &Node, before: &Remains, what: &str) {
    let begin = std::time::Instant::now();
    loop {
        let now = of(node);
        if now == *before {
            return;
        }
        if begin.elapsed() > std::time::Duration::from_secs(20) {
            let mut text = String::new();
            for (kind, after) in &now {
                let before = &before[kind];
                let more = after.iter().filter(|item| !before.contains(item)).map(|item| format!("\n  + {item}"));
                let less = before.iter().filter(|item| !after.contains(item)).map(|item| format!("\n  - {item}"));
                let changes: String = more.chain(less).collect();
                if after != before {
                    text.push_str(&format!("\n{kind}: {} before, {} now{changes}", before.len(), after.len()));
                }
            }
            panic!("{what}:{text}\n--- daemon\n{}", node.daemon_log());
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
