//! The control API: what clients ask of the managers. Checks what comes in, proposes it, answers in the wire's words.

mod backup;
mod contents;
mod locate;
mod nodes;
mod plan;
mod services;
mod stacks;
mod status;
mod unlock_key;
mod waiting;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;

use api::control::control_server::Control;
use api::control::{
    ApplyStackReply, ApplyStackRequest, BackupRequest, CreateConfigReply, CreateConfigRequest, CreateSecretReply,
    CreateSecretRequest, CreateServiceReply, CreateServiceRequest, GetClusterReply, GetClusterRequest, JoinTokenReply,
    JoinTokenRequest, ListConfigsReply, ListConfigsRequest, ListNetworksReply, ListNetworksRequest, ListSecretsReply,
    ListSecretsRequest, ListServicesReply, ListServicesRequest, ListTasksReply, ListTasksRequest, LocateReply,
    LocateRequest, PlanReply, PlanRequest, RemoveConfigReply, RemoveConfigRequest, RemoveNodeReply, RemoveNodeRequest,
    RemoveSecretReply, RemoveSecretRequest, RemoveServiceReply, RemoveServiceRequest, RemoveStackReply,
    RemoveStackRequest, RotateAuthorityReply, RotateAuthorityRequest, SetIntentReply, SetIntentRequest, UnlockKeyReply,
    UnlockKeyRequest, UpdateClusterReply, UpdateClusterRequest, UpdateNodeReply, UpdateNodeRequest, UpdateServiceReply,
    UpdateServiceRequest, WatchStackRequest,
};
use model::{ServiceId, TaskId};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::state::{Command, IntentAction, State};
use crate::store::{Store, id_source};

pub use nodes::{check, token};
pub use status::to_status;
use watch::Scope;

/// The service of this API.
pub struct ControlApi {
    store: Arc<Store>,
}

impl ControlApi {
    /// Serves this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn change(&self, command: Command) -> Result<crate::store::Applied, Status> {
        self.store.propose(vec![command]).await.map_err(|error| to_status(&error))
    }
}

fn parse<T: std::str::FromStr<Err = model::ParseIdError>>(text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: model::ParseIdError| Status::invalid_argument(error.to_string()))
}

fn is_of_stack(service: &model::Service, stack: Option<&str>) -> bool {
    stack.is_none_or(|stack| service.spec.stack.as_ref().is_some_and(|member| member.stack == stack))
}

fn intent_action(number: i32) -> Result<IntentAction, Status> {
    match api::control::IntentAction::try_from(number) {
        Ok(api::control::IntentAction::Stop) => Ok(IntentAction::Stop),
        Ok(api::control::IntentAction::Start) => Ok(IntentAction::Start),
        Ok(api::control::IntentAction::Restart) => Ok(IntentAction::Restart),
        Err(_) => {
            Err(Status::invalid_argument(format!("there is no action {number}: expected stop, start or restart")))
        }
    }
}

fn intent(request: SetIntentRequest) -> Result<Command, Status> {
    let SetIntentRequest { tasks, action } = request;
    let tasks = tasks.iter().map(|task| parse(task)).collect::<Result<Vec<TaskId>, Status>>()?;
    let ids = id_source().map_err(|error: Error| to_status(&error))?;
    Ok(Command::SetIntent { tasks, action: intent_action(action)?, ids })
}

fn tasks_of_services<'a>(state: &'a State, services: &[ServiceId], stack: Option<&'a str>) -> Vec<&'a model::Task> {
    let wanted = |task: &&model::Task| {
        let service = state.services.get(&task.service);
        (services.is_empty() || services.contains(&task.service))
            && (stack.is_none() || service.is_some_and(|service| is_of_stack(service, stack)))
    };
    state.tasks.values().filter(wanted).collect()
}

#[tonic::async_trait]
impl Control for ControlApi {
    type WatchStackStream = watch::StackStream;
    type BackupStream = backup::BackupStream;

    async fn unlock_key(&self, request: Request<UnlockKeyRequest>) -> Result<Response<UnlockKeyReply>, Status> {
        unlock_key::unlock_key(self, request.into_inner()).await.map(Response::new)
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        backup::backup(self, request.into_inner()).await.map(Response::new)
    }

    async fn get_cluster(&self, _: Request<GetClusterRequest>) -> Result<Response<GetClusterReply>, Status> {
        Ok(Response::new(nodes::cluster(self)))
    }

    async fn locate(&self, request: Request<LocateRequest>) -> Result<Response<LocateReply>, Status> {
        locate::locate(&self.store.snapshot(), &request.into_inner().name).map(Response::new)
    }

    async fn join_token(&self, request: Request<JoinTokenRequest>) -> Result<Response<JoinTokenReply>, Status> {
        nodes::join_token(self, request.into_inner()).await.map(Response::new)
    }

    async fn rotate_authority(
        &self,
        _: Request<RotateAuthorityRequest>,
    ) -> Result<Response<RotateAuthorityReply>, Status> {
        nodes::rotate_authority(self).await.map(Response::new)
    }

    async fn update_cluster(
        &self,
        request: Request<UpdateClusterRequest>,
    ) -> Result<Response<UpdateClusterReply>, Status> {
        nodes::update_cluster(self, request.into_inner()).await.map(Response::new)
    }

    async fn update_node(&self, request: Request<UpdateNodeRequest>) -> Result<Response<UpdateNodeReply>, Status> {
        nodes::update_node(self, request.into_inner()).await.map(Response::new)
    }

