//! Backups, made while everything goes on.

use api::control::{BackupChunk, BackupRequest};
use model::KeptKey;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{ControlApi, to_status};
use crate::backup;
use crate::state::Refusal;
use crate::store::now;

/// A backup on its way to a client.
pub type BackupStream = ReceiverStream<Result<BackupChunk, Status>>;

pub async fn backup(api: &ControlApi, request: BackupRequest) -> Result<BackupStream, Status> {
    let key: [u8; model::KEPT_KEY_LEN] =
        request.key.try_into().map_err(|_| Status::invalid_argument("the key of a backup has 32 bytes"))?;
    // A change of nothing, through the log: one that has lost the lead without knowing would give an old state.
    let applied = api.store.propose(Vec::new()).await.map_err(|error| to_status(&error))?;
    let state = applied.after;
    if state.cluster.as_ref().is_none_or(|cluster| cluster.identity.is_none()) {
        return Err(to_status(&Refusal::NotOpen.into()));
    }
    let (sender, receiver) = mpsc::channel(2);
    tokio::task::spawn_blocking(move || {
        let send = |piece: Result<BackupChunk, Status>| sender.blocking_send(piece).is_ok();
        match backup::seal(&state, &KeptKey::new(key), now()) {
            Err(error) => _ = send(Err(to_status(&error))),
            Ok(mut pieces) => {
                _ = pieces.all(|piece| send(piece.map(|data| BackupChunk { data }).map_err(|error| to_status(&error))))
            }
        }
    });
    Ok(ReceiverStream::new(receiver))
}
