//! The table against the command line, both ways, and `docs/DOCKER.md`, which is written from the two.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Arg, Command};

use super::list::{self, Entry, State};
use super::{Complaint, find, has_long, has_short, read, takes_value, with_dockers_manners};
use crate::commands;

/// The command that the table's words name.
fn command<'a>(root: &'a Command, words: &str) -> Option<&'a Command> {
    words.split_whitespace().try_fold(root, |command, word| command.find_subcommand(word))
}

/// Whether the command line takes it, by its long name.
fn accepts(root: &Command, entry: &Entry) -> bool {
    let Some(command) = command(root, entry.command) else { return false };
    entry.flag.is_empty() || find(command, |arg| has_long(arg, &entry.flag[2..])).is_some()
}

fn tree() -> Command {
    let mut root = commands::command();
    root.build();
    root
}

#[test]
fn what_is_accepted_has_dockers_short_name_and_takes_a_value_where_dockers_does() {
    let root = tree();
    let mut wrong = Vec::new();
    for entry in list::entries().filter(|entry| !entry.flag.is_empty() && accepts(&root, entry)) {
        let place = format!("orca {} {}", entry.command, entry.flag);
        let found =
            command(&root, entry.command).and_then(|command| find(command, |arg| has_long(arg, &entry.flag[2..])));
        let Some(arg) = found else { continue };
        if let Some(short) = entry.short.chars().nth(1)
            && !has_short(arg, short)
        {
            wrong.push(format!("{place}: Docker's short name is {}", entry.short));
        }
        if takes_value(arg) == (entry.value == "bool") {
            wrong.push(format!("{place}: Docker's is of the kind {}", entry.value));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The rule for what is missing: a command that is missing is named instead of its flags.
fn rule(root: &Command, entry: &Entry) -> list::Rule {
    let flag = if command(root, entry.command).is_some() { entry.flag } else { "" };
    list::rule(entry.command, flag).unwrap()
}

fn say(root: &Command, line: &str) -> Option<Complaint> {
    let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    read(root.clone(), &args).err()
}

#[test]
fn what_is_missing_is_refused_by_name_with_the_reason() {
    let root = tree();
    let mut wrong = Vec::new();
    for entry in list::entries().filter(|entry| !accepts(&root, entry)) {
        let is_flag = command(&root, entry.command).is_some();
        let names = [entry.flag, entry.short].into_iter().filter(|name| !name.is_empty());
        for name in if is_flag { names.collect() } else { vec![entry.flag] } {
            let line = format!("{} {name}", entry.command);
            let refusal = say(&root, &line).and_then(|complaint| complaint.refusal).unwrap_or_default();
            let what = if is_flag { name } else { entry.command };
            if !refusal.contains(what) || !refusal.contains(rule(&root, &entry).reason) {
                wrong.push(format!("orca {line}: {refusal}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn words_of_users_get_the_right_answer() {
    let root = tree();
    let say = |line: &str| {
        let complaint = say(&root, line).unwrap();
        (complaint.refusal.unwrap_or_default(), complaint.code)
    };
    let (words, code) = say("run -d --name x --isolation=hyperv busybox");
    assert!(words.starts_with("`orca run --isolation` is not supported: ") && code == 125, "{words}");
    let (words, code) = say("swarm init --external-ca x");
    assert!(words.starts_with("`orca swarm init --external-ca` is not supported: ") && code == 125, "{words} {code}");
    let (words, code) = say("plugin frobnicate");
    assert!(words.starts_with("`orca plugin` is not supported: ") && code == 1, "{words}");
    assert_eq!(say("compose ps --no-such-flag"), (String::new(), 16));
    assert_eq!(say("run --no-such-flag x"), (String::new(), 125));
    assert_eq!(say("run -itY x"), (String::new(), 125));
    assert_eq!(say("no-such-command"), (String::new(), 1));
    assert_eq!(say("rm").1, 1);
    for fine in ["run -it x --rm -Y", "run -e A=b --name=x -- x", "exec -it x sh -c --y", "ps -aq --no-trunc=false"] {
        assert!(super::tests::say(&root, fine).is_none(), "{fine}");
    }
}

#[test]
fn switches_take_gos_words_and_the_last_one_counts() {
    let flag =
        |name: &'static str| Arg::new(name).long(name).short(name.chars().next()).action(clap::ArgAction::SetTrue);
    let root = with_dockers_manners(Command::new("x").subcommand(Command::new("y").args([flag("all"), flag("rm")])));
    let all = |args: &[&str]| {
        let matches = root.clone().try_get_matches_from([&["x", "y"], args].concat())?;
        let matches = matches.subcommand().unwrap().1.clone();
        Ok::<_, clap::Error>((matches.get_flag("all"), matches.get_flag("rm")))
    };
    assert_eq!(all(&[]).unwrap(), (false, false));
    assert_eq!(all(&["-ar"]).unwrap(), (true, true));
    assert_eq!(all(&["--all=false", "--rm"]).unwrap(), (false, true));
    assert_eq!(all(&["--all", "--all=0", "-r=T"]).unwrap(), (false, true));
    assert!(all(&["--all=maybe"]).is_err());
}

#[test]
fn the_document_is_what_the_command_line_does() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/DOCKER.md");
    let text = document(&tree());
    if std::env::var_os("ORCA_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = text.lines().zip(written.lines()).find(|(now, then)| now != then);
    assert!(
        text == written,
        "docs/DOCKER.md is not what the command line does; ORCA_BLESS=1 writes it anew: {differs:?}"
    );
}

/// Rules that refuse nothing are stale; the last one may.
#[test]
fn every_rule_refuses_something() {
    let root = tree();
    let missing: Vec<Entry> = list::entries().filter(|entry| !accepts(&root, entry)).collect();
    let used: BTreeSet<usize> =
        missing.iter().filter_map(|entry| Some(list::rule(entry.command, entry.flag)?.line)).collect();
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/surface/refused.tsv");
    let last = list::rules().last().unwrap().line;
    let stale: BTreeSet<usize> =
        list::rules().map(|rule| rule.line).filter(|line| !used.contains(line) && *line != last).collect();
    if std::env::var_os("ORCA_BLESS").is_some() && !stale.is_empty() {
        let text = std::fs::read_to_string(&path).unwrap();
        let kept = text.lines().enumerate().filter(|(index, _)| !stale.contains(&(index + 1)));
        std::fs::write(&path, kept.map(|(_, line)| format!("{line}\n")).collect::<String>()).unwrap();
        return;
    }
    assert!(stale.is_empty(), "lines {stale:?} of refused.tsv refuse nothing any more; ORCA_BLESS=1 drops them");
}

const BEGIN: &str = "\
# Docker's command line

Every command and flag of Docker 28 and Compose 5, and what Orca makes of it: **done** as documented there, or better; **planned** and
**refused** are refused by name with this reason. `cli/src/surface` holds the list and the reasons, and a test holds this page to the
command line (`ORCA_BLESS=1 cargo test -p orca surface` writes it anew).
";

fn document(root: &Command) -> String {
    let mut text = BEGIN.to_owned();
    for (title, compose) in [("Docker", false), ("Compose", true)] {
        let _ = write!(text, "\n## {title}\n\n| command | state | flags |\n|---|---|---|\n");
        let entries = list::entries().filter(|entry| super::is_within(entry.command, "compose") == compose);
        let mut commands: Vec<(&str, Vec<Entry>)> = Vec::new();
        for entry in entries {
            match commands.last_mut() {
                Some((name, entries)) if *name == entry.command => entries.push(entry),
                _ => commands.push((entry.command, vec![entry])),
            }
        }
        for (name, entries) in commands {
            text.push_str(&rows(root, name, &entries));
        }
    }
    text.push_str(&additions(root));
    text
}

/// A row for each state that the command or its flags have.
fn rows(root: &Command, name: &str, entries: &[Entry]) -> String {
    let mut states: BTreeMap<(u8, String), Vec<String>> = BTreeMap::new();
    for entry in entries {
        let names = [entry.short, entry.flag].into_iter().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" ");
        let flags = states.entry(state(root, entry)).or_default();
        flags.extend((!names.is_empty()).then(|| format!("`{names}`")));
    }
    let words = ["orca", name].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let row = |((_, state), flags): (&(u8, String), &Vec<String>)| {
        format!("| `{words}` | {state} | {} |\n", flags.join(", "))
    };
    states.iter().map(row).collect()
}

fn state(root: &Command, entry: &Entry) -> (u8, String) {
    if accepts(root, entry) {
        return (0, "done".into());
    }
    let rule = rule(root, entry);
    match rule.state {
        State::Planned => (1, format!("planned: {}", rule.reason)),
        State::Refused => (2, format!("refused: {}", rule.reason)),
    }
}

/// What Orca has and Docker does not.
fn additions(root: &Command) -> String {
    let mut text = "\n## Orca's own\n\n| command | flags |\n|---|---|\n".to_owned();
    let known: BTreeSet<(&str, &str)> = list::entries().map(|entry| (entry.command, entry.flag)).collect();
    let mut waiting: Vec<(String, &Command)> = vec![(String::new(), root)];
    while let Some((name, command)) = waiting.pop() {
        let mut below: Vec<&Command> = command.get_subcommands().filter(|sub| !sub.is_hide_set()).collect();
        below.sort_by_key(|sub| std::cmp::Reverse(sub.get_name()));
        waiting.extend(below.iter().map(|sub| (format!("{name} {}", sub.get_name()).trim().to_owned(), *sub)));
        let is_known = list::entries().any(|entry| super::is_within(entry.command, &name));
        let long = |arg: &Arg| Some(format!("--{}", arg.get_long().filter(|long| *long != "help")?));
        // One that commands have from the one above is told there.
        let is_own = |arg: &&Arg| !arg.is_hide_set() && (!arg.is_global_set() || name.is_empty());
        let flags = command.get_arguments().filter(is_own).filter_map(long);
        let mut flags: Vec<String> = flags
            .filter(|flag| !known.contains(&(name.as_str(), flag.as_str())))
            .map(|flag| format!("`{flag}`"))
            .collect();
        flags.sort();
        // `up` and `down` have Compose's flags.
        let short = matches!(name.as_str(), "up" | "down");
        if short {
            flags = vec![format!("those of `orca compose` and `orca compose {name}`")];
        }
        if (!is_known && below.is_empty()) || !flags.is_empty() {
            let _ = writeln!(text, "| `orca {name}` | {} |", flags.join(", "));
        }
    }
    text
}

#[test]
fn help_shows_switches_as_people_type_them() {
    let root = tree();
    let help = |line: &str| {
        let complaint = say(&root, line).unwrap();
        super::at(commands::plain(), &complaint.path).render_help().to_string()
    };
    for line in ["run --help", "help run", "container run --help"] {
        let help = help(line);
        assert!(help.contains("  -d, --detach\n"), "{line}: {help}");
        assert!(help.contains("[OPTIONS] IMAGE [COMMAND] [ARG...]"), "{line}: {help}");
    }
    assert!(help("up --help").contains("Usage: orca up [OPTIONS] [SERVICES]..."));
    assert!(help("--help").contains("Usage: orca [OPTIONS] <COMMAND>"));
}
