//! A netlink socket, used synchronously: the kernel carries requests out inside `send`, so answers are there at once.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::message::{Attributes, Batch, HEADER_LEN, NLM_F_DUMP, attributes, messages, read_text, read_u32};
use crate::Error;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLM_F_CAPPED: u16 = 0x100;
const NLMSGERR_ATTR_MSG: u16 = 1;
const SOL_NETLINK: libc::c_int = 270;
/// The largest answer datagram the kernel builds for a dump.
const RECEIVE_LEN: usize = 64 * 1024;

thread_local! {
    /// Bytes that this thread has exchanged with the kernel.
    static EXCHANGED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// How many bytes this thread has exchanged with the kernel: what work costs, whatever the machine.
pub(crate) fn exchanged() -> u64 {
    EXCHANGED.get()
}

fn count(bytes: usize) {
    EXCHANGED.set(EXCHANGED.get() + bytes as u64);
}

/// A socket of one netlink protocol, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(crate) struct Netlink {
    fd: OwnedFd,
}

/// A message that the kernel refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) label: String,
    pub(crate) errno: i32,
    pub(crate) detail: String,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused {
            what: refusal.label,
            source: io::Error::from_raw_os_error(refusal.errno),
            detail: refusal.detail,
        }
    }
}

fn failed(step: &'static str) -> impl Fn(nix::Error) -> Error {
    move |errno| Error::Socket { step, source: errno.into() }
}

impl Netlink {
    /// For devices, addresses and routes.
    pub(crate) fn route() -> Result<Self, Error> {
        Self::open(SockProtocol::NetlinkRoute)
    }

    /// For nf_tables and the connection table.
    pub(crate) fn netfilter() -> Result<Self, Error> {
        Self::open(SockProtocol::NetlinkNetFilter)
    }

    fn open(protocol: SockProtocol) -> Result<Self, Error> {
        let fd =
            socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map_err(failed("open"))?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, 0)).map_err(failed("bind"))?;
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(5)).map_err(failed("set its timeout"))?;
        // CAP_ACK (10): errors without the whole message; EXT_ACK (11): with an explanation. Both only help messages,
        // so a kernel that lacks them is no reason to stop.
        for option in [10, 11] {
            let one: libc::c_int = 1;
            // SAFETY: fd is open, and the value is a live int of the length given.
            unsafe {
                libc::setsockopt(
                    fd.as_raw_fd(),
                    SOL_NETLINK,
                    option,
                    (&raw const one).cast(),
                    size_of::<libc::c_int>() as libc::socklen_t,
                );
            }
        }
        Ok(Self { fd })
    }

    /// Makes room for a large transaction and for the errors it may meet.
    pub(crate) fn enlarge(&self, bytes: usize) -> Result<(), Error> {
        let room = bytes.saturating_mul(2).max(1 << 20);
        setsockopt(&self.fd, sockopt::SndBufForce, &room).map_err(failed("enlarge its buffer"))?;
        setsockopt(&self.fd, sockopt::RcvBufForce, &room).map_err(failed("enlarge its buffer"))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        count(bytes.len());
        sendto(self.fd.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map_err(failed("send"))?;
        Ok(())
    }

    fn receive(&self, buffer: &mut [u8], flags: MsgFlags) -> Result<usize, nix::Error> {
        recv(self.fd.as_raw_fd(), buffer, flags).inspect(|length| count(*length))
    }

    /// Sends messages that all ask for an acknowledgement; returns those that were refused.
    pub(crate) fn transact(&self, batch: &Batch) -> Result<Vec<Refusal>, Error> {
        let mut refusals = Vec::new();
        if batch.len() == 0 {
            return Ok(refusals);
        }
        self.send(batch.as_bytes())?;
        let mut buffer = vec![0; RECEIVE_LEN];
        let mut answered = 0;
        while answered < batch.len() {
            let length = self.receive(&mut buffer, MsgFlags::empty()).map_err(failed("receive"))?;
            for message in messages(&buffer[..length]).filter(|m| m.kind == NLMSG_ERROR) {
                answered += 1;
                refusals.extend(refusal(message.payload, message.flags, &batch.label(message.sequence)));
            }
        }
        Ok(refusals)
    }

    /// As [`transact`](Self::transact), where the first refusal with an errno not in `tolerated` is an error.
    pub(crate) fn execute(&self, batch: &Batch, tolerated: &[i32]) -> Result<(), Error> {
        let refusals = self.transact(batch)?;
        refusals.into_iter().find(|r| !tolerated.contains(&r.errno)).map_or(Ok(()), |r| Err(r.into()))
    }

    /// Errors that are waiting; none after a transaction that succeeded without acknowledgement.
    pub(crate) fn pending_refusal(&self, batch: &Batch) -> Result<Option<Refusal>, Error> {
        let mut buffer = vec![0; RECEIVE_LEN];
        let mut first = None;
        loop {
            match self.receive(&mut buffer, MsgFlags::MSG_DONTWAIT) {
                Ok(length) => {
                    for message in messages(&buffer[..length]).filter(|m| m.kind == NLMSG_ERROR) {
                        let found = refusal(message.payload, message.flags, &batch.label(message.sequence));
                        first = first.or(found);
                    }
                }
                Err(nix::Error::EAGAIN) => return Ok(first),
                Err(errno) => return Err(failed("receive")(errno)),
            }
        }
    }

    /// Asks for all objects of a kind, or with other flags for one; `each` gets the payload of every answer.
    pub(crate) fn query(
        &self,
        what: &'static str,
        kind: u16,
        flags: u16,
        header: &[u8],
        content: impl FnOnce(&mut Attributes),
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        let mut batch = Batch::default();
        batch.message(format!("list {what}"), kind, flags, header, content);
        self.send(batch.as_bytes())?;
        let mut buffer = vec![0; RECEIVE_LEN];
        loop {
            let length = self.receive(&mut buffer, MsgFlags::empty()).map_err(failed("receive"))?;
            if length < HEADER_LEN {
                return Err(Error::Malformed { what });
            }
            for message in messages(&buffer[..length]) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        return refusal(message.payload, message.flags, &batch.label(1))
                            .map_or(Ok(()), |r| Err(r.into()));
                    }
                    _ => each(message.payload),
                }
            }
            if flags & NLM_F_DUMP != NLM_F_DUMP {
                return Ok(());
            }
        }
    }
}

/// Decodes `struct nlmsgerr`; `None` for an acknowledgement.
fn refusal(payload: &[u8], flags: u16, label: &str) -> Option<Refusal> {
    let errno = (read_u32(payload, 0)? as i32).wrapping_neg();
    if errno == 0 {
        return None;
    }
    // Behind the errno comes the header of the refused message, with its content unless capped.
    let echoed = if flags & NLM_F_CAPPED != 0 { HEADER_LEN } else { read_u32(payload, 4)? as usize };
    let explained = if flags & NLM_F_ACK_TLVS != 0 {
        payload.get(4 + echoed.next_multiple_of(4)..).unwrap_or_default()
    } else {
        &[]
    };
    let text = attributes(explained).find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG).map(|(_, v)| read_text(v));
    let detail = text.map(|text| format!(" ({text})")).unwrap_or_default();
    Some(Refusal { label: label.into(), errno, detail })
}
