//! `orca swarm update`, and the settings that `init` takes too.

use std::time::Duration;

use api::control::{GetClusterRequest, UnlockKeyChange, UpdateClusterRequest};
use model::{AddressPool, ClusterSpec, IpSubnet};

use super::unlock;
use crate::client::{Client, Host};
use crate::error::{Error, Result};
use crate::output::format;

/// Settings of a cluster.
#[derive(Debug, clap::Args)]
pub struct Settings {
    /// How long certificates of nodes are valid, such as 2160h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cert_expiry: Option<Duration>,
    /// A node that is not heard of for so long is down, such as 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    dispatcher_heartbeat: Option<Duration>,
    /// Ended tasks that each slot of a service keeps
    #[arg(long, value_name = "NUMBER")]
    task_history_limit: Option<u32>,
}

/// Arguments of `orca swarm update`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Lock managers, so that each needs the unlock key when it starts; =false: no longer
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    autolock: Option<bool>,
    #[command(flatten)]
    settings: Settings,
}

impl Settings {
    /// `before` with what the flags say.
    pub fn apply(&self, before: ClusterSpec) -> ClusterSpec {
        ClusterSpec {
            heartbeat: self.dispatcher_heartbeat.unwrap_or(before.heartbeat),
            certificate_expiry: self.cert_expiry.unwrap_or(before.certificate_expiry),
            task_history: self.task_history_limit.unwrap_or(before.task_history),
        }
    }
}

/// Go's durations: `1h30m`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no duration: expected a number with a unit, such as 5s, 500ms or 2160h");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return Err(bad()),
        };
        let number: f64 = number.parse().map_err(|_| bad())?;
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| bad())?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = after;
    }
    if text.is_empty() { Err(bad()) } else { Ok(total) }
}

/// The pools of `--default-addr-pool`; each subnet of theirs has this prefix.
pub fn pools(subnets: &[IpSubnet], prefix: u8) -> Result<Vec<AddressPool>> {
    let pool = |subnet: &IpSubnet| {
        let refused = |reason: &str| Error::Flag {
            flag: "--default-addr-pool",
            value: subnet.to_string(),
            reason: reason.into(),
        };
        if !subnet.is_ipv4() {
            return Err(refused("IPv6 pools are not supported; a network has its own IPv6 subnet with --subnet"));
        }
        if prefix < subnet.prefix() || prefix > 29 {
            return Err(refused("--default-addr-pool-mask-length must be between the pool's own prefix and 29"));
        }
        Ok(AddressPool { base: *subnet, prefix })
    };
    subnets.iter().map(pool).collect()
}

/// Changes settings.
pub async fn update(host: &Host, args: Args) -> Result<()> {
    let mut client = Client::connect(host).await?;
    let cluster = client.control.get_cluster(GetClusterRequest {}).await?.into_inner().cluster.unwrap_or_default();
    let spec = cluster.spec.map(ClusterSpec::try_from).transpose()?.unwrap_or_default();
    let spec = args.settings.apply(spec);
    client.control.update_cluster(UpdateClusterRequest { spec: Some(spec.into()) }).await?;
    let change = args.autolock.map(|lock| if lock { UnlockKeyChange::On } else { UnlockKeyChange::Off });
    let key = match change {
        Some(change) => unlock::change_key(&mut client, change).await?,
        None => String::new(),
    };
    format::write("Swarm updated.\n")?;
    if key.is_empty() { Ok(()) } else { format::write(&unlock::instructions(&key)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, millis) in [("5s", 5000), ("1h30m", 5_400_000), ("500ms", 500), ("1.5s", 1500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "5", "s", "5x", "-5s", "5 s", "1e9h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pools_hold_their_subnets() {
        let pool = |text: &str, prefix| pools(&[text.parse().unwrap()], prefix);
        assert_eq!(pool("10.0.0.0/8", 24).unwrap().len(), 1);
        assert!(pool("10.0.0.0/25", 24).is_err());
        assert!(pool("fd00::/48", 64).is_err());
    }
}
