//! The seam in front of whatever makes containers. The shim's loop knows this trait only; libcontainer is behind
//! [`embedded`], a runtime that is a program of its own behind [`external`].

mod command;
pub mod embedded;
pub mod external;
mod join;
mod process;

use std::os::fd::OwnedFd;

use model::shim::ExecRequest;

use crate::error::Result;
use crate::report;

/// What a process gets as standard input, output and error.
pub enum ProcessIo {
    /// Three descriptors.
    Streams {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new pseudo-terminal.
    Terminal,
}

impl ProcessIo {
    /// Gives pipes to the user who will read and write them, as the host numbers it: that one may open them anew by
    /// `/dev/stdout`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn give_to(&self, uid: Option<u32>) -> Result<()> {
        let (Self::Streams { stdin, stdout, stderr }, Some(uid)) = (self, uid) else { return Ok(()) };
        crate::users::give_pipes([stdin, stdout, stderr], uid)
    }
}

/// A process that has been made and will execute its command, or say why not.
pub struct Launched {
    /// As the host numbers it; a child of the shim.
    pub pid: i32,
    /// The terminal's master, if it has one.
    pub terminal: Option<OwnedFd>,
    /// Ends when the command has been executed.
    pub outcome: report::Reader,
}

/// Makes, starts, enters and removes one container. Everything it creates is a child of the calling process, which has
/// one thread.
pub trait Runtime {
    /// Makes the container; its first process waits for [`Runtime::start`].
    ///
    /// # Errors
    /// Classified, with nothing left behind but the cgroup.
    fn create(&mut self, io: ProcessIo) -> Result<Launched>;

    /// Lets the first process execute its command.
    ///
    /// # Errors
    /// If it is gone.
    fn start(&mut self) -> Result<()>;

    /// Makes one more process in the running container.
    ///
    /// # Errors
    /// If the request can't be had or the kernel refuses.
    fn exec(&mut self, request: &ExecRequest, io: ProcessIo) -> Result<Launched>;

    /// Removes what the runtime keeps about the container. Processes and cgroups are the caller's.
    ///
    /// # Errors
    /// If files can't be removed.
    fn delete(&mut self) -> Result<()>;
}
