//! What /proc says of a process and of the host.

use std::fs;
use std::path::Path;

use model::Timestamp;

/// One process. (proc(5), /proc/PID/stat)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // proc(5) says it
pub struct Process {
    pub pid: u32,
    pub ppid: u32,
    pub pgid: u32,
    pub session: u32,
    pub foreground: i64,
    pub tty: u64,
    pub flags: u64,
    pub state: char,
    pub uid: u32,
    pub gid: u32,
    pub comm: String,
    /// Empty for one that has none, as a zombie.
    pub args: String,
    pub cpu_ticks: u64,
    pub start_ticks: u64,
    pub priority: i64,
    pub nice: i64,
    pub threads: u64,
    pub vsize: u64,
    pub rss_pages: u64,
    pub processor: u64,
    pub wchan: String,
}

/// The host, as far as columns need it.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Seconds since it started.
    pub uptime: u64,
    /// When it started, in seconds since the epoch.
    pub booted_at: u64,
    /// Clock ticks in a second.
    pub ticks: u64,
    /// Bytes.
    pub page_size: u64,
    /// Of memory.
    pub memory_kib: u64,
    users: Vec<(u32, String)>,
    groups: Vec<(u32, String)>,
}

/// When something began, in UTC: the zone that Orca prints everywhere.
pub struct Moment(Timestamp);

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// 1 January 1970 was the first of these.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

impl Moment {
    /// Year, month, day and `HH:MM:SS`, from `YYYY-MM-DDTHH:MM:SS…`.
    fn parts(&self) -> (String, &'static str, String, String) {
        let text = self.0.to_rfc3339();
        let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default().to_owned();
        let month = part(5, 7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
        (part(0, 4), month.copied().unwrap_or("???"), part(8, 10), part(11, 19))
    }

    /// `15:04`, or `Nov27` for one of an earlier day.
    pub fn short(&self, today: bool) -> String {
        let (_, month, day, time) = self.parts();
        if today { time.get(..5).unwrap_or(&time).to_owned() } else { format!("{month}{day}") }
    }

    /// `Fri Nov 27 15:04:05 2026`.
    pub fn long(&self) -> String {
        let (year, month, day, time) = self.parts();
        let days = usize::try_from(self.0.0 / 86_400_000_000_000).unwrap_or(0);
        format!("{} {month} {:>2} {time} {year}", WEEKDAYS[days % 7], day.trim_start_matches('0'))
    }
}

impl Host {
    /// This host now.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let first = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_ascii_whitespace().next()?.parse::<u64>().ok()
        };
        let uptime = text("/proc/uptime");
        Self {
            uptime: uptime.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0),
            booted_at: first(&text("/proc/stat"), "btime").unwrap_or(0),
            ticks: rustix::param::clock_ticks_per_second().max(1),
            page_size: u64::try_from(rustix::param::page_size()).unwrap_or(4096).max(1024),
            memory_kib: first(&text("/proc/meminfo"), "MemTotal:").unwrap_or(0),
            users: names(&text("/etc/passwd")),
            groups: names(&text("/etc/group")),
        }
    }

    /// The user's name on this host, or its number.
    pub fn user(&self, id: u32) -> String {
        name_of(&self.users, id)
    }

    /// The group's name on this host, or its number.
    pub fn group(&self, id: u32) -> String {
        name_of(&self.groups, id)
    }

    /// The moment that is so many ticks after the host's start.
    pub fn moment(&self, ticks: u64) -> Moment {
        let seconds = self.booted_at.saturating_add(ticks / self.ticks);
        Moment(Timestamp(i64::try_from(seconds.saturating_mul(1_000_000_000)).unwrap_or(i64::MAX)))
    }
}

/// Numbers and names of passwd(5) and group(5): the third field and the first.
fn names(text: &str) -> Vec<(u32, String)> {
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    text.lines().filter_map(entry).collect()
}

fn name_of(names: &[(u32, String)], id: u32) -> String {
    names.iter().find(|(known, _)| *known == id).map_or_else(|| id.to_string(), |(_, name)| name.clone())
}

