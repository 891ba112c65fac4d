//! What clients ask, and the answers.

use model::shim::frame::{self, Frame, Kind};
use model::shim::{ErrorClass, PROTOCOL_VERSION, Reply, Request, State, Status};

use super::clients::Role;
use super::{Phase, Supervisor};
use crate::error::{Result, ShimError};

impl Supervisor {
    /// Handles every whole frame that a client has sent, until its process wants no more input.
    pub(super) fn serve(&mut self, id: u64) {
        let Some(input) = self.client(id).map(super::Client::take_input) else { return };
        let mut taken = 0;
        while self.clients.iter().any(|client| client.id == id && !client.is_closing() && !self.is_throttled(client)) {
            let handled = match frame::decode(&input[taken..]) {
                Ok(None) => break,
                Ok(Some((Frame { kind, payload }, length))) => {
                    taken += length;
                    self.handle(id, kind, payload)
                }
                Err(error) => Err(error.into()),
            };
            if let Err(error) = handled {
                self.refuse(id, &error);
            }
        }
        if let Some(client) = self.client(id) {
            client.put_back(input, taken);
        }
    }

    fn refuse(&mut self, id: u64, error: &ShimError) {
        let failure = self.failure_of(error);
        let Some(client) = self.client(id) else { return };
        client.reply(&Reply::Error(failure));
        // What follows broken framing or an unknown version can't be understood; other mistakes leave the connection whole.
        let beyond_repair =
            matches!(error, ShimError::Frame(_) | ShimError::ProtocolVersion { .. } | ShimError::Message(_));
        if beyond_repair || client.role == Role::New && error.class() == ErrorClass::Protocol {
            client.close();
        }
    }

    fn handle(&mut self, id: u64, kind: Kind, payload: &[u8]) -> Result<()> {
        match kind {
            Kind::Control => {
                let request = serde_json::from_slice(payload).map_err(ShimError::Message)?;
                if let Some(reply) = self.decide(id, request)? {
                    self.answer(id, &reply);
                }
                Ok(())
            }
            Kind::Stdin => self.take_input(id, payload),
            Kind::Stdout | Kind::Stderr => {
                Err(ShimError::Misplaced { what: "an output frame", why: "only the shim sends output" })
            }
        }
    }

    fn take_input(&mut self, id: u64, bytes: &[u8]) -> Result<()> {
        match self.role(id) {
            Role::Attached { stdin: true, .. } => self.feed_container(bytes),
            Role::Exec(exec) => self.feed_exec(exec, bytes),
            _ => return Err(ShimError::Misplaced { what: "a stdin frame", why: "attach with stdin, or exec, first" }),
        }
        Ok(())
    }

    fn role(&self, id: u64) -> Role {
        self.clients.iter().find(|client| client.id == id).map_or(Role::New, |client| client.role)
    }

    /// The direct reply, if it can be given at once.
    fn decide(&mut self, id: u64, request: Request) -> Result<Option<Reply>> {
        let role = self.role(id);
        if role == Role::New && !matches!(request, Request::Hello { .. }) {
            return Err(ShimError::Misplaced { what: "a request", why: "say hello first" });
        }
        match request {
            Request::Hello { version } => return self.greet(id, version).map(Some),
            Request::Wait => {
                if let Some(client) = self.client(id) {
                    client.waits = true;
                }
                return Ok(None);
            }
            Request::Start => {
                if !matches!(self.phase, Phase::Created) || self.failure.is_some() {
                    return Err(self.wrong_state("start"));
                }
                self.begin_start(Some(id));
                return Ok(None);
            }
            Request::Kill { signal, all } => self.kill(role, signal, all)?,
            Request::Exec(request) => {
                if role != Role::Control {
                    return Err(ShimError::Misplaced { what: "exec", why: "this connection is a stream already" });
                }
                self.exec(id, &request)?;
                return Ok(None);
            }
            Request::Attach { stdin, stdout, stderr, lossless } => {
                return self.attach(id, role, Role::Attached { stdin, stdout, stderr, lossless }).map(Some);
            }
            Request::Resize(size) => match role {
                Role::Exec(exec) => self.resize_exec(exec, size)?,
                _ => self.resize(size)?,
            },
            Request::CloseStdin => match role {
                Role::Exec(exec) => self.close_exec_input(exec),
                _ => self.close_container_input(),
            },
            Request::Pause => self.set_paused("pause", true)?,
            Request::Resume => self.set_paused("resume", false)?,
            Request::State => return Ok(Some(Reply::State(self.state()))),
            Request::Stats => return Ok(Some(Reply::Stats(Box::new(self.cgroup.stats(crate::time::now()))))),
        }
        Ok(Some(Reply::Ok))
    }

    fn greet(&mut self, id: u64, version: u32) -> Result<Reply> {
        if version != PROTOCOL_VERSION {
            return Err(ShimError::ProtocolVersion { client: version, shim: PROTOCOL_VERSION });
        }
        let hello = Reply::Hello {
            version: PROTOCOL_VERSION,
            container_id: self.spec.container_id.clone(),
            run_generation: self.spec.run_generation,
        };
        if let Some(client) = self.client(id)
            && client.role == Role::New
        {
            client.role = Role::Control;
        }
        Ok(hello)
    }

    fn attach(&mut self, id: u64, role: Role, attached: Role) -> Result<Reply> {
        if role != Role::Control {
            return Err(ShimError::Misplaced { what: "attach", why: "this connection is a stream already" });
        }
        if matches!(self.phase, Phase::Ended) {
            return Err(self.wrong_state("attach"));
        }
        if let Some(client) = self.client(id) {
            client.role = attached;
            client.waits = true;
        }
        Ok(Reply::Attached)
    }

    fn kill(&mut self, role: Role, signal: i32, all: bool) -> Result<()> {
        if !(1..=64).contains(&signal) {
            return Err(ShimError::Signal(signal));
        }
        if let Role::Exec(exec) = role {
            self.kill_exec(exec, signal);
            return Ok(());
        }
        if matches!(self.phase, Phase::Ended) {
            return Err(self.wrong_state("kill"));
        }
        if all {
            self.cgroup.signal(signal);
        } else {
            // The process is our unreaped child, so its number can't have been given to another.
            crate::cgroup::send(self.pid, signal);
        }
        if self.paused && signal == libc::SIGKILL {
            // On cgroup v1 a frozen process dies only once thawed.
            self.cgroup.set_frozen(false)?;
            self.paused = false;
        }
        Ok(())
    }

    fn set_paused(&mut self, action: &'static str, paused: bool) -> Result<()> {
        if !matches!(self.phase, Phase::Running) || self.paused == paused {
            return Err(self.wrong_state(action));
        }
        self.cgroup.set_frozen(paused)?;
        self.paused = paused;
        Ok(())
    }

    fn state(&self) -> State {
        let status = match self.phase {
            Phase::Created | Phase::Starting => Status::Created,
            Phase::Running if self.paused => Status::Paused,
            Phase::Running => Status::Running,
            Phase::Ended => Status::Stopped,
        };
        State {
            status,
            pid: self.pid,
            started_at: self.started_at,
            execs: self.execs.iter().filter(|exec| exec.is_alive()).map(|exec| exec.pid).collect(),
            log_lines_lost: self.log.as_ref().map_or(0, crate::log::Log::lost),
        }
    }
}
