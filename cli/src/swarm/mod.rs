//! `orca swarm ca|init|join|join-token|leave|update|unlock|unlock-key|backup|restore`.

mod authority;
mod backup;
mod init;
mod join;
mod kept_key;
mod settings;
mod unlock;

use clap::Subcommand;

use crate::client::Host;
use crate::error::Result;

/// What to do with the cluster.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show the certificate of the cluster's CA, or have another CA take over
    Ca(authority::Args),
    /// Open this node to others, as the first manager of a cluster
    Init(init::Args),
    /// Make this node one of a cluster
    Join(join::JoinArgs),
    /// Show the token that lets nodes in
    JoinToken(join::TokenArgs),
    /// Make this node a lone one again
    Leave(join::LeaveArgs),
    /// Change settings of the cluster
    Update(settings::Args),
    /// Start this node's manager, which is locked
    Unlock,
    /// Show the key that managers are locked with
    UnlockKey(unlock::KeyArgs),
    /// Write the cluster's whole state into a file, sealed with a key
    Backup(backup::BackupArgs),
    /// Make this node the only manager of the cluster that a backup is of
    Restore(backup::RestoreArgs),
}

/// Carries a verb out.
pub async fn run(host: &Host, verb: Verb) -> Result<()> {
    match verb {
        Verb::Ca(args) => authority::authority(host, args).await,
        Verb::Init(args) => init::init(host, args).await,
        Verb::Join(args) => join::join(host, args).await,
        Verb::JoinToken(args) => join::token(host, args).await,
        Verb::Leave(args) => join::leave(host, args).await,
        Verb::Update(args) => settings::update(host, args).await,
        Verb::Unlock => unlock::unlock(host).await,
        Verb::UnlockKey(args) => unlock::unlock_key(host, args).await,
        Verb::Backup(args) => backup::backup(host, args).await,
        Verb::Restore(args) => backup::restore(host, args).await,
    }
}
