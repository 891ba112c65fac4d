//! Addresses of hosts that users name, for what takes addresses only.

use std::net::{IpAddr, Ipv4Addr};

/// The address of a host, asked of name servers when it is needed. Blocks, on a thread that may wait.
///
/// # Errors
/// Why there is none.
pub fn address(host: &str) -> Result<IpAddr, String> {
    if host == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
    let found = runtime.block_on(image::registry::lookup(host));
    let found = found.map_err(|error| format!("the name cannot be resolved: {error}"))?;
    found.into_iter().next().ok_or_else(|| "the name has no address".into())
}
