//! The arguments of ps(1) that have a meaning for one container: which columns, under which titles. Pure.

use super::Column;
use crate::{Error, Result};

type Columns = Vec<(Column, String)>;

fn titled(columns: &[Column]) -> Columns {
    columns.iter().map(|column| (*column, column.title().to_owned())).collect()
}

/// Those that ps(1) has a name for call the command and the user otherwise than a list of columns does.
fn named(columns: &[Column]) -> Columns {
    let title = |column: &Column| match column {
        Column::User => "UID",
        Column::Args | Column::Comm => "CMD",
        other => other.title(),
    };
    columns.iter().map(|column| (*column, title(column).to_owned())).collect()
}

fn full() -> Columns {
    use Column::{Args, CpuInteger, Pid, Ppid, StartTime, Time, Tty, User};
    named(&[User, Pid, Ppid, CpuInteger, StartTime, Tty, Time, Args])
}

fn extra_full() -> Columns {
    use Column::{Args, CpuInteger, Pid, Ppid, Processor, Rss, Size, StartTime, Time, Tty, User};
    named(&[User, Pid, Ppid, CpuInteger, Size, Rss, Processor, StartTime, Tty, Time, Args])
}

fn long() -> Columns {
    use Column::{Comm, CpuInteger, Flags, Nice, Pid, Ppid, Priority, Size, State, Time, Tty, Uid, Wchan};
    named(&[Flags, State, Uid, Pid, Ppid, CpuInteger, Priority, Nice, Size, Wchan, Tty, Time, Comm])
}

fn of_user() -> Columns {
    use Column::{Args, Cpu, Memory, Pid, Rss, Start, Stat, Time, Tty, User, Vsz};
    titled(&[User, Pid, Cpu, Memory, Vsz, Rss, Tty, Stat, Start, Time, Args])
}

fn plain() -> Columns {
    use Column::{Comm, Pid, Time, Tty};
    named(&[Pid, Tty, Time, Comm])
}

fn jobs() -> Columns {
    use Column::{Comm, Pgid, Pid, Session, Time, Tty};
    named(&[Pid, Pgid, Session, Tty, Time, Comm])
}

fn refuse(option: impl Into<String>, reason: &'static str) -> Error {
    Error::PsOption { option: option.into().chars().take(60).collect(), reason }
}

/// What the arguments ask for; none ask for `-ef`, as Docker does.
///
/// # Errors
/// [`Error::PsOption`] for what isn't known, and for a list without the process id.
pub fn columns(args: &[String]) -> Result<Columns> {
    let mut found: Option<Columns> = None;
    let mut listed: Columns = Vec::new();
    let mut args = args.iter().flat_map(|arg| arg.split_ascii_whitespace());
    while let Some(arg) = args.next() {
        if let Some(list) = arg.strip_prefix("--format=") {
            list_of(list, &mut listed)?;
            continue;
        }
        match arg {
            "--format" => list_of(args.next().unwrap_or_default(), &mut listed)?,
            long if long.starts_with("--") => return Err(refuse(long, "this option is not supported")),
            letters => {
                let dash = letters.starts_with('-');
                if let Some(rest) = letters_of(letters.trim_start_matches('-'), dash, &mut found)? {
                    let list = if rest.is_empty() { args.next().unwrap_or_default() } else { rest };
                    list_of(list, &mut listed)?;
                }
            }
        }
    }
    let columns = match found {
        _ if !listed.is_empty() => listed,
        Some(columns) => columns,
        None => full(),
    };
    if !columns.iter().any(|(column, _)| *column == Column::Pid) {
        return Err(refuse("-o", "the list must contain pid"));
    }
    Ok(columns)
}

/// A word of letters; with an `o` among them, what follows it is a list of columns.
fn letters_of<'a>(letters: &'a str, dash: bool, found: &mut Option<Columns>) -> Result<Option<&'a str>> {
    for (index, letter) in letters.char_indices() {
        match (letter, dash) {
            ('o', _) => return Ok(Some(&letters[index + 1..])),
            // Which processes to show, and how wide: all of the container, whole.
            ('e' | 'A' | 'a' | 'x' | 'w' | 'd', true) | ('a' | 'x' | 'w', false) => {
                found.get_or_insert_with(plain);
            }
            ('f', true) => *found = Some(full()),
            ('F', true) => *found = Some(extra_full()),
            ('l', _) => *found = Some(long()),
            ('j', _) => *found = Some(jobs()),
            ('u', false) => *found = Some(of_user()),
            _ => {
                let option = format!("{}{letter}", if dash { "-" } else { "" });
                return Err(refuse(
                    option,
                    "this option is not supported; use -ef, -F, -l, -j, aux or -o with columns",
                ));
            }
        }
    }
    Ok(None)
}

/// `pid,user,args`, or one column with a title of its own: `pid=PROCESS`.
fn list_of(list: &str, columns: &mut Columns) -> Result<()> {
    if list.is_empty() {
        return Err(refuse("-o", "a list of columns must follow"));
    }
    let mut rest = list;
    while !rest.is_empty() {
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let column = Column::named(name).ok_or_else(|| refuse(format!("-o {name}"), "this column is not known"))?;
        // A title goes to the end of its argument, commas and all.
        let title = after.strip_prefix('=');
        columns.push((column, title.unwrap_or(column.title()).to_owned()));
        rest = if title.is_some() { "" } else { after.trim_start_matches(',') };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(args: &[&str]) -> Result<String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        Ok(columns(&args)?.into_iter().map(|(_, title)| title).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_usual_ways_to_ask() {
        let full = "UID PID PPID C STIME TTY TIME CMD";
        assert_eq!(titles(&[]).unwrap(), full);
        assert_eq!(titles(&["-ef"]).unwrap(), full);
        assert_eq!(titles(&["aux"]).unwrap(), "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND");
        assert_eq!(titles(&["-e"]).unwrap(), "PID TTY TIME CMD");
        assert_eq!(titles(&["-o", "pid,user,args"]).unwrap(), "PID USER COMMAND");
        assert_eq!(titles(&["-eo", "pid,comm", "-o", "rss=MEM,ORY"]).unwrap(), "PID COMMAND MEM,ORY");
        assert_eq!(titles(&["-eopid,etime"]).unwrap(), "PID ELAPSED");
        assert_eq!(titles(&["o", "pid", "o", "pcpu"]).unwrap(), "PID %CPU");
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        for (args, part) in [
            (&["-o", "pid,nosuch"][..], "nosuch"),
            (&["-o", "user"], "must contain pid"),
            (&["-o"], "must follow"),
            (&["--forest"], "--forest"),
            (&["-T"], "-T"),
            (&["-p", "1"], "-p"),
        ] {
            let error = titles(args).unwrap_err().to_string();
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
