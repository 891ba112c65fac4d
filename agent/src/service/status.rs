//! Failures as gRPC statuses: a code that a program can act on, a message for the person. Pure.

use model::shim::ErrorClass;
use tonic::{Code, Status};

use crate::shim_client::ShimClientError;
use crate::{Error, Kind};

/// Key of the metadata that carries the exit code with which a command line tool ends after a failed start: 125, 126 or 127
/// (docker run, "Exit status").
pub const EXIT_CODE_KEY: &str = "orca-exit-code";

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let mut status = Self::new(code(&error), error.to_string());
        if let Some(exit_code) = exit_code(&error) {
            status.metadata_mut().insert(EXIT_CODE_KEY, exit_code.into());
        }
        status
    }
}

fn code(error: &Error) -> Code {
    match error {
        Error::NameInUse { .. } | Error::NetworkExists(_) => Code::AlreadyExists,
        Error::Start { .. } => Code::FailedPrecondition,
        Error::Api(_) => Code::InvalidArgument,
        Error::Image(error) => image_code(error),
        Error::Registry(error) => registry_code(error),
        Error::ShimClient(ShimClientError::Refused(failure)) => class_code(failure.class),
        Error::ShimClient(ShimClientError::Timeout { .. }) => Code::DeadlineExceeded,
        _ => match error.kind() {
            Kind::NotFound => Code::NotFound,
            Kind::Conflict => Code::FailedPrecondition,
            Kind::Invalid => Code::InvalidArgument,
            Kind::Failed => Code::Internal,
        },
    }
}

fn image_code(error: &image::Error) -> Code {
    use image::Error as E;
    match error {
        E::NoSuchImage(_) => Code::NotFound,
        E::ManyNames { .. } | E::NameInUse { .. } | E::InUse { .. } | E::StoreBusy { .. } => Code::FailedPrecondition,
        E::InvalidReference { .. }
        | E::InvalidDigest { .. }
        | E::InvalidPlatform { .. }
        | E::InvalidChange { .. }
        | E::InvalidUser { .. }
        | E::InvalidFilter { .. }
        | E::AmbiguousId { .. }
        | E::TagNeeded { .. }
        | E::DigestMismatch { .. }
        | E::SizeMismatch { .. }
        | E::InvalidDocument { .. }
        | E::TooLarge { .. }
        | E::InvalidArchive { .. }
        | E::InvalidEntry { .. }
        | E::LimitExceeded { .. }
        | E::NoPlatform { .. } => Code::InvalidArgument,
        _ => Code::Internal,
    }
}

fn registry_code(error: &image::registry::Error) -> Code {
    use image::registry::Error as E;
    match error {
        E::Image(error) => image_code(error),
        E::ManifestUnknown { .. } | E::NotHere(_) => Code::NotFound,
        E::PullDenied { .. } | E::PushDenied { .. } => Code::PermissionDenied,
        E::Login { .. } => Code::Unauthenticated,
        E::Setting { .. } => Code::InvalidArgument,
        // Not Unavailable: that would say that the daemon is.
        _ => Code::Internal,
    }
}

fn class_code(class: ErrorClass) -> Code {
    match class {
        ErrorClass::CommandNotFound
        | ErrorClass::CommandNotExecutable
        | ErrorClass::BadWorkingDirectory
        | ErrorClass::UnknownUser => Code::InvalidArgument,
        ErrorClass::WrongState => Code::FailedPrecondition,
        ErrorClass::InvalidBundle | ErrorClass::Protocol | ErrorClass::Runtime => Code::Internal,
    }
}

/// Docker's exit code of a tool that met this failure; `None` if the failure says nothing about a command.
fn exit_code(error: &Error) -> Option<i32> {
    match error {
        Error::Start { code, .. } => Some(*code),
        Error::NoCommand => Some(125),
        Error::ShimClient(ShimClientError::Refused(failure)) => Some(failure.class.exit_code().into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use model::shim::Failure;

    use super::*;

    #[test]
    fn a_failed_start_says_its_exit_code() {
        let status = Status::from(Error::Start { code: 127, message: "exec: \"x\": not found".into() });
        assert_eq!(status.metadata().get(EXIT_CODE_KEY).unwrap(), "127");
        assert_eq!(status.message(), "exec: \"x\": not found");
        let class = ErrorClass::CommandNotExecutable;
        let failure = Failure { version: 1, run_generation: 1, class, message: "permission denied".into() };
        let status = Status::from(Error::from(ShimClientError::Refused(failure)));
        assert_eq!(status.metadata().get(EXIT_CODE_KEY).unwrap(), "126");
        assert_eq!(status.code(), Code::InvalidArgument);
    }

    #[test]
    fn codes_are_what_programs_expect() {
        for (error, code) in [
            (Error::NoSuchContainer("x".into()), Code::NotFound),
            (Error::NameInUse { name: "x".into(), holder: "y".into() }, Code::AlreadyExists),
            (Error::NotRunning { name: "x".into() }, Code::FailedPrecondition),
            (Error::Signal { text: "x".into() }, Code::InvalidArgument),
            (Error::Thread("x"), Code::Internal),
            (Error::Image(image::Error::NoSuchImage("x".into())), Code::NotFound),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code, "{status}");
            assert!(status.metadata().get(EXIT_CODE_KEY).is_none());
        }
    }
}
