//! What a change would lead to, in the wire's words.

use api::control::{PlanAction, PlanKind, PlanReply, PlanRequest, PlanStep, plan_request::Change};
use tonic::Status;

use super::{intent, stacks, to_status};
use crate::foresee::{Action, Kind, Step, foresee};
use crate::state::{Command, State};
use crate::store::{id_source, now};

/// Answers on this state alone.
pub fn plan(state: &State, request: PlanRequest) -> Result<PlanReply, Status> {
    let change = request.change.ok_or_else(|| Status::invalid_argument("the request has no change"))?;
    let (stack, command) = match change {
        Change::ApplyStack(request) => {
            let apply = stacks::declared(request)?;
            (apply.stack.name.clone(), Command::ApplyStack(Box::new(apply)))
        }
        Change::RemoveStack(request) => {
            let command = Command::RemoveStack { stack: request.stack.clone(), services: request.services };
            (request.stack, command)
        }
        Change::SetIntent(request) => {
            let command = intent(request)?;
            (stack_of(state, &command).unwrap_or_default(), command)
        }
    };
    let mut ids = id_source().map_err(|error| to_status(&error))?;
    let steps = foresee(state, &stack, command, now(), &mut ids);
    let steps = steps.map_err(|refusal| to_status(&refusal.into()))?;
    Ok(PlanReply { steps: steps.into_iter().map(step).collect(), version: state.version })
}

/// The stack of the first of the tasks: those of one request are of one.
fn stack_of(state: &State, command: &Command) -> Option<String> {
    let Command::SetIntent { tasks, .. } = command else { return None };
    let task = state.tasks.get(tasks.first()?)?;
    Some(state.services.get(&task.service)?.spec.stack.as_ref()?.stack.clone())
}

fn step(step: Step) -> PlanStep {
    let Step { kind, name, action } = step;
    let kind = match kind {
        Kind::Network => PlanKind::Network,
        Kind::Secret => PlanKind::Secret,
        Kind::Config => PlanKind::Config,
        Kind::Container => PlanKind::Container,
    };
    let action = match action {
        Action::Unchanged => PlanAction::Unchanged,
        Action::Created => PlanAction::Created,
        Action::Updated => PlanAction::Updated,
        Action::Started => PlanAction::Started,
        Action::Restarted => PlanAction::Restarted,
        Action::Healthy => PlanAction::Healthy,
        Action::Exited => PlanAction::Exited,
        Action::Stopped => PlanAction::Stopped,
        Action::Removed => PlanAction::Removed,
    };
    PlanStep { kind: kind.into(), name, action: action.into() }
}
