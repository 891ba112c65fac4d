//! Name to address with the name server of /etc/resolv.conf. The C library's resolver loads modules at run time, which a
//! static program must not do.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};

/// Time for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Questions before giving up.
const TRIES: usize = 3;

/// The first IPv4 address of `host`, which may be an address itself.
pub fn resolve(host: &str) -> Result<IpAddr> {
    if host == "localhost" {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let server = name_server()?;
    let mut last = Error::new(ErrorKind::NotFound, format!("no address for {host}"));
    for _ in 0..TRIES {
        match ask(host, server) {
            Ok(Some(address)) => return Ok(address),
            Ok(None) => return Err(Error::new(ErrorKind::NotFound, format!("no address for {host}"))),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn name_server() -> Result<SocketAddr> {
    let text = std::fs::read_to_string("/etc/resolv.conf")?;
    let address = text.lines().find_map(|line| line.strip_prefix("nameserver ")?.trim().parse::<IpAddr>().ok());
    let address = address.ok_or_else(|| Error::new(ErrorKind::NotFound, "no name server in /etc/resolv.conf"))?;
    Ok(SocketAddr::new(address, 53))
}

fn ask(host: &str, server: SocketAddr) -> Result<Option<IpAddr>> {
    let name = Name::from_utf8(host).map_err(Error::other)?;
    let mut question = Message::query();
    let id = question.metadata.id;
    question.metadata.op_code = OpCode::Query;
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, RecordType::A));
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect(server)?;
    socket.send(&question.to_vec().map_err(Error::other)?)?;
    let mut buffer = [0; 1500];
    let length = socket.recv(&mut buffer)?;
    let answer = Message::from_vec(&buffer[..length]).map_err(Error::other)?;
    if answer.metadata.id != id {
        return Err(Error::new(ErrorKind::InvalidData, "the answer is to another question"));
    }
    let address = |data: &RData| if let RData::A(address) = data { Some(IpAddr::from(address.0)) } else { None };
    Ok(answer.answers.iter().find_map(|record| address(&record.data)))
}
