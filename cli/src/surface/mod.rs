//! Docker's command surface: what its users may type, and what Orca says where it lacks a command or a flag.
//!
//! `docker-cli.tsv` lists all that Docker has. A test holds that each of it is either accepted by the command line or refused by its name with
//! the reason that `refused.tsv` gives; `docs/DOCKER.md` is written from both.

mod list;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Docker's exit code for a flag that is not understood, and for what goes wrong before a container could run.
pub const BAD_FLAG: u8 = 125;
/// The same in Compose.
const BAD_COMPOSE_FLAG: u8 = 16;
/// Docker's exit code for a command that there is not, or that lacks an argument.
const BAD_COMMAND: u8 = 1;

/// What is said to a command line that cannot be read.
#[derive(Debug)]
pub struct Complaint {
    /// A refusal by name; none where clap's own words serve.
    refusal: Option<String>,
    /// The command that it is about, from the root.
    path: Vec<String>,
    error: clap::Error,
    /// The exit code.
    pub code: u8,
}

impl Complaint {
    /// Tells the user; help and the version go to standard output. Help is that of `plain`, the tree of commands whose switches
    /// have not been given Docker's manners: nobody wants to read `[=<DETACH>]` behind each.
    pub fn print(&self, plain: Command) {
        // Nobody may be reading.
        let _ = match (&self.refusal, self.error.kind()) {
            (Some(refusal), _) => writeln!(std::io::stderr(), "orca: {refusal}"),
            (None, ErrorKind::DisplayVersion) => self.error.print(),
            (None, ErrorKind::DisplayHelp) => at(plain, &self.path).print_help(),
            (None, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) => {
                write!(std::io::stderr(), "{}", at(plain, &self.path).render_help())
            }
            (None, _) => {
                let text = self.error.render().to_string();
                write!(std::io::stderr(), "orca: {}", text.strip_prefix("error: ").unwrap_or(&text))
            }
        };
    }
}

/// The command that a path leads to.
fn at(mut root: Command, path: &[String]) -> Command {
    root.build();
    path.iter().fold(root, |command, name| command.find_subcommand(name).cloned().unwrap_or(command))
}

/// Reads the arguments, without the program's name.
///
/// # Errors
/// What to say if they cannot be read.
pub fn read(mut root: Command, args: &[OsString]) -> Result<ArgMatches, Complaint> {
    let words: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let program = std::iter::once(OsString::from("orca"));
    let matches = root.try_get_matches_from_mut(program.chain(args.iter().cloned()));
    let matches = matches.and_then(|matches| match walk(&root, &words).unknown {
        // Where any word may follow, as after the image of `run`, clap takes an unknown flag for the first of them.
        Some(flag) => {
            let mut error = clap::Error::new(ErrorKind::UnknownArgument).with_cmd(&root);
            error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
            Err(error)
        }
        None => Ok(matches),
    });
    matches.map_err(|error| complain(&root, &words, error))
}

/// Gives every flag Docker's manners: `--flag=false`, and the last one of several counts.
pub fn with_dockers_manners(command: Command) -> Command {
    let command = command.args_override_self(true).mut_args(|arg| match arg.get_action() {
        ArgAction::SetTrue => switch(arg),
        _ => arg,
    });
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_dockers_manners))
}

fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_value("false")
        .default_missing_value("true")
        .value_parser(go_bool)
        .hide_default_value(true)
        .hide_possible_values(true)
}

/// The words that Go's `strconv.ParseBool` takes.
pub fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

fn complain(root: &Command, args: &[String], error: clap::Error) -> Complaint {
    let place = walk(root, args.strip_prefix(&["help".to_owned()]).unwrap_or(args));
    let in_compose = place.command.starts_with("compose");
    let code = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => 0,
        ErrorKind::InvalidSubcommand
        | ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::TooFewValues => BAD_COMMAND,
        _ if in_compose => BAD_COMPOSE_FLAG,
        _ => BAD_FLAG,
    };
    let refusal = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) => refuse_flag(&place.command, flag),
        (ErrorKind::InvalidSubcommand, _) => refuse_command(&place.command, place.rest),
        _ => None,
    };
    Complaint { refusal, path: place.path, error, code }
}

