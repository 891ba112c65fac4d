//! Addresses that a node of a cluster listens at and is reached at.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use tonic::Status;

/// Swarm's port.
pub const PORT: u16 = 2377;

/// `ADDRESS[:PORT]`.
pub fn parse(flag: &str, text: &str) -> Result<SocketAddr, Status> {
    let bare = || text.trim_matches(['[', ']']).parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    let colon = || text.strip_prefix(':').and_then(|port| port.parse().ok());
    let any = |port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
    text.parse().ok().or_else(|| colon().map(any)).or_else(|| bare().ok()).ok_or_else(|| {
        Status::invalid_argument(format!(
            "invalid value {text:?} for {flag}: expected an IP address of this machine and maybe a port, such as 10.0.0.1:2377"
        ))
    })
}

/// Where others reach what listens at `listen`: as the user says, there itself, or the address that this machine has on the way out.
pub fn advertised(listen: SocketAddr, said: &str) -> Result<SocketAddr, Status> {
    if !said.is_empty() {
        // A port that is not said is the one that is listened at.
        let has_port = said.parse::<SocketAddr>().is_ok();
        let address = parse("--advertise-addr", said)?;
        let address = if has_port { address } else { SocketAddr::new(address.ip(), listen.port()) };
        if address.ip().is_unspecified() {
            return Err(Status::invalid_argument("--advertise-addr must be an address that others reach, not 0.0.0.0"));
        }
        return Ok(address);
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen);
    }
    way_out().map(|ip| SocketAddr::new(ip, listen.port())).ok_or_else(|| {
        Status::failed_precondition(
            "could not choose an address to advertise, as this machine has no default route: give one with --advertise-addr",
        )
    })
}

/// Where other nodes' packets for containers reach this one, if the user says.
pub fn data_path(said: &str) -> Result<Option<IpAddr>, Status> {
    if said.is_empty() {
        return Ok(None);
    }
    let address = said.trim_matches(['[', ']']).parse::<IpAddr>().ok().filter(|address| !address.is_unspecified());
    address.map(Some).ok_or_else(|| {
        Status::invalid_argument(format!(
            "invalid value {said:?} for --data-path-addr: expected an IP address of this machine"
        ))
    })
}

/// The source address of what would leave this machine; nothing is sent.
fn way_out() -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): nobody has them, so that the default route is asked.
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")].into_iter().find_map(|(own, far)| {
        let socket = UdpSocket::bind(own).ok()?;
        socket.connect(far).ok()?;
        socket.local_addr().ok().map(|address| address.ip())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses_are_completed() {
        let shown = |text: &str| parse("--listen-addr", text).map(|address| address.to_string());
        assert_eq!(shown("10.0.0.1").unwrap(), "10.0.0.1:2377");
        assert_eq!(shown("10.0.0.1:99").unwrap(), "10.0.0.1:99");
        assert_eq!(shown(":99").unwrap(), "0.0.0.0:99");
        assert_eq!(shown("fd00::1").unwrap(), "[fd00::1]:2377");
        assert_eq!(shown("[fd00::1]:99").unwrap(), "[fd00::1]:99");
        assert!(shown("eth0").unwrap_err().message().contains("eth0"));
        let listen = "0.0.0.0:99".parse().unwrap();
        assert_eq!(advertised(listen, "10.0.0.1").unwrap().to_string(), "10.0.0.1:99");
        assert_eq!(advertised(listen, "10.0.0.1:7").unwrap().to_string(), "10.0.0.1:7");
        assert!(advertised(listen, "0.0.0.0").is_err());
        assert_eq!(advertised("10.0.0.2:1".parse().unwrap(), "").unwrap().to_string(), "10.0.0.2:1");
    }
}
