//! The two tables: what Docker's command line has, and why some of it is not here.

/// A command of Docker's, or one flag of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// `container ls`; empty for the program itself.
    pub command: &'static str,
    /// `--all`; empty for the command itself.
    pub flag: &'static str,
    /// `-a`, or empty.
    pub short: &'static str,
    /// What it takes: `bool` for nothing, else `string`, `list`, `bytes`.
    pub value: &'static str,
}

/// How a refusal is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It will come.
    Planned,
    /// It will not.
    Refused,
}

/// Why something is not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    commands: &'static str,
    flags: &'static str,
    /// For now, or for good.
    pub state: State,
    /// The end of a sentence.
    pub reason: &'static str,
    /// The line of the file, from 1.
    pub line: usize,
}

const LIST: &str = include_str!("docker-cli.tsv");
const RULES: &str = include_str!("refused.tsv");

/// Every command and flag of Docker's.
pub fn entries() -> impl Iterator<Item = Entry> {
    LIST.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut fields = line.split('\t').skip(1);
        let mut next = || fields.next().unwrap_or_default();
        let entry = Entry { command: next(), flag: next(), short: next(), value: next() };
        (!entry.command.is_empty() || !entry.flag.is_empty()).then_some(entry)
    })
}

/// Every rule in the order of the file.
pub fn rules() -> impl Iterator<Item = Rule> {
    RULES.lines().enumerate().filter(|(_, line)| !line.starts_with('#')).filter_map(|(index, line)| {
        let mut fields = line.split('\t');
        let (commands, flags) = (fields.next()?, fields.next()?);
        let state = match fields.next()? {
            "planned" => State::Planned,
            "refused" => State::Refused,
            _ => return None,
        };
        Some(Rule { commands, flags, state, reason: fields.next()?, line: index + 1 })
    })
}

/// The first rule that fits; the last of the file fits all.
pub fn rule(command: &str, flag: &str) -> Option<Rule> {
    rules().find(|rule| rule.fits(command, flag))
}

impl Rule {
    fn fits(&self, command: &str, flag: &str) -> bool {
        let command = if command.is_empty() { "orca" } else { command };
        let is_command = |pattern: &str| match pattern.strip_suffix('*') {
            Some(begin) => command.starts_with(begin),
            None => command == pattern,
        };
        self.commands.split(',').any(is_command)
            && (self.flags == "*" || self.flags.split(',').any(|own| !flag.is_empty() && own == flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_tables_is_read() {
        let lines = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(entries().count(), lines(LIST));
        assert_eq!(rules().count(), lines(RULES));
        assert!(rules().all(|rule| !rule.reason.is_empty() && !rule.reason.ends_with('.')));
    }

    #[test]
    fn the_first_rule_that_fits_speaks() {
        assert_eq!(rule("swarm init", "--autolock").unwrap().state, State::Planned);
        assert!(rule("run", "--isolation").unwrap().reason.contains("Windows"));
        assert_eq!(rule("", "--no-such").unwrap().state, State::Planned);
        assert!(rule("images", "--tree").unwrap().reason.contains("--digests"));
    }
}
