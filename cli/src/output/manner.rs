//! How a command of `compose` shows what it does: colours, lines that are redrawn, and how much it does at once. It is chosen
//! once, when the command begins.

use std::sync::OnceLock;

use clap::{Args, ValueEnum};

use crate::error::{Error, Result};
use crate::terminal;

/// How many images are pulled at once unless the user says otherwise.
const AT_ONCE: usize = 4;

static CHOSEN: OnceLock<Manner> = OnceLock::new();

/// The flags that choose.
#[derive(Debug, Clone, Default, Args)]
pub struct MannerArgs {
    /// Colours and redrawn lines: never, always or auto
    #[arg(long, value_enum, value_name = "WHEN", hide_possible_values = true)]
    ansi: Option<Ansi>,
    /// How progress is shown: auto, tty, plain, json or quiet
    #[arg(long, value_enum, value_name = "KIND", hide_possible_values = true)]
    progress: Option<Kind>,
    /// How many images are pulled at once; -1: all
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    parallel: Option<i64>,
}

/// Whether to use control characters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Ansi {
    #[default]
    Auto,
    Never,
    Always,
}

/// What progress is asked to look like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    #[default]
    Auto,
    Tty,
    Plain,
    Json,
    #[value(alias = "none")]
    Quiet,
}

/// What progress looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Lines that are redrawn.
    Redrawn,
    /// A line a change.
    Plain,
    /// An object a change.
    Json,
    /// Nothing.
    Quiet,
}

#[derive(Debug, Clone, Copy, Default)]
struct Manner {
    ansi: Ansi,
    kind: Kind,
    parallel: Option<i64>,
}

impl MannerArgs {
    /// Makes this command's manner what the flags, else the environment (`COMPOSE_ANSI`, `COMPOSE_PROGRESS`,
    /// `COMPOSE_PARALLEL_LIMIT`) say.
    ///
    /// # Errors
    /// [`Error::Flag`] for values that there are not, or that contradict one another.
    pub fn choose(&self) -> Result<()> {
        let manner = self.over(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?;
        // A second choice is the first one again.
        let _ = CHOSEN.set(manner);
        Ok(())
    }

    fn over(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Manner> {
        let ansi = match (self.ansi, variable("COMPOSE_ANSI")) {
            (Some(ansi), _) => ansi,
            (None, Some(text)) => parse("COMPOSE_ANSI", text)?,
            (None, None) => Ansi::Auto,
        };
        let kind = match (self.progress, variable("COMPOSE_PROGRESS")) {
            (Some(kind), _) => kind,
            (None, Some(text)) => parse("COMPOSE_PROGRESS", text)?,
            (None, None) => Kind::Auto,
        };
        let parallel = match (self.parallel, variable("COMPOSE_PARALLEL_LIMIT")) {
            (Some(number), _) => Some(number),
            (None, Some(text)) => Some(text.parse().map_err(|_| Error::Flag {
                flag: "COMPOSE_PARALLEL_LIMIT",
                value: text,
                reason: "expected a number".into(),
            })?),
            (None, None) => None,
        };
        let refused = |value: &str, reason: &str| {
            Err(Error::Flag { flag: "--progress", value: value.into(), reason: reason.into() })
        };
        match (kind, ansi) {
            (Kind::Tty, Ansi::Never) => refused("tty", "it needs control characters, which --ansi never forbids"),
            (Kind::Plain, Ansi::Always) => refused("plain", "--ansi always asks for lines that are redrawn"),
            _ => Ok(Manner { ansi, kind, parallel }),
        }
    }
}

fn parse<T: ValueEnum>(name: &'static str, text: String) -> Result<T> {
    T::from_str(&text, false).map_err(|_| {
        let known: Vec<String> =
            T::value_variants().iter().filter_map(|known| Some(known.to_possible_value()?.get_name().into())).collect();
        Error::Flag { flag: name, value: text, reason: format!("there are {}", known.join(", ")) }
    })
}

fn manner() -> Manner {
    CHOSEN.get().copied().unwrap_or_default()
}

/// Whether output that goes to a terminal, or elsewhere, is coloured: never with NO_COLOR (no-color.org).
pub fn is_coloured(to_terminal: bool) -> bool {
    let allowed = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    allowed
        && match manner().ansi {
            Ansi::Auto => to_terminal,
            Ansi::Never => false,
            Ansi::Always => true,
        }
}

/// How progress on standard error is shown.
pub fn style() -> Style {
    style_of(manner(), terminal::stderr_is_terminal())
}

fn style_of(manner: Manner, to_terminal: bool) -> Style {
    match manner.kind {
        Kind::Auto if to_terminal && manner.ansi != Ansi::Never => Style::Redrawn,
        Kind::Auto | Kind::Plain => Style::Plain,
        Kind::Tty => Style::Redrawn,
        Kind::Json => Style::Json,
        Kind::Quiet => Style::Quiet,
    }
}

/// Says what went wrong.
pub fn complain(error: &Error) {
    match manner().kind {
        Kind::Json => eprintln!("{}", serde_json::json!({ "error": true, "message": error.to_string() })),
        _ => eprintln!("orca: {error}"),
    }
}

/// How many images are pulled at once.
pub fn at_once() -> usize {
    match manner().parallel {
        None => AT_ONCE,
        Some(number) => usize::try_from(number).ok().filter(|number| *number > 0).unwrap_or(usize::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_go_before_the_environment() {
        let environment = |name: &str| match name {
            "COMPOSE_ANSI" => Some("never".to_owned()),
            "COMPOSE_PROGRESS" => Some("json".to_owned()),
            "COMPOSE_PARALLEL_LIMIT" => Some("2".to_owned()),
            _ => None,
        };
        let said = MannerArgs::default().over(environment).unwrap();
        assert_eq!((said.ansi, said.kind, said.parallel), (Ansi::Never, Kind::Json, Some(2)));
        let args = MannerArgs { ansi: Some(Ansi::Auto), progress: Some(Kind::Tty), parallel: Some(-1) };
        let said = args.over(environment).unwrap();
        assert_eq!((said.ansi, said.kind, said.parallel), (Ansi::Auto, Kind::Tty, Some(-1)));
        assert!(MannerArgs::default().over(|_| Some("rainbow".into())).is_err());
    }

    #[test]
    fn what_contradicts_itself_is_refused_and_the_rest_looks_as_asked() {
        let none = |_: &str| None;
        let of = |ansi, progress| MannerArgs { ansi: Some(ansi), progress: Some(progress), parallel: None }.over(none);
        assert!(of(Ansi::Never, Kind::Tty).is_err() && of(Ansi::Always, Kind::Plain).is_err());
        let style = |ansi, kind, to_terminal| style_of(of(ansi, kind).unwrap(), to_terminal);
        assert_eq!(style(Ansi::Auto, Kind::Auto, true), Style::Redrawn);
        assert_eq!(style(Ansi::Never, Kind::Auto, true), Style::Plain);
        assert_eq!(style(Ansi::Always, Kind::Auto, false), Style::Plain);
        assert_eq!(style(Ansi::Auto, Kind::Tty, false), Style::Redrawn);
        assert_eq!(style(Ansi::Auto, Kind::Quiet, true), Style::Quiet);
    }
}
