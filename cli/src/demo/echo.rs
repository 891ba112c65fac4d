//! Sends datagrams back (RFC 862), to see published UDP ports at work.

use std::io::Result;
use std::net::{SocketAddr, UdpSocket};

/// Largest datagram over IPv4.
const DATAGRAM_MAX: usize = 65_507;

/// Serves until the process ends.
pub fn serve(address: SocketAddr) -> Result<()> {
    let socket = UdpSocket::bind(address)?;
    println!("listening on {address}");
    let mut buffer = vec![0; DATAGRAM_MAX];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer)?;
        // Who does not take the answer only harms itself.
        let _ = socket.send_to(&buffer[..length], peer);
    }
}
