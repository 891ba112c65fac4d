//! `orca update`.

use api::node::UpdateContainerRequest;
use clap::Args;
use model::{Limits, RestartPolicy};

use super::flags;
use super::lifecycle::each;
use super::limits::LimitArgs;
use crate::client::Host;
use crate::error::{Error, Result};

/// Arguments of `orca update`.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    limits: LimitArgs,
    /// Restart policy: no, always, unless-stopped, on-failure[:max]
    #[arg(long, value_name = "POLICY", value_parser = flags::restart)]
    restart: Option<RestartPolicy>,
    /// Containers
    #[arg(required = true)]
    containers: Vec<String>,
}

/// Changes limits of containers.
pub async fn update(host: &Host, args: UpdateArgs) -> Result<()> {
    let (limits, memory_reservation) = (args.limits.limits(), args.limits.memory_reservation);
    if limits == Limits::default() && memory_reservation.is_none() && args.restart.is_none() {
        return Err(Error::Unsupported {
            what: "an update of nothing".into(),
            instead: "you must provide one or more flags when using this command".into(),
        });
    }
    each(host, &args.containers, "update", async |client, container| {
        let request = UpdateContainerRequest {
            container: container.id,
            limits: Some(limits.clone().into()),
            memory_reservation,
            restart: args.restart.clone().map(Into::into),
        };
        client.node.update_container(request).await?;
        Ok(())
    })
    .await
}
