//! Errors as gRPC statuses; the message is for the person who asked.

use tonic::{Code, Status};

use crate::error::Error;
use crate::state::Refusal;

/// The status that says what `error` says.
pub fn to_status(error: &Error) -> Status {
    Status::new(code(error), error.to_string())
}

fn code(error: &Error) -> Code {
    match error {
        Error::Refused(refusal) => refusal_code(refusal),
        Error::TooLarge { .. } | Error::PublicKey | Error::Backup(_) => Code::InvalidArgument,
        Error::NotLeader | Error::Behind { .. } | Error::Stopped { .. } | Error::NotReady { .. } => Code::Unavailable,
        Error::Locked => Code::FailedPrecondition,
        Error::WrongKey => Code::InvalidArgument,
        Error::Uncertain => Code::Aborted,
        Error::DiskFull { .. } => Code::ResourceExhausted,
        Error::File { .. }
        | Error::Key { .. }
        | Error::Database { .. }
        | Error::InUse { .. }
        | Error::Record { .. }
        | Error::Snapshot { .. }
        | Error::OtherNode { .. }
        | Error::UnknownEntry { .. }
        | Error::Authority { .. }
        | Error::Random
        | Error::Thread { .. } => Code::Internal,
    }
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Stale { .. } => Code::Aborted,
        Refusal::NotFound { .. } => Code::NotFound,
        Refusal::Exists { .. } => Code::AlreadyExists,
        Refusal::Name(_)
        | Refusal::AddressOutside { .. }
        | Refusal::PortsElsewhere { .. }
        | Refusal::TooManyPorts { .. }
        | Refusal::SubnetTooSmall { .. }
        | Refusal::Replicas { .. }
        | Refusal::Global { .. }
        | Refusal::JobRestarts { .. }
        | Refusal::Fixed { .. }
        | Refusal::NotOfStack { .. }
        | Refusal::Twice { .. }
        | Refusal::Size { .. }
        | Refusal::Empty { .. }
        | Refusal::InUse { .. }
        | Refusal::DependencyCycle { .. }
        | Refusal::Desired { .. } => Code::InvalidArgument,
        Refusal::OtherKey { .. } => Code::AlreadyExists,
        Refusal::NotOpen
        | Refusal::NoPrevious { .. }
        | Refusal::LastManager { .. }
        | Refusal::IsManager { .. }
        | Refusal::NodeIsUp { .. }
        | Refusal::Owned { .. }
        | Refusal::PortInUse { .. }
        | Refusal::AddressInUse { .. }
        | Refusal::NotFree { .. }
        | Refusal::SubnetOverlap { .. } => Code::FailedPrecondition,
    }
}