/// A process, unless it has gone.
pub fn read(pid: u32) -> Option<Process> {
    let dir = Path::new("/proc").join(pid.to_string());
    let stat = fs::read_to_string(dir.join("stat")).ok()?;
    let status = fs::read_to_string(dir.join("status")).ok()?;
    let cmdline = fs::read(dir.join("cmdline")).unwrap_or_default();
    let wchan = fs::read_to_string(dir.join("wchan")).unwrap_or_default();
    let mut process = parse(&stat)?;
    (process.uid, process.gid) = (effective(&status, "Uid:")?, effective(&status, "Gid:")?);
    process.args = arguments(&cmdline);
    process.wchan = if matches!(wchan.as_str(), "" | "0") { "-".into() } else { wchan };
    Some(process)
}

/// The fields of `/proc/PID/stat`; the second is in parentheses and may hold anything.
fn parse(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (comm, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // The first of these is the third field.
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or("0");
    let unsigned = |number: usize| field(number).parse::<u64>().unwrap_or(0);
    let id = |number: usize| field(number).parse::<u32>().unwrap_or(0);
    let signed = |number: usize| field(number).parse::<i64>().unwrap_or(0);
    Some(Process {
        pid: pid.parse().ok()?,
        comm: comm.to_owned(),
        state: fields.first()?.chars().next()?,
        ppid: id(4),
        pgid: id(5),
        session: id(6),
        tty: unsigned(7),
        foreground: signed(8),
        flags: unsigned(9),
        cpu_ticks: unsigned(14).saturating_add(unsigned(15)),
        priority: signed(18),
        nice: signed(19),
        threads: unsigned(20),
        start_ticks: unsigned(22),
        vsize: unsigned(23),
        rss_pages: unsigned(24),
        processor: unsigned(39),
        ..Process::default()
    })
}

/// The second number of a line of `/proc/PID/status`.
fn effective(status: &str, key: &str) -> Option<u32> {
    status.lines().find_map(|line| line.strip_prefix(key))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Arguments are ended by zero bytes; what would move a cursor is shown as `?`.
fn arguments(cmdline: &[u8]) -> String {
    let text = String::from_utf8_lossy(cmdline);
    let words = text
        .trim_end_matches('\0')
        .split('\0')
        .map(|word| word.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect::<String>());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_the_name_is() {
        let stat = "42 (a) b (c) S 7 42 42 34816 42 4194304 1 0 0 0 250 150 0 0 20 5 3 0 1000 8192000 300 \
                    18446744073709551615 1 1 0 0 0 0 0 0 65536 1 0 0 17 1 0 0 0 0 0";
        let process = parse(stat).unwrap();
        assert_eq!((process.pid, process.comm.as_str(), process.state, process.ppid), (42, "a) b (c", 'S', 7));
        assert_eq!((process.cpu_ticks, process.nice, process.threads, process.start_ticks), (400, 5, 3, 1000));
        assert_eq!((process.vsize, process.rss_pages, process.processor), (8_192_000, 300, 1));
        for broken in ["", "1 (x", "x (y) S", "1 (y) "] {
            assert!(parse(broken).is_none(), "{broken}");
        }
    }

    #[test]
    fn this_process_is_found() {
        let host = Host::read();
        let process = read(std::process::id()).unwrap();
        assert!(process.args.contains("agent") && process.threads > 0);
        assert!(host.uptime > 0 && host.memory_kib > 0 && host.booted_at > 0);
        assert_eq!(host.user(0), "root");
        assert_eq!(host.user(4_000_000_000), "4000000000");
        assert!(read(0).is_none());
    }

    #[test]
    fn moments() {
        let host = Host { booted_at: 1_795_788_245, ticks: 100, ..Host::default() };
        assert_eq!(host.moment(100).long(), "Fri Nov 27 14:04:06 2026");
        assert_eq!((host.moment(0).short(true), host.moment(0).short(false)), ("14:04".into(), "Nov27".into()));
    }

    #[test]
    fn arguments_are_words() {
        assert_eq!(arguments(b"sh\0-c\0echo \x1b[2J\0"), "sh -c echo ?[2J");
        assert_eq!(arguments(b""), "");
    }
}
