//! The columns of ps(1) and what stands in them. Pure.

use super::process::{Host, Process};

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // ps(1) says it
pub enum Column {
    Args,
    Comm,
    Cpu,
    CpuInteger,
    Elapsed,
    ElapsedSeconds,
    Flags,
    Gid,
    Group,
    LongStart,
    Memory,
    Nice,
    Pgid,
    Pid,
    Ppid,
    Priority,
    Processor,
    Rss,
    Session,
    Size,
    Start,
    StartTime,
    Stat,
    State,
    Threads,
    Time,
    Tty,
    Uid,
    User,
    Vsz,
    Wchan,
}

/// Names as in `-o`, and the title.
const NAMES: &[(Column, &[&str], &str)] = &[
    (Column::Args, &["args", "command", "cmd"], "COMMAND"),
    (Column::Comm, &["comm", "ucmd", "ucomm"], "COMMAND"),
    (Column::Cpu, &["pcpu", "%cpu"], "%CPU"),
    (Column::CpuInteger, &["c"], "C"),
    (Column::Elapsed, &["etime"], "ELAPSED"),
    (Column::ElapsedSeconds, &["etimes"], "ELAPSED"),
    (Column::Flags, &["f", "flag", "flags"], "F"),
    (Column::Gid, &["gid", "egid"], "GID"),
    (Column::Group, &["group", "egroup"], "GROUP"),
    (Column::LongStart, &["lstart"], "STARTED"),
    (Column::Memory, &["pmem", "%mem"], "%MEM"),
    (Column::Nice, &["ni", "nice"], "NI"),
    (Column::Pgid, &["pgid", "pgrp"], "PGID"),
    (Column::Pid, &["pid", "tgid"], "PID"),
    (Column::Ppid, &["ppid"], "PPID"),
    (Column::Priority, &["pri"], "PRI"),
    (Column::Processor, &["psr"], "PSR"),
    (Column::Rss, &["rss", "rssize", "rsz"], "RSS"),
    (Column::Session, &["sid", "sess", "session"], "SID"),
    (Column::Size, &["sz"], "SZ"),
    (Column::Start, &["start"], "START"),
    (Column::StartTime, &["stime", "start_time", "bsdstart"], "STIME"),
    (Column::Stat, &["stat"], "STAT"),
    (Column::State, &["s", "state"], "S"),
    (Column::Threads, &["nlwp", "thcount"], "NLWP"),
    (Column::Time, &["time", "cputime"], "TIME"),
    (Column::Tty, &["tty", "tt", "tname"], "TTY"),
    (Column::Uid, &["uid", "euid"], "UID"),
    (Column::User, &["user", "euser", "uname"], "USER"),
    (Column::Vsz, &["vsz", "vsize"], "VSZ"),
    (Column::Wchan, &["wchan"], "WCHAN"),
];

/// Seconds of a day.
const DAY: u64 = 86_400;

impl Column {
    /// The column of this name.
    pub fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        NAMES.iter().find(|(_, names, _)| names.contains(&name.as_str())).map(|(column, ..)| *column)
    }

    /// What stands above it.
    pub fn title(self) -> &'static str {
        NAMES.iter().find(|(column, ..)| *column == self).map_or("", |(.., title)| title)
    }

    /// What stands in it.
    pub fn cell(self, process: &Process, host: &Host) -> String {
        let age = host.uptime.saturating_sub(process.start_ticks / host.ticks);
        let cpu = process.cpu_ticks as f64 / host.ticks as f64 * 100.0 / age.max(1) as f64;
        let page_kib = host.page_size / 1024;
        match self {
            Self::Args if process.args.is_empty() => format!("[{}]", process.comm),
            Self::Args => process.args.clone(),
            Self::Comm => process.comm.clone(),
            Self::Cpu => format!("{cpu:.1}"),
            Self::CpuInteger => format!("{}", cpu as u64),
            Self::Elapsed => elapsed(age),
            Self::ElapsedSeconds => age.to_string(),
            Self::Flags => ((process.flags >> 6) & 7).to_string(),
            Self::Gid => process.gid.to_string(),
            Self::Group => host.group(process.gid),
            Self::LongStart => host.moment(process.start_ticks).long(),
            Self::Memory => {
                format!("{:.1}", process.rss_pages as f64 * page_kib as f64 * 100.0 / host.memory_kib.max(1) as f64)
            }
            Self::Nice => process.nice.to_string(),
            Self::Pgid => process.pgid.to_string(),
            Self::Pid => process.pid.to_string(),
            Self::Ppid => process.ppid.to_string(),
            // As procps turns the kernel's number: higher is more.
            Self::Priority => (39 - process.priority).to_string(),
            Self::Processor => process.processor.to_string(),
            Self::Rss => (process.rss_pages * page_kib).to_string(),
            Self::Session => process.session.to_string(),
            Self::Size => (process.vsize / host.page_size).to_string(),
            Self::Start | Self::StartTime => host.moment(process.start_ticks).short(age < DAY),
            Self::Stat => stat(process),
            Self::State => process.state.to_string(),
            Self::Threads => process.threads.to_string(),
            Self::Time => cpu_time(process.cpu_ticks / host.ticks),
            Self::Tty => tty(process.tty),
            Self::Uid => process.uid.to_string(),
            Self::User => host.user(process.uid),
            Self::Vsz => (process.vsize / 1024).to_string(),
            Self::Wchan => process.wchan.clone(),
        }
    }
}

/// `[[DD-]HH:]MM:SS`.
fn elapsed(seconds: u64) -> String {
    let (days, hours, minutes, rest) = (seconds / DAY, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes:02}:{rest:02}"),
        (0, _) => format!("{hours:02}:{minutes:02}:{rest:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{rest:02}"),
    }
}

/// `[DD-]HH:MM:SS`.
fn cpu_time(seconds: u64) -> String {
    let days = if seconds >= DAY { format!("{}-", seconds / DAY) } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}

fn stat(process: &Process) -> String {
    let mut text = process.state.to_string();
    match process.nice {
        ..0 => text.push('<'),
        0 => {}
        _ => text.push('N'),
    }
    for (mark, holds) in [
        ('s', process.session == process.pid),
        ('l', process.threads > 1),
        ('+', process.tty != 0 && process.foreground == i64::from(process.pgid)),
    ] {
        if holds {
            text.push(mark);
        }
    }
    text
}

/// The name of a terminal from its device number. (proc(5), tty_nr)
fn tty(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00));
    match major {
        0 => "?".into(),
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => format!("{major}:{minor}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_has_a_name_and_a_title() {
        for (column, names, title) in NAMES {
            assert_eq!(column.title(), *title);
            assert!(names.iter().all(|name| Column::named(name) == Some(*column)));
        }
        assert_eq!(Column::named("PID"), Some(Column::Pid));
        assert_eq!(Column::named("nosuch"), None);
    }

    #[test]
    fn times_and_terminals() {
        assert_eq!(elapsed(59), "00:59");
        assert_eq!(elapsed(3_661), "01:01:01");
        assert_eq!(elapsed(90_061), "1-01:01:01");
        assert_eq!(cpu_time(59), "00:00:59");
        assert_eq!(cpu_time(90_061), "1-01:01:01");
        assert_eq!(tty(0), "?");
        assert_eq!(tty(136 << 8 | 3), "pts/3");
        assert_eq!(tty(4 << 8 | 1), "tty1");
    }
}
