//! `exec`.

use api::node as wire;
use api::node::exec_input;
use api::node::stream_output::Output;
use model::shim::ExecRequest;
use model::{ContainerId, ContainerPhase};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::session::{End, Input, Sender, output, pump_output, spawn_input};
use super::{NodeService, Outgoing, terminal_size};
use crate::Error;
use crate::containers::Containers;
use crate::shim_client::{self, Session};

/// Messages that wait for a slow client; beyond that the process waits.
const AHEAD: usize = 8;

pub async fn exec(
    service: &NodeService,
    mut inputs: Streaming<wire::ExecInput>,
) -> Result<Outgoing<wire::StreamOutput>, Status> {
    let first = inputs.message().await?.and_then(|message| message.input);
    let Some(exec_input::Input::Start(start)) = first else {
        return Err(Status::invalid_argument("the first message of an exec must be its start"));
    };
    let id = service.resolve(&start.container)?;
    let container = service.containers().get(id)?;
    match container.status.phase {
        ContainerPhase::Running => {}
        ContainerPhase::Paused => {
            let message = format!("container {} is paused: unpause it before exec", container.name);
            return Err(Status::failed_precondition(message));
        }
        _ => return Err(Error::NotRunning { name: container.name }.into()),
    }
    let detach = start.detach;
    let bundle = service.containers().bundle(id);
    let noted = Noted::create(service.containers().clone(), id, &start.args)?;
    let (session, _) = shim_client::exec(&bundle, exec_request(start)?).await.map_err(Error::from)?;
    noted.started();
    let (sender, receiver) = mpsc::channel(AHEAD);
    // The channel is new and empty.
    let _ = sender.try_send(Ok(output(Output::Started(true))));
    if detach {
        tokio::spawn(noted.unheard(session));
    } else {
        tokio::spawn(serve(session, inputs, sender, noted));
    }
    Ok(ReceiverStream::new(receiver))
}

async fn serve(session: Session, inputs: Streaming<wire::ExecInput>, sender: Sender, noted: Noted) {
    let feeder = spawn_input(inputs, session.input, read, sender.clone());
    let last = match pump_output(session.output, &sender).await {
        End::Exited(code) => {
            noted.ended(code);
            Ok(output(Output::ExitCode(code.into())))
        }
        End::Closed => Err(Status::aborted("the container ended, and the process with it")),
        End::Failed(status) => Err(status),
        End::ClientGone => return feeder.abort(),
    };
    feeder.abort();
    // The client may have gone.
    let _ = sender.send(last).await;
}

/// What users are told of one process.
struct Noted {
    containers: Containers,
    container: ContainerId,
    id: String,
    command: String,
}

impl Noted {
    fn create(containers: Containers, container: ContainerId, args: &[String]) -> Result<Self, Status> {
        let id = ContainerId::from_random(crate::random::bits256()?).to_string();
        let noted = Self { containers, container, id, command: args.join(" ") };
        noted.tell(&format!("exec_create: {}", noted.command), &[]);
        Ok(noted)
    }

    fn tell(&self, action: &str, more: &[(&str, String)]) {
        let own = [("execID", self.id.clone())];
        self.containers.tell(self.container, action, &[&own, more].concat());
    }

    fn started(&self) {
        self.tell(&format!("exec_start: {}", self.command), &[]);
    }

    fn ended(&self, code: u8) {
        self.tell("exec_die", &[("exitCode", code.to_string())]);
    }

    /// Stays with a process that nobody listens to, to tell of its end.
    async fn unheard(self, mut session: Session) {
        if let Ok((code, _)) = session.output.collect(0).await {
            self.ended(code);
        }
    }
}

fn read(message: wire::ExecInput) -> Option<Input> {
    match message.input? {
        exec_input::Input::Start(_) => None,
        exec_input::Input::Stdin(bytes) => Some(Input::Stdin(bytes)),
        exec_input::Input::CloseStdin(_) => Some(Input::CloseStdin),
        exec_input::Input::Resize(size) => Some(Input::Resize(size)),
        exec_input::Input::Signal(name) => Some(Input::Signal(name)),
    }
}

/// What isn't said (environment, user, directory) is as the container has it, which the shim knows. As in Docker the process
/// goes on when its client has gone, but at the end of its input.
fn exec_request(start: wire::ExecStart) -> Result<ExecRequest, Status> {
    let wire::ExecStart { container: _, args, env, user, working_dir, tty, stdin, privileged, detach, size } = start;
    if args.first().is_none_or(String::is_empty) {
        return Err(Status::invalid_argument("no command specified"));
    }
    let mut env = env;
    if tty {
        env.entry("TERM".into()).or_insert_with(|| "xterm".into());
    }
    Ok(ExecRequest {
        args,
        env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        cwd: working_dir.filter(|dir| !dir.is_empty()),
        user: user.filter(|user| !user.is_empty()),
        additional_gids: Vec::new(),
        terminal: tty,
        terminal_size: size.filter(|_| tty).map(terminal_size).transpose()?,
        stdin: stdin && !detach,
        capabilities: None,
        no_new_privileges: None,
        privileged,
        kill_on_disconnect: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(args: &[&str]) -> wire::ExecStart {
        wire::ExecStart { args: args.iter().map(|arg| (*arg).to_owned()).collect(), ..wire::ExecStart::default() }
    }

    #[test]
    fn a_command_is_needed() {
        assert!(exec_request(start(&[])).is_err());
        assert!(exec_request(start(&[""])).is_err());
    }

    #[test]
    fn what_is_not_said_is_left_to_the_container() {
        let request = exec_request(wire::ExecStart { user: Some(String::new()), ..start(&["sh"]) }).unwrap();
        assert_eq!((request.user, request.cwd, request.env), (None, None, Vec::<String>::new()));
    }

    #[test]
    fn a_terminal_has_a_type_and_a_size() {
        let size = Some(wire::TerminalSize { rows: 24, columns: 80 });
        let request =
            exec_request(wire::ExecStart { tty: true, size, detach: true, stdin: true, ..start(&["sh"]) }).unwrap();
        assert_eq!(request.env, ["TERM=xterm"]);
        assert_eq!(request.terminal_size.unwrap().cols, 80);
        assert!(!request.stdin);
        let size = Some(wire::TerminalSize { rows: 24, columns: 80_000 });
        assert!(exec_request(wire::ExecStart { tty: true, size, ..start(&["sh"]) }).is_err());
    }
}
