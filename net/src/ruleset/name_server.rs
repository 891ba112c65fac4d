//! The table inside a container's namespace that leads port 53 of its name server's address to where the server listens.
//!
//! The server listens elsewhere so that a container may have port 53 for a server of its own. Ports are rewritten
//! packet by packet rather than translated by connection: nothing has to be tracked in the container, whose other
//! traffic pays nothing. Questions are rewritten before the connection table sees them and answers after it, so that
//! a container that does track connections sees one and the same.

use model::Protocol;

use super::{Action, Chain, Field, Hook, Match, Rule, Ruleset};
use crate::plan::Family;
use crate::resolve::ADDRESS;

impl Ruleset {
    /// The table for a server that listens on these ports of its address.
    pub fn name_server(udp: u16, tcp: u16) -> Self {
        let ports = [(Protocol::Udp, udp), (Protocol::Tcp, tcp)];
        let asked = ADDRESS.port();
        let questions = ports.map(|(protocol, own)| rewrite(protocol, Field::Destination, Field::Port, asked, own));
        let answers = ports.map(|(protocol, own)| rewrite(protocol, Field::Source, Field::SourcePort, own, asked));
        let chain =
            |name: &str, hook, rules: [Rule; 2]| Chain { name: name.into(), hook: Some(hook), rules: rules.into() };
        let chains =
            vec![chain("questions", Hook::RawOutput, questions), chain("answers", Hook::LastPostrouting, answers)];
        Self { family: Family::V4, table: "orca_dns".into(), sets: Vec::new(), chains }
    }
}

fn rewrite(protocol: Protocol, side: Field, field: Field, from: u16, to: u16) -> Rule {
    Rule {
        matches: vec![Match::Address(side, (*ADDRESS.ip()).into()), Match::Is(protocol), Match::PortIs(field, from)],
        action: Action::SetPort { protocol, field, port: to },
    }
}
