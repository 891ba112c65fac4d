//! The key that managers are locked with.

use api::control::{UnlockKeyChange, UnlockKeyReply, UnlockKeyRequest};
use model::{KeptKey, SecretData};
use tonic::Status;

use super::{ControlApi, to_status};
use crate::backup::new_key;
use crate::state::{Command, Refusal};

pub async fn unlock_key(api: &ControlApi, request: UnlockKeyRequest) -> Result<UnlockKeyReply, Status> {
    let change = UnlockKeyChange::try_from(request.change);
    let change = change.map_err(|_| Status::invalid_argument(format!("there is no change {}", request.change)))?;
    let identity = api.store.snapshot().cluster.and_then(|cluster| cluster.identity.clone());
    let before = identity.ok_or_else(|| to_status(&Refusal::NotOpen.into()))?.unlock_key();
    let key = match (change, before) {
        (UnlockKeyChange::Keep | UnlockKeyChange::On, Some(key)) => return Ok(reply(Some(&key))),
        (UnlockKeyChange::Keep, None) | (UnlockKeyChange::Off, None) => return Ok(reply(None)),
        (UnlockKeyChange::Rotate, None) => {
            return Err(Status::failed_precondition(
                "managers are not locked, so there is no key to rotate: `orca swarm update --autolock` makes one",
            ));
        }
        (UnlockKeyChange::Off, Some(_)) => None,
        (UnlockKeyChange::On, None) | (UnlockKeyChange::Rotate, Some(_)) => {
            Some(new_key().map_err(|error| to_status(&error))?)
        }
    };
    let bytes = key.as_ref().map(|key| key.reveal().to_vec()).unwrap_or_default();
    api.change(Command::SetUnlockKey { key: SecretData::new(bytes) }).await?;
    Ok(reply(key.as_ref()))
}

fn reply(key: Option<&KeptKey>) -> UnlockKeyReply {
    UnlockKeyReply { key: key.map(ToString::to_string).unwrap_or_default() }
}
