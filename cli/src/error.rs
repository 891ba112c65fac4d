//! What can go wrong in a command, and the exit code that says so.

use std::path::PathBuf;

/// A command's failure, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The daemon refuses or fails; its words.
    #[error("{message}")]
    Daemon {
        /// What the daemon says.
        message: String,
        /// Exit code that Docker has for this, such as 127 for a program that is not there.
        code: Option<u8>,
        /// There is nothing of the name that was asked for.
        missing: bool,
    },
    /// No connection.
    #[error(transparent)]
    Connect(#[from] api::Error),
    /// A daemon could not be started in the background.
    #[error("the daemon did not come up: {reason}; its log is {}", log.display())]
    DaemonStart {
        /// Why.
        reason: String,
        /// Where it wrote what.
        log: PathBuf,
    },
    /// A flag's value cannot be used.
    #[error("invalid value {value:?} for {flag}: {reason}")]
    Flag {
        /// With its dashes.
        flag: &'static str,
        /// As given.
        value: String,
        /// What is expected.
        reason: String,
    },
    /// Something that Orca does not do (yet), by name.
    #[error("{what} is not supported: {instead}")]
    Unsupported {
        /// The flag, key or value.
        what: String,
        /// What to do instead.
        instead: String,
    },
    /// A file of the user's.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// `read`, `write`, `open`.
        action: &'static str,
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Files that are copied between here and a container.
    #[error("{0}")]
    Files(String),
    /// The terminal or a stream of this process.
    #[error("cannot {action}: {source}")]
    Terminal {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The Compose file has errors; each with its place.
    #[error("{0}")]
    Compose(String),
    /// The application did not come to what was asked for.
    #[error("{0}")]
    NotConverged(String),
    /// Services have not come to what was asked for, or not while the command waited.
    #[error("{reason}")]
    Unfinished {
        /// What became of it.
        reason: String,
        /// The exit code that says so.
        code: u8,
    },
    /// A template of `--format` cannot be read or carried out.
    #[error("template parsing error: {source}")]
    Template {
        /// Why, in Go's words.
        source: template::Error,
        /// Docker's exit code, which differs between its commands.
        code: u8,
    },
    /// Nothing of that name.
    #[error("No such {kind}: {name}")]
    NotFound {
        /// `service`, `container`.
        kind: &'static str,
        /// As asked for.
        name: String,
    },
    /// Several things were asked for and some failed; each has been told already.
    #[error("{0}")]
    Several(String),
    /// A registry, or the logins for registries.
    #[error("{0}")]
    Registry(String),
    /// Ends the process with this code and no further word: the container's own exit code.
    #[error("exit code {0}")]
    Exit(u8),
    /// A process that the daemon consists of could not do its work.
    #[error("the daemon cannot {action}: {reason}")]
    Start {
        /// What was tried.
        action: &'static str,
        /// Why not.
        reason: String,
    },
}

/// Name of the gRPC metadata that carries Docker's exit code for a failed start.
pub const EXIT_CODE_KEY: &str = "orca-exit-code";

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        let code = status.metadata().get(EXIT_CODE_KEY).and_then(|value| value.to_str().ok()?.parse().ok());
        let message = match status.code() {
            tonic::Code::Unavailable => format!("the daemon went away: {}", status.message()),
            tonic::Code::Unimplemented => format!("this daemon is of another version: {}", status.message()),
            _ => status.message().to_owned(),
        };
        // What another node than the one that was asked has answered.
        let message = match status.metadata().get(api::carried::NODE).and_then(|node| node.to_str().ok()) {
            Some(node) => format!("node {node}: {message}"),
            None => message,
        };
        Self::Daemon { message, code, missing: status.code() == tonic::Code::NotFound }
    }
}

impl Error {
    /// Of a listing.
    pub fn template(source: template::Error) -> Self {
        Self::Template { source, code: 1 }
    }

    /// Of a command that shows one object, and cannot read its template.
    pub fn inspect_template(source: template::Error) -> Self {
        Self::Template { source, code: 64 }
    }

    /// The exit code of a command that fails with this; `default` is 125 for the verbs that run a container, else 1.
    pub fn exit_code(&self, default: u8) -> u8 {
        match self {
            Self::Exit(code) | Self::Template { code, .. } | Self::Unfinished { code, .. } => *code,
            Self::Daemon { code: Some(code), .. } => *code,
            _ => default,
        }
    }
}

/// The result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;
