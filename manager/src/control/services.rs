//! Services by themselves: created, changed, removed.

use api::control::{
    CreateServiceReply, CreateServiceRequest, RemoveServiceReply, RemoveServiceRequest, UpdateServiceReply,
    UpdateServiceRequest,
};
use model::ServiceSpec;
use tonic::Status;

use super::{ControlApi, parse, to_status};
use crate::state::Command;
use crate::store::id_source;

fn spec(spec: Option<api::types::ServiceSpec>) -> Result<Box<ServiceSpec>, Status> {
    let spec = spec.ok_or_else(|| Status::invalid_argument("the request has no spec"))?;
    Ok(Box::new(ServiceSpec::try_from(spec)?))
}

pub async fn create(api: &ControlApi, request: CreateServiceRequest) -> Result<CreateServiceReply, Status> {
    let spec = spec(request.spec)?;
    let name = spec.name.clone();
    let ids = id_source().map_err(|error| to_status(&error))?;
    let applied = api.change(Command::CreateService { spec, ids }).await?;
    let service = applied.after.service_named(&name);
    let service = service.ok_or_else(|| Status::aborted(format!("service {name} is gone again")))?;
    Ok(CreateServiceReply { id: service.id.to_string(), version: applied.after.version })
}

pub async fn update(api: &ControlApi, request: UpdateServiceRequest) -> Result<UpdateServiceReply, Status> {
    let UpdateServiceRequest { service, spec: wanted, seen, rollback } = request;
    let service = parse(&service)?;
    let command = match rollback {
        true => Command::RollbackService { service, failed: None, seen },
        false => Command::UpdateService { service, spec: spec(wanted)?, seen },
    };
    let applied = api.change(command).await?;
    Ok(UpdateServiceReply { version: applied.after.version })
}

pub async fn remove(api: &ControlApi, request: RemoveServiceRequest) -> Result<RemoveServiceReply, Status> {
    let RemoveServiceRequest { service, seen } = request;
    let applied = api.change(Command::WithdrawService { service: parse(&service)?, seen }).await?;
    Ok(RemoveServiceReply { version: applied.after.version })
}
