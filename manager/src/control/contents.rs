//! Secrets and configs by themselves: given, listed, removed.

use api::control::{
    CreateConfigReply, CreateConfigRequest, CreateSecretReply, CreateSecretRequest, ListConfigsReply, ListSecretsReply,
    RemoveConfigRequest, RemoveSecretRequest,
};
use model::{ConfigSpec, Secret, SecretData, SecretSpec};
use tonic::Status;

use super::{ControlApi, parse, to_status};
use crate::state::{Command, IdSource, State};
use crate::store::id_source;

fn ids() -> Result<IdSource, Status> {
    id_source().map_err(|error| to_status(&error))
}

fn given<T>(spec: Option<T>) -> Result<T, Status> {
    spec.ok_or_else(|| Status::invalid_argument("the request has no spec"))
}

pub async fn create_secret(api: &ControlApi, request: CreateSecretRequest) -> Result<CreateSecretReply, Status> {
    let spec = Box::new(SecretSpec::try_from(given(request.spec)?)?);
    let name = spec.name.clone();
    let applied = api.change(Command::CreateSecret { spec, ids: ids()? }).await?;
    let secret = applied.after.secret_named(&name).ok_or_else(|| gone("secret", &name))?;
    Ok(CreateSecretReply { id: secret.id.to_string() })
}

pub async fn create_config(api: &ControlApi, request: CreateConfigRequest) -> Result<CreateConfigReply, Status> {
    let spec = Box::new(ConfigSpec::try_from(given(request.spec)?)?);
    let name = spec.name.clone();
    let applied = api.change(Command::CreateConfig { spec, ids: ids()? }).await?;
    let config = applied.after.config_named(&name).ok_or_else(|| gone("config", &name))?;
    Ok(CreateConfigReply { id: config.id.to_string() })
}

fn gone(kind: &str, name: &str) -> Status {
    Status::aborted(format!("{kind} {name} is gone again"))
}

pub async fn remove_secret(api: &ControlApi, request: RemoveSecretRequest) -> Result<(), Status> {
    let RemoveSecretRequest { secret, seen } = request;
    api.change(Command::WithdrawSecret { secret: parse(&secret)?, seen }).await.map(|_| ())
}

pub async fn remove_config(api: &ControlApi, request: RemoveConfigRequest) -> Result<(), Status> {
    let RemoveConfigRequest { config, seen } = request;
    api.change(Command::WithdrawConfig { config: parse(&config)?, seen }).await.map(|_| ())
}

/// What a secret holds stays here.
pub fn secrets(state: &State) -> ListSecretsReply {
    let without_data = |secret: &Secret| {
        let spec = SecretSpec { data: SecretData::default(), ..secret.spec.clone() };
        Secret { spec, ..secret.clone() }
    };
    let named = state.secrets.values().filter(|secret| !secret.superseded);
    ListSecretsReply { secrets: named.map(|secret| without_data(secret).into()).collect() }
}

pub fn configs(state: &State) -> ListConfigsReply {
    let named = state.configs.values().filter(|config| !config.superseded);
    ListConfigsReply { configs: named.cloned().map(Into::into).collect() }
}