    async fn remove_node(&self, request: Request<RemoveNodeRequest>) -> Result<Response<RemoveNodeReply>, Status> {
        nodes::remove_node(self, request.into_inner()).await.map(Response::new)
    }

    async fn apply_stack(&self, request: Request<ApplyStackRequest>) -> Result<Response<ApplyStackReply>, Status> {
        stacks::apply(self, request.into_inner()).await.map(Response::new)
    }

    async fn remove_stack(&self, request: Request<RemoveStackRequest>) -> Result<Response<RemoveStackReply>, Status> {
        stacks::remove(self, request.into_inner()).await.map(Response::new)
    }

    async fn set_intent(&self, request: Request<SetIntentRequest>) -> Result<Response<SetIntentReply>, Status> {
        let applied = self.change(intent(request.into_inner())?).await?;
        Ok(Response::new(SetIntentReply { version: applied.after.version }))
    }

    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanReply>, Status> {
        plan::plan(&self.store.snapshot(), request.into_inner()).map(Response::new)
    }

    async fn create_service(
        &self,
        request: Request<CreateServiceRequest>,
    ) -> Result<Response<CreateServiceReply>, Status> {
        services::create(self, request.into_inner()).await.map(Response::new)
    }

    async fn update_service(
        &self,
        request: Request<UpdateServiceRequest>,
    ) -> Result<Response<UpdateServiceReply>, Status> {
        services::update(self, request.into_inner()).await.map(Response::new)
    }

    async fn remove_service(
        &self,
        request: Request<RemoveServiceRequest>,
    ) -> Result<Response<RemoveServiceReply>, Status> {
        services::remove(self, request.into_inner()).await.map(Response::new)
    }

    async fn create_secret(
        &self,
        request: Request<CreateSecretRequest>,
    ) -> Result<Response<CreateSecretReply>, Status> {
        contents::create_secret(self, request.into_inner()).await.map(Response::new)
    }

    async fn create_config(
        &self,
        request: Request<CreateConfigRequest>,
    ) -> Result<Response<CreateConfigReply>, Status> {
        contents::create_config(self, request.into_inner()).await.map(Response::new)
    }

    async fn remove_secret(
        &self,
        request: Request<RemoveSecretRequest>,
    ) -> Result<Response<RemoveSecretReply>, Status> {
        contents::remove_secret(self, request.into_inner()).await?;
        Ok(Response::new(RemoveSecretReply {}))
    }

    async fn remove_config(
        &self,
        request: Request<RemoveConfigRequest>,
    ) -> Result<Response<RemoveConfigReply>, Status> {
        contents::remove_config(self, request.into_inner()).await?;
        Ok(Response::new(RemoveConfigReply {}))
    }

    async fn list_secrets(&self, _: Request<ListSecretsRequest>) -> Result<Response<ListSecretsReply>, Status> {
        Ok(Response::new(contents::secrets(&self.store.snapshot())))
    }

    async fn list_configs(&self, _: Request<ListConfigsRequest>) -> Result<Response<ListConfigsReply>, Status> {
        Ok(Response::new(contents::configs(&self.store.snapshot())))
    }

    async fn list_services(
        &self,
        request: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesReply>, Status> {
        let stack = request.into_inner().stack;
        let state = self.store.snapshot();
        let services = state.services.values().filter(|service| is_of_stack(service, stack.as_deref()));
        Ok(Response::new(ListServicesReply { services: services.cloned().map(Into::into).collect() }))
    }

    async fn list_tasks(&self, request: Request<ListTasksRequest>) -> Result<Response<ListTasksReply>, Status> {
        let ListTasksRequest { stack, services } = request.into_inner();
        let services = services.iter().map(|service| parse(service)).collect::<Result<Vec<ServiceId>, Status>>()?;
        let state = self.store.snapshot();
        let tasks = tasks_of_services(&state, &services, stack.as_deref());
        let concerned: BTreeSet<ServiceId> = tasks.iter().map(|task| task.service).collect();
        let concerned: Vec<_> = concerned.iter().filter_map(|id| state.services.get(id)).collect();
        let waiting = waiting::explain(&state, &concerned).reasons;
        Ok(Response::new(ListTasksReply { tasks: tasks.into_iter().cloned().map(Into::into).collect(), waiting }))
    }

    async fn list_networks(
        &self,
        request: Request<ListNetworksRequest>,
    ) -> Result<Response<ListNetworksReply>, Status> {
        let stack = request.into_inner().stack;
        let state = self.store.snapshot();
        let wanted = |network: &&model::Network| stack.is_none() || network.spec.stack == stack;
        let networks = state.networks.values().filter(wanted).cloned().map(Into::into).collect();
        Ok(Response::new(ListNetworksReply { networks }))
    }

    async fn watch_stack(
        &self,
        request: Request<WatchStackRequest>,
    ) -> Result<Response<Self::WatchStackStream>, Status> {
        let WatchStackRequest { stack, services } = request.into_inner();
        let services = services.iter().map(|service| parse(service)).collect::<Result<Vec<ServiceId>, Status>>()?;
        if !services.is_empty() {
            return Ok(Response::new(watch::watch(self.store.clone(), Scope::Services(services))));
        }
        model::check_project_name(&stack).map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(Response::new(watch::watch(self.store.clone(), Scope::Stack(stack))))
    }
}
