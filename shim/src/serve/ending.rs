//! From the exit of the container's first process to the exit of the shim.

use std::time::{Duration, Instant};

use model::shim::{EXIT_FILE, ExitRecord, Reply, SPEC_VERSION};

use super::{Client, DRAIN, Phase, Supervisor};
use crate::error::Result;

/// Output is read no longer than this after the end, even from processes that never stop writing.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// Clients get this long to read what is left for them.
const FAREWELL: Duration = Duration::from_millis(500);
/// What a log's server hasn't taken yet is offered to it for so long.
const LAST_LINES: Duration = Duration::from_secs(2);
/// Those that must get everything get this long for each piece.
const SLOW_FAREWELL: Duration = Duration::from_secs(10);
/// A record that can't be written is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// How the first process ended.
pub struct Ended {
    status: i32,
    at: u64,
    /// When output is given up.
    pub deadline: Instant,
}

/// Exit code and signal of a wait(2) status.
pub fn decode(status: i32) -> (u8, Option<i32>) {
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        (u8::try_from(128 + signal).unwrap_or(u8::MAX), Some(signal))
    } else {
        (u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX), None)
    }
}

impl Supervisor {
    /// Reaps every child that ended: the first process, execs, and orphans that came to us. A single unreaped process would
    /// keep the PID namespace from ending.
    pub(super) fn reap(&mut self) {
        loop {
            let mut status = 0;
            // SAFETY: waitpid(2) writes to one valid integer.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG | libc::__WALL) };
            if pid <= 0 {
                return;
            }
            if pid == self.pid && self.ended.is_none() {
                self.note_end(status);
            } else {
                self.note_exec_end(pid, decode(status).0);
            }
        }
    }

    fn note_end(&mut self, status: i32) {
        // Its last words about the start are in the pipe by now.
        self.note_start();
        self.ended = Some(Ended { status, at: crate::time::now(), deadline: Instant::now() + DRAIN });
        self.phase = Phase::Ended;
        self.outcome = None;
        self.input = None;
        if self.cgroup.processes().is_empty() {
            return;
        }
        // Without a PID namespace of its own, or in execs, processes may have outlived the first; the container is over.
        if let Err(error) = self.cgroup.kill(|| {}) {
            // Zombies that we must reap count too; those go in the next turn.
            if !self.execs.is_empty() {
                return;
            }
            self.complain(&error.to_string());
        }
    }

    /// Whether all that the container's end still needs has come.
    pub(super) fn is_over(&mut self) -> bool {
        let Some(ended) = &self.ended else { return false };
        let closed = self.output.stdout.is_none() && self.output.stderr.is_none();
        if closed && self.execs.is_empty() {
            return true;
        }
        let now = Instant::now();
        if now < ended.deadline {
            return false;
        }
        let held = self.clients.iter().any(Client::holds_output);
        let limit = ended.deadline + if held { SLOW_FAREWELL } else { DRAIN_LIMIT };
        // Output that is there already is never left behind, unless it never ends.
        now >= limit || !self.has_unread_output() && self.execs.is_empty()
    }

    fn has_unread_output(&self) -> bool {
        let mut polled: Vec<libc::pollfd> = self
            .output_fds()
            .into_iter()
            .flatten()
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: the vector is valid for its length; a timeout of 0 doesn't block.
        unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) };
        polled.iter().any(|poll| poll.revents & libc::POLLIN != 0)
    }

    /// Writes the record, removes what the container had, tells everybody.
    ///
    /// # Errors
    /// The reason for which the container never ran.
    pub(super) fn finish(mut self) -> Result<ExitRecord> {
        self.close_output();
        if let Some(log) = &mut self.log {
            log.drain(LAST_LINES);
        }
        let record = self.record();
        if let Some(error) = self.failure.take() {
            self.remove_container();
            self.bundle.release_reserve();
            let failure = self.failure_of(&error);
            // Clients that connect from now on find error.json instead.
            let _ = self.bundle.write(model::shim::ERROR_FILE, &serde_json::to_vec(&failure).unwrap_or_default());
            self.say_goodbye(&Reply::Error(failure));
            self.bundle.unlisten();
            return Err(error);
        }
        // A container that goes at its end has no use for a record that outlives the machine.
        let durable = self.spec.snapshot.as_ref().is_none_or(|snapshot| !snapshot.volatile);
        while let Err(error) = self.bundle.write_exit_record(&record, durable) {
            // The record is not lost while the shim lives: clients are told, and writing is tried until it works.
            self.complain(&format!("{error}; trying again ({EXIT_FILE})"));
            self.accept();
            self.say_goodbye(&Reply::Exit(record.clone()));
            std::thread::sleep(RETRY);
        }
        self.remove_container();
        self.accept();
        self.say_goodbye(&Reply::Exit(record.clone()));
        self.bundle.unlisten();
        Ok(record)
    }

    fn record(&self) -> ExitRecord {
        let (exit_code, signal) = self.ended.as_ref().map_or((u8::MAX, None), |ended| decode(ended.status));
        ExitRecord {
            version: SPEC_VERSION,
            run_generation: self.spec.run_generation,
            exit_code,
            signal,
            oom_killed: self.cgroup.oom_kills().is_some_and(|kills| kills > 0),
            started_at: self.started_at.unwrap_or(0),
            finished_at: self.ended.as_ref().map_or(0, |ended| ended.at),
            log_lines_lost: self.log.as_ref().map_or(0, crate::log::Log::lost),
            reason: None,
        }
    }

    fn remove_container(&mut self) {
        let emptied = self.cgroup.kill(reap_all);
        let results = [emptied, self.cgroup.remove(), self.runtime.delete()];
        for error in results.into_iter().filter_map(Result::err) {
            self.complain(&error.to_string());
        }
    }

    /// Sends `reply` to all that wait for it, and gives everybody a moment to read.
    fn say_goodbye(&mut self, reply: &Reply) {
        let begin = Instant::now();
        let (mut left, mut moved) = (usize::MAX, begin);
        let starter = self.starter.take();
        loop {
            let ids: Vec<u64> = self.clients.iter().map(|client| client.id).collect();
            for id in ids {
                // A request that came just before the end still gets its answer.
                let _ = self.client(id).is_some_and(Client::fill);
                self.serve(id);
            }
            for client in &mut self.clients {
                if client.waits || Some(client.id) == starter {
                    client.reply(reply);
                    client.waits = false;
                    client.close();
                }
            }
            self.flush_clients();
            let now = Instant::now();
            let waiting: usize =
                self.clients.iter().filter(|client| client.must_be_waited_for()).map(Client::unsent).sum();
            if waiting < left {
                (left, moved) = (waiting, now);
            }
            let patient = waiting > 0 && now < moved + SLOW_FAREWELL;
            if !self.clients.iter().any(Client::has_output) || now >= begin + FAREWELL && !patient {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Reaps whatever there is to reap.
pub fn reap_all() {
    // SAFETY: waitpid(2) accepts a null status.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) } > 0 {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_dockers_codes() {
        assert_eq!(decode(0), (0, None));
        assert_eq!(decode(37 << 8), (37, None));
        assert_eq!(decode(libc::SIGKILL), (137, Some(libc::SIGKILL)));
        assert_eq!(decode(libc::SIGSEGV | 0x80), (139, Some(libc::SIGSEGV)));
    }
}
