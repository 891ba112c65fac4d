//! `orca swarm unlock|unlock-key`.

use api::control::{UnlockKeyChange, UnlockKeyRequest};
use api::swarm::{GetSwarmRequest, UnlockRequest};

use super::kept_key;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Arguments of `orca swarm unlock-key`.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Print the key only
    #[arg(short, long)]
    quiet: bool,
    /// Make a new one; managers that are off meanwhile open with the one before
    #[arg(long)]
    rotate: bool,
}

/// Starts the manager of this node, which waits for the key.
pub async fn unlock(host: &Host) -> Result<()> {
    let mut client = Client::connect(host).await?;
    // Told before anybody is asked for a key.
    if !client.swarm.get_swarm(GetSwarmRequest {}).await?.into_inner().locked {
        let message = "swarm is not locked".into();
        return Err(Error::Daemon { message, code: None, missing: false });
    }
    let key = kept_key::read(None, "the unlock key", "Please enter unlock key: ")?;
    client.swarm.unlock(UnlockRequest { key: key.to_string() }).await?;
    Ok(())
}

/// Shows the key.
pub async fn unlock_key(host: &Host, args: KeyArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let change = if args.rotate { UnlockKeyChange::Rotate } else { UnlockKeyChange::Keep };
    let key = change_key(&mut client, change).await?;
    if key.is_empty() {
        let message = "no unlock key is set: `orca swarm update --autolock` makes one".into();
        return Err(Error::Daemon { message, code: None, missing: false });
    }
    if args.quiet {
        return format::write(&format!("{key}\n"));
    }
    let rotated = if args.rotate { "Successfully rotated manager unlock key.\n\n" } else { "" };
    format::write(&format!("{rotated}{}", instructions(&key)))
}

/// Changes the key; what it is now.
pub async fn change_key(client: &mut Client, change: UnlockKeyChange) -> Result<String> {
    Ok(client.control.unlock_key(UnlockKeyRequest { change: change.into() }).await?.into_inner().key)
}

/// What to do with it.
pub fn instructions(key: &str) -> String {
    format!(
        "To unlock a swarm manager after it restarts, run the `orca swarm unlock`\ncommand and provide the following key:\n\n    {key}\n\n\
         Remember to store this key in a password manager, since without it you\nwill not be able to restart the manager.\n"
    )
}