/// Where the words lead: the command, in the names of the table, and the words after it.
struct Place<'a> {
    command: String,
    /// The command's names from the root.
    path: Vec<String>,
    rest: &'a [String],
    /// The flag that ended the walk.
    unknown: Option<String>,
}

/// Follows the words through the tree of commands, up to the first that is not known.
fn walk<'a>(root: &Command, args: &'a [String]) -> Place<'a> {
    let mut command = root;
    let mut path: Vec<&str> = Vec::new();
    let mut index = 0;
    let mut unknown = None;
    while let Some(word) = args.get(index) {
        if word == "-" || word == "--" {
            break;
        }
        if word.starts_with('-') {
            match words_of_flag(command, word) {
                Ok(words) => index += words,
                Err(flag) => {
                    unknown = Some(flag);
                    break;
                }
            }
        } else {
            let Some(next) = command.find_subcommand(word) else { break };
            path.push(next.get_name());
            command = next;
            index += 1;
        }
    }
    let typed = path.iter().map(ToString::to_string).collect();
    // `orca up` and `orca down` are short for Compose's.
    if matches!(path.first(), Some(&("up" | "down"))) {
        path.insert(0, "compose");
    }
    Place { command: path.join(" "), path: typed, rest: args.get(index..).unwrap_or_default(), unknown }
}

/// How many words a known flag is, with its value.
fn words_of_flag(command: &Command, word: &str) -> Result<usize, String> {
    if let Some(long) = word.strip_prefix("--") {
        let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
        let arg = find(command, |arg| has_long(arg, name)).ok_or_else(|| format!("--{name}"))?;
        return Ok(if value.is_none() && takes_value(arg) { 2 } else { 1 });
    }
    let letters: Vec<char> = word.chars().skip(1).collect();
    for (index, letter) in letters.iter().enumerate() {
        let arg = find(command, |arg| has_short(arg, *letter)).ok_or_else(|| format!("-{letter}"))?;
        let last = index + 1 == letters.len();
        if takes_value(arg) {
            return Ok(if last { 2 } else { 1 });
        }
        if letters.get(index + 1) == Some(&'=') {
            break;
        }
    }
    Ok(1)
}

fn find(command: &Command, fits: impl Fn(&Arg) -> bool) -> Option<&Arg> {
    command.get_arguments().find(|arg| fits(arg))
}

fn has_long(arg: &Arg, name: &str) -> bool {
    arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
}

fn has_short(arg: &Arg, letter: char) -> bool {
    arg.get_short() == Some(letter) || arg.get_all_short_aliases().is_some_and(|aliases| aliases.contains(&letter))
}

/// Whether the next word is its value; a switch takes one only behind an equals sign.
fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values() && !arg.is_require_equals_set()
}

/// Why Orca lacks a flag that Docker has.
fn refuse_flag(command: &str, flag: &str) -> Option<String> {
    let flag = flag.split('=').next().unwrap_or(flag);
    let entry = list::entries().find(|entry| entry.command == command && [entry.flag, entry.short].contains(&flag));
    let name = entry.filter(|_| flag.starts_with('-'))?.flag;
    say(command, name, flag)
}

/// Why Orca lacks a command that Docker has: the longest that the words begin with.
fn refuse_command(command: &str, rest: &[String]) -> Option<String> {
    let words = rest.iter().take_while(|word| !word.starts_with('-')).map(String::as_str);
    let words: Vec<&str> = command.split_whitespace().chain(words).collect();
    let known = (1..=words.len()).rev().map(|count| words[..count].join(" "));
    let mut known = known.filter(|name| name.len() > command.len());
    let name = known.find(|name| list::entries().any(|entry| is_within(entry.command, name)))?;
    say(&name, "", "")
}

/// Whether `command` is `name` or one of its subcommands.
fn is_within(command: &str, name: &str) -> bool {
    command.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

fn say(command: &str, flag: &str, typed: &str) -> Option<String> {
    let rule = list::rule(command, flag)?;
    let yet = if rule.state == list::State::Planned { " yet" } else { "" };
    let words = ["orca", command, typed].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    let long = if typed == flag { String::new() } else { format!(" ({flag})") };
    Some(format!("`{words}`{long} is not supported{yet}: {}", rule.reason))
}
