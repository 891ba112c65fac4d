//! Messages on their way: a bounded queue in front of a [`Link`]. A server that does not take them makes the container wait for
//! a while only, and with `mode=non-blocking` never; what is dropped is counted.

use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::link::{Link, Sent, Target};

/// Bytes that wait before the container has to.
const PATIENCE_BUFFER: usize = 1 << 20;
/// How long the container waits for a server that takes nothing.
const STALL: Duration = Duration::from_secs(5);
/// How soon a broken connection is made anew.
const RETRY: Duration = Duration::from_millis(500);
/// Sent at once, so that other work gets its turn.
const BURST: usize = 256;

/// The way to one server.
pub struct Delivery {
    target: Target,
    link: Option<Link>,
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    limit: usize,
    waits: bool,
    /// When the link may be opened again.
    retry_at: Option<Instant>,
    /// Since when nothing was taken of what waits.
    stalled_since: Option<Instant>,
    /// Nothing was taken for so long that lines are dropped at once.
    is_down: bool,
    dropped: u64,
    complaint: Option<String>,
}

impl Delivery {
    /// To `target`. With a `buffer` the container never waits, and what doesn't fit into it is dropped.
    pub fn new(target: Target, buffer: Option<u64>) -> Self {
        let limit = buffer.map_or(PATIENCE_BUFFER, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Self {
            target,
            link: None,
            queue: VecDeque::new(),
            bytes: 0,
            limit,
            waits: buffer.is_none(),
            retry_at: None,
            stalled_since: None,
            is_down: false,
            dropped: 0,
            complaint: None,
        }
    }

    /// Takes a message.
    pub fn push(&mut self, message: Vec<u8>) {
        let is_full = !self.waits && !self.queue.is_empty() && self.bytes + message.len() > self.limit;
        // While it is down one message waits, to see whether it is up again.
        if is_full || self.is_down && !self.queue.is_empty() {
            self.dropped += 1;
            return;
        }
        self.bytes += message.len();
        self.queue.push_back(message);
    }

    /// Messages dropped so far.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether no more should be given for now.
    pub fn is_full(&self) -> bool {
        self.waits && !self.is_down && self.bytes >= self.limit
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// What an operator should know, once.
    pub fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    /// Descriptor and what to poll it for, while it can't be sent to.
    pub fn interest(&self) -> Option<(RawFd, i16)> {
        let link = self.link.as_ref()?;
        let sends = !self.queue.is_empty() && !link.waits_for_input();
        Some((link.raw(), if sends { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN }))
    }

    /// When [`advance`](Self::advance) has something to do although nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        let stall = self.stalled_since.map(|since| since + STALL);
        self.retry_at.into_iter().chain(stall).min()
    }

    /// Sends what goes.
    pub fn advance(&mut self, now: Instant) {
        if self.link.as_ref().is_some_and(Link::is_over) {
            self.link = None;
        }
        if let Some(Err(error)) = self.link.as_mut().map(Link::listen) {
            self.note_broken(&error, now);
        }
        if self.retry_at.is_some_and(|at| now >= at) {
            self.retry_at = None;
        }
        if self.link.is_none() && self.retry_at.is_none() && !self.queue.is_empty() {
            self.open(now);
        }
        for _ in 0..BURST {
            let (Some(link), Some(message)) = (&mut self.link, self.queue.front()) else { break };
            match link.send(message) {
                Ok(Sent::Whole) => self.note_sent(),
                Ok(Sent::Later) => break,
                Err(error) => self.note_broken(&error, now),
            }
        }
        self.note_stall(now);
    }

    fn open(&mut self, now: Instant) {
        match Link::open(&self.target) {
            // That it can be opened proves nothing yet: over TCP the connection may only be under way.
            Ok(link) => self.link = Some(link),
            Err(error) => self.note_broken(&error, now),
        }
    }

    fn note_sent(&mut self) {
        if let Some(message) = self.queue.pop_front() {
            self.bytes -= message.len();
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
        (self.is_down, self.stalled_since) = (false, None);
    }

    fn note_broken(&mut self, error: &io::Error, now: Instant) {
        if self.stalled_since.is_none() && !self.is_down {
            self.complaint = Some(format!("lines cannot be sent to {}: {error}", self.target));
        }
        self.link = None;
        self.retry_at = Some(now + RETRY);
    }

    fn note_stall(&mut self, now: Instant) {
        if self.queue.is_empty() {
            self.stalled_since = None;
            return;
        }
        let since = *self.stalled_since.get_or_insert(now);
        if now < since + STALL || !self.waits && self.bytes < self.limit {
            return;
        }
        let lost = self.queue.len() as u64;
        if !self.is_down {
            let target = &self.target;
            self.complaint = Some(format!("{target} took nothing for {STALL:?}: lines are dropped until it does"));
        }
        self.dropped += lost;
        (self.queue, self.bytes) = (VecDeque::new(), 0);
        (self.is_down, self.stalled_since, self.link) = (true, None, None);
        self.retry_at = Some(now + RETRY);
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use model::SyslogAddress;
        match self {
            Self::Journal(path) => write!(f, "the journal at {}", path.display()),
            Self::Syslog(SyslogAddress::Unixgram(path), _) => write!(f, "syslog at unixgram://{path}"),
            Self::Syslog(SyslogAddress::Unix(path), _) => write!(f, "syslog at unix://{path}"),
            Self::Syslog(SyslogAddress::Udp(address), _) => write!(f, "syslog at udp://{address}"),
            Self::Syslog(SyslogAddress::Tcp(address), _) => write!(f, "syslog at tcp://{address}"),
            Self::Syslog(SyslogAddress::Tls(address), _) => write!(f, "syslog at tcp+tls://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    fn drive(delivery: &mut Delivery, until: impl Fn(&Delivery) -> bool) {
        let begin = Instant::now();
        while !until(delivery) {
            assert!(begin.elapsed() < Duration::from_secs(20));
            delivery.advance(Instant::now());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_large_entry_reaches_the_journal_in_a_sealed_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let mut delivery = Delivery::new(Target::Journal(path), None);
        let large = vec![b'x'; 2 << 20];
        delivery.push(b"MESSAGE=small\n".to_vec());
        delivery.push(large.clone());
        drive(&mut delivery, Delivery::is_empty);
        let mut buffer = [0; 100];
        let count = journal.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..count], b"MESSAGE=small\n");
        let mut file = receive_file(&journal);
        let mut text = Vec::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut text).unwrap();
        assert!(text == large);
        let seals = rustix::fs::fcntl_get_seals(&file).unwrap();
        assert!(seals.contains(rustix::fs::SealFlags::WRITE | rustix::fs::SealFlags::SEAL));
        assert_eq!(delivery.dropped(), 0);
    }

    fn receive_file(socket: &UnixDatagram) -> std::fs::File {
        use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
        let mut space = nix::cmsg_space!([i32; 1]);
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut [], Some(&mut space), MsgFlags::empty()).unwrap();
        let Some(ControlMessageOwned::ScmRights(files)) = message.cmsgs().unwrap().next() else { panic!("no file") };
        // SAFETY: the kernel has just made this descriptor for us.
        unsafe { OwnedFd::from_raw_fd(files[0]) }.into()
    }

    #[test]
    fn a_server_that_comes_late_and_goes_in_between_gets_what_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let address = model::SyslogAddress::Unix(path.to_str().unwrap().into());
        let mut delivery = Delivery::new(Target::Syslog(address, None), None);
        delivery.push(b"one\n".to_vec());
        delivery.advance(Instant::now());
        assert!(delivery.complaint().unwrap().contains("unix://"));
        let server = UnixListener::bind(&path).unwrap();
        drive(&mut delivery, Delivery::is_empty);
        let (mut stream, _) = server.accept().unwrap();
        let mut text = [0; 4];
        stream.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"one\n");
        drop(stream);
        delivery.push(b"two\n".to_vec());
        drive(&mut delivery, Delivery::is_empty);
        let (mut stream, _) = server.accept().unwrap();
        stream.read_exact(&mut text).unwrap();
        assert_eq!((&text, delivery.dropped()), (b"two\n", 0));
    }

    #[test]
    fn a_dead_server_holds_the_container_up_for_a_while_only() {
        let address = model::SyslogAddress::Unixgram("/nonexistent/socket".into());
        let mut delivery = Delivery::new(Target::Syslog(address, None), None);
        let begin = Instant::now();
        delivery.push(vec![b'x'; PATIENCE_BUFFER]);
        delivery.advance(begin);
        assert!(delivery.is_full());
        delivery.advance(begin + STALL - Duration::from_millis(1));
        assert!(delivery.is_full());
        delivery.advance(begin + STALL);
        assert!(!delivery.is_full() && delivery.is_empty());
        for _ in 0..2 {
            delivery.push(vec![b'y'; PATIENCE_BUFFER]);
        }
        assert!(!delivery.is_full());
        assert_eq!(delivery.dropped(), 2, "one waits to see whether the server is up again");
    }

    #[test]
    fn without_blocking_what_does_not_fit_is_dropped_at_once() {
        let address = model::SyslogAddress::Unixgram("/nonexistent/socket".into());
        let mut delivery = Delivery::new(Target::Syslog(address, None), Some(10));
        for _ in 0..5 {
            delivery.push(b"1234".to_vec());
        }
        assert!(!delivery.is_full());
        assert_eq!(delivery.dropped(), 3);
    }
}
