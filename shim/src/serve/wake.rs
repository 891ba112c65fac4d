//! One turn of the loop: what to poll, and whom to call for what is ready.

use std::os::fd::RawFd;
use std::time::Duration;

use super::{Supervisor, raw};
use crate::log::Stream;

/// Whose descriptor it is.
#[derive(Debug, Clone, Copy)]
enum Source {
    Start,
    ExecStart(u64),
    Output(Stream),
    ExecOutput(u64, Stream),
    Signals,
    Input,
    ExecInput(u64),
    Listener,
    Log,
    Client(u64),
}

impl Supervisor {
    /// Waits for something to happen, at most for `patience`, and deals with all that did.
    pub(super) fn turn(&mut self, patience: Option<Duration>) {
        let (mut polled, sources) = self.interests();
        let millis = patience.map_or(-1, |patience| i32::try_from(patience.as_millis()).unwrap_or(i32::MAX));
        // SAFETY: the vector is valid for its length; poll(2) only writes its `revents`.
        let ready = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
        if ready == 0 && self.ended.is_none() && self.execs.iter().all(super::Exec::is_alive) {
            self.release_buffers();
        }
        if ready > 0 {
            for (poll, source) in polled.iter().zip(sources).filter(|(poll, _)| poll.revents != 0) {
                self.wake(source, poll.revents);
            }
        }
        if let Some(complaint) = self.log.as_mut().and_then(crate::log::Log::advance) {
            self.complain(&complaint);
        }
        self.settle_execs();
        self.flush_clients();
    }

    fn interests(&self) -> (Vec<libc::pollfd>, Vec<Source>) {
        let mut polled = Vec::with_capacity(8 + self.clients.len());
        let mut sources = Vec::with_capacity(8 + self.clients.len());
        let mut add = |fd: RawFd, events: i16, source| {
            polled.push(libc::pollfd { fd, events, revents: 0 });
            sources.push(source);
        };
        // Starts come before outputs and outputs before exits, so that everything is told in order.
        if let Some(reader) = &self.outcome {
            add(raw(reader), libc::POLLIN, Source::Start);
        }
        // A container waits for its log, but its end doesn't; and for clients that have to get everything.
        let waits = self.ended.is_none() && self.log.as_ref().is_some_and(crate::log::Log::is_full)
            || self.clients.iter().any(super::Client::holds_output);
        for (fd, stream) in self.output_fds().into_iter().zip([Stream::Stdout, Stream::Stderr]) {
            if let Some(fd) = fd.filter(|_| !waits) {
                add(fd, libc::POLLIN, Source::Output(stream));
            }
        }
        for exec in &self.execs {
            if let Some(fd) = exec.outcome.as_ref().map(raw) {
                add(fd, libc::POLLIN, Source::ExecStart(exec.id));
            }
            let behind =
                exec.client.is_some_and(|id| self.clients.iter().any(|client| client.id == id && client.is_behind()));
            for (fd, stream) in [(&exec.stdout, Stream::Stdout), (&exec.stderr, Stream::Stderr)] {
                if let Some(fd) = fd.as_ref().filter(|_| !behind) {
                    add(raw(fd), libc::POLLIN, Source::ExecOutput(exec.id, stream));
                }
            }
            if let Some(sink) = exec.stdin.as_ref().filter(|sink| sink.has_pending()) {
                add(sink.raw(), libc::POLLOUT, Source::ExecInput(exec.id));
            }
        }
        add(raw(&self.signals), libc::POLLIN, Source::Signals);
        if let Some(sink) = self.input.as_ref().filter(|sink| sink.has_pending()) {
            add(sink.raw(), libc::POLLOUT, Source::Input);
        }
        add(raw(&self.listener), libc::POLLIN, Source::Listener);
        if let Some((fd, events)) = self.log.as_ref().and_then(crate::log::Log::interest) {
            add(fd, events, Source::Log);
        }
        for client in &self.clients {
            let (fd, events) = client.interest(self.is_throttled(client));
            add(fd, events, Source::Client(client.id));
        }
        (polled, sources)
    }

    fn wake(&mut self, source: Source, events: i16) {
        match source {
            Source::Start => self.note_start(),
            Source::ExecStart(id) => self.note_exec_start(id),
            Source::Output(stream) => self.pump(stream),
            Source::ExecOutput(id, stream) => self.pump_exec(id, stream),
            Source::Signals => self.read_signals(),
            Source::Input => {
                if self.input.as_mut().is_some_and(|sink| !sink.flush()) {
                    self.input = None;
                }
                self.serve_unthrottled();
            }
            Source::ExecInput(id) => {
                self.flush_exec_input(id);
                self.serve_unthrottled();
            }
            Source::Listener => self.accept(),
            // It is advanced in every turn.
            Source::Log => {}
            Source::Client(id) => self.wake_client(id, events),
        }
    }

    /// Frames that waited for a process to read may be waiting in buffers, where poll doesn't see them.
    fn serve_unthrottled(&mut self) {
        let ids: Vec<u64> = self.clients.iter().map(|client| client.id).collect();
        for id in ids {
            self.serve(id);
        }
    }

    fn wake_client(&mut self, id: u64, events: i16) {
        if events & (libc::POLLIN | libc::POLLHUP | libc::POLLERR) != 0 {
            let alive = self.client(id).is_some_and(super::Client::fill);
            self.serve(id);
            if !alive {
                self.forget(id);
            }
        }
    }

    fn read_signals(&mut self) {
        let mut children = false;
        while let Ok(Some(info)) = self.signals.read_signal() {
            children |= i32::try_from(info.ssi_signo) == Ok(libc::SIGCHLD);
        }
        // The others (TERM, INT, HUP, …) don't end a shim: only its container does.
        if children {
            self.reap();
        }
    }
}
