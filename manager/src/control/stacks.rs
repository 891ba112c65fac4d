//! Stacks: applied and removed.

use api::control::{
    ApplyStackReply, ApplyStackRequest, Recreate as WireRecreate, RemoveStackReply, RemoveStackRequest,
};
use tonic::Status;

use super::{ControlApi, to_status};
use crate::state::{ApplyStack, Command, Recreate, State, changed_services};
use crate::store::id_source;

fn recreate(number: i32) -> Result<Recreate, Status> {
    match WireRecreate::try_from(number) {
        Ok(WireRecreate::Changed) => Ok(Recreate::Changed),
        Ok(WireRecreate::Force) => Ok(Recreate::Force),
        Ok(WireRecreate::Never) => Ok(Recreate::Never),
        Err(_) => Err(Status::invalid_argument(format!("there is no way {number} to recreate containers"))),
    }
}

/// The request in the words of the state.
pub fn declared(request: ApplyStackRequest) -> Result<ApplyStack, Status> {
    let stack = request.stack.ok_or_else(|| Status::invalid_argument("the request has no stack"))?;
    let stack = model::Stack::try_from(stack).map_err(Status::from)?;
    Ok(ApplyStack {
        recreate: recreate(request.recreate)?,
        remove_orphans: request.remove_orphans,
        start_stopped: request.start_stopped,
        no_start: request.no_start,
        force: request.force,
        renew_volumes: request.renew_volumes,
        keep_replicas: request.keep_replicas,
        ids: id_source().map_err(|error| to_status(&error))?,
        stack,
    })
}

pub async fn apply(api: &ControlApi, request: ApplyStackRequest) -> Result<ApplyStackReply, Status> {
    let apply = declared(request)?;
    let applied = api.change(Command::ApplyStack(Box::new(apply.clone()))).await?;
    let changes = changed_services(&applied.before, &applied.after, &apply);
    Ok(ApplyStackReply {
        created: changes.created,
        updated: changes.updated,
        unchanged: changes.unchanged,
        removed: changes.removed,
        version: applied.after.version,
    })
}

pub async fn remove(api: &ControlApi, request: RemoveStackRequest) -> Result<RemoveStackReply, Status> {
    let RemoveStackRequest { stack, services } = request;
    let command = Command::RemoveStack { stack: stack.clone(), services };
    let applied = api.change(command).await?;
    let removed = newly_removed(&applied.before, &applied.after, &stack);
    Ok(RemoveStackReply { removed, version: applied.after.version })
}

fn newly_removed(before: &State, after: &State, stack: &str) -> Vec<String> {
    let was = |service: &model::Service| before.services.get(&service.id).is_some_and(|before| before.removing);
    let removing = after.services_of_stack(stack).filter(|service| service.removing && !was(service));
    removing.map(|service| service.spec.key().to_owned()).collect()
}
