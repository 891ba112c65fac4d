//! From a question's bytes to an answer's, or to the decision to forward.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use model::ContainerId;

use crate::resolve::{Kind, Outcome, TTL, Tables, lookup};

/// Bytes of a message's header (RFC 1035, section 4.1.1).
const HEADER_LEN: usize = 12;
/// What a datagram may hold when the asker names no size.
const PLAIN_UDP: u16 = 512;
/// The most that is sent in a datagram whatever the asker says, so that none is cut into fragments.
const MAX_UDP: u16 = 1232;

/// What to do with a question.
#[derive(Debug)]
pub(super) enum Reply {
    /// Send this.
    Send(Vec<u8>),
    /// Ask upstream.
    Forward,
    /// Say nothing: it is no question, and an answer could be answered again.
    Ignore,
}

/// Whether an answer must fit a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// Decides about one message.
pub(super) fn reply(tables: &Tables, asker: ContainerId, bytes: &[u8], transport: Transport, rotation: usize) -> Reply {
    // Too short for an id, or an answer itself (the QR bit).
    if bytes.len() < HEADER_LEN || bytes[2] & 0x80 != 0 {
        return Reply::Ignore;
    }
    let Ok(request) = Message::from_vec(bytes) else {
        return Reply::Send(failure(bytes, ResponseCode::FormErr));
    };
    if request.metadata.op_code != OpCode::Query {
        return Reply::Send(failure(bytes, ResponseCode::NotImp));
    }
    let [query] = request.queries.as_slice() else {
        return Reply::Send(failure(bytes, ResponseCode::FormErr));
    };
    if query.query_class() != DNSClass::IN {
        return Reply::Send(failure(bytes, ResponseCode::Refused));
    }
    let kind = match query.query_type() {
        RecordType::A => Kind::A,
        RecordType::AAAA => Kind::Aaaa,
        RecordType::PTR => Kind::Ptr,
        RecordType::ANY => Kind::Any,
        _ => Kind::Other,
    };
    let name = query.name().to_ascii();
    let record = |data| Record::from_rdata(query.name().clone(), TTL, data);
    let (code, answers) = match lookup(tables, asker, &name, kind, rotation) {
        Outcome::Forward => return Reply::Forward,
        Outcome::Refused => (ResponseCode::Refused, Vec::new()),
        Outcome::NxDomain => (ResponseCode::NXDomain, Vec::new()),
        Outcome::Addresses(list) => {
            let data = |address| match address {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            };
            (ResponseCode::NoError, list.into_iter().map(|address| record(data(address))).collect())
        }
        Outcome::Name(name) => match Name::from_ascii(format!("{name}.")) {
            Ok(name) => (ResponseCode::NoError, vec![record(RData::PTR(PTR(name)))]),
            Err(_) => (ResponseCode::ServFail, Vec::new()),
        },
    };
    Reply::Send(encode(&request, code, answers, transport).unwrap_or_else(|| failure(bytes, ResponseCode::ServFail)))
}

fn encode(request: &Message, code: ResponseCode, answers: Vec<Record>, transport: Transport) -> Option<Vec<u8>> {
    let mut response = Message::response(request.metadata.id, OpCode::Query);
    response.metadata.message_type = MessageType::Response;
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(request.queries.iter().cloned());
    response.add_answers(answers);
    let mut limit = PLAIN_UDP;
    if let Some(edns) = &request.edns {
        limit = edns.max_payload().clamp(PLAIN_UDP, MAX_UDP);
        let mut own = Edns::new();
        own.set_max_payload(MAX_UDP);
        response.set_edns(own);
    }
    let bytes = response.to_vec().ok()?;
    if transport == Transport::Tcp || bytes.len() <= usize::from(limit) {
        return Some(bytes);
    }
    // Too long: the asker sees the truncation bit and asks again over TCP (RFC 2181, section 9).
    response.answers.clear();
    response.metadata.truncation = true;
    response.to_vec().ok()
}

/// An answer without content to a message that may be malformed behind its header.
pub(super) fn failure(request: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN];
    if let Some(header) = request.get(..4) {
        bytes[..2].copy_from_slice(&header[..2]);
        // QR, the asker's opcode and RD; RA and the code.
        bytes[2] = 0x80 | (header[2] & 0x79);
        bytes[3] = 0x80 | (u16::from(code) as u8 & 0x0f);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use hickory_proto::op::Query;
    use model::NetworkId;
    use proptest::prelude::*;

    use super::*;
    use crate::resolve::{Asker, Zone};

    const ME: ContainerId = ContainerId::from_random([1; 32]);

    fn tables(addresses: u8) -> Tables {
        let network = NetworkId::from_random(1);
        let mut zone = Zone::new("net", "10.1.0.0/16".parse().unwrap(), None);
        for n in 0..addresses {
            zone.add("web", IpAddr::from([10, 1, 0, n]));
        }
        let asker = Asker {
            netns: "/".into(),
            networks: vec![network],
            forward: false,
            servers: vec![],
            links: Default::default(),
        };
        Tables { zones: [(network, zone)].into(), askers: [(ME, asker)].into() }
    }

    fn question(name: &str, edns: Option<u16>) -> Vec<u8> {
        let mut message = Message::new(77, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
        if let Some(size) = edns {
            let mut options = Edns::new();
            options.set_max_payload(size);
            message.set_edns(options);
        }
        message.to_vec().unwrap()
    }

    fn answer(bytes: &[u8], addresses: u8, transport: Transport) -> Message {
        match reply(&tables(addresses), ME, bytes, transport, 0) {
            Reply::Send(bytes) => Message::from_vec(&bytes).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn long_answers_are_truncated_by_size() {
        for (edns, transport, count) in
            [(None, Transport::Udp, 0), (Some(1232), Transport::Udp, 60), (None, Transport::Tcp, 60)]
        {
            let response = answer(&question("web.", edns), 60, transport);
            assert_eq!((response.answers.len(), response.metadata.truncation), (count, count == 0));
            assert_eq!(response.metadata.id, 77);
        }
        let unique: BTreeSet<_> =
            answer(&question("web.", None), 20, Transport::Udp).answers.iter().map(|r| r.to_string()).collect();
        assert_eq!(unique.len(), 20);
    }

    #[test]
    fn malformed_messages_get_formerr_and_answers_nothing() {
        let mut broken = question("web.", None);
        broken.truncate(15);
        assert_eq!(answer(&broken, 1, Transport::Udp).metadata.response_code, ResponseCode::FormErr);
        let mut response = question("web.", None);
        response[2] |= 0x80;
        assert!(matches!(reply(&tables(1), ME, &response, Transport::Udp, 0), Reply::Ignore));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Reply::Send(bytes) = reply(&tables(60), ME, &bytes, Transport::Udp, 3) {
                prop_assert!(bytes.len() <= usize::from(MAX_UDP));
            }
        }
    }
}
