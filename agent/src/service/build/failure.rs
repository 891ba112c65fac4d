//! How a build fails, for whoever wrote the Dockerfile.

use image::dockerfile::{ParseError, Span, excerpt};
use tonic::{Code, Status};

use crate::Error;

/// Why a build ended.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The instruction that failed.
    pub span: Option<Span>,
    /// What went wrong.
    pub message: String,
    /// The last lines that a program wrote, with the step's name before them.
    pub output: Option<String>,
    pub(super) code: Code,
}

/// What the steps of a build come to.
pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// The Dockerfile, or what was asked for, is at fault.
    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure { span: None, message: message.into(), output: None, code: Code::InvalidArgument }
    }

    /// At an instruction, unless it is known already where.
    pub fn at(mut self, span: Span) -> Failure {
        self.span = self.span.or(Some(span));
        self
    }

    /// A program failed.
    pub fn program(message: String, output: String) -> Failure {
        Failure { span: None, message, output: Some(output), code: Code::FailedPrecondition }
    }

    /// The message with the lines of the Dockerfile that it is about.
    pub fn located(mut self, name: &str, text: &str) -> Failure {
        if let Some(span) = self.span.take() {
            let output = self.output.take().map(|output| format!("------\n{output}------\n")).unwrap_or_default();
            self.message = format!("{output}{}\nfailed to solve: {}", excerpt(name, text, span), self.message);
        }
        self
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Status {
        Status::new(failure.code, failure.message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let status = Status::from(error);
        Failure { span: None, message: status.message().to_owned(), output: None, code: status.code() }
    }
}

impl From<image::Error> for Failure {
    fn from(error: image::Error) -> Failure {
        Error::from(error).into()
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Failure {
        Failure { span: Some(error.span), message: error.to_string(), output: None, code: Code::InvalidArgument }
    }
}
