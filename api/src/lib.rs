//! The words between Orca's processes: protobuf, and its conversion from and to the model.
//!
//! - [`wire`]: generated from `proto/`; stays at the wire, in the Raft log and in the agent's db
//! - [`convert`]: model to wire and back, exhaustively, so that a forgotten field does not compile
//! - [`client`]: connections to a daemon · [`remote`], [`tls`]: to one on another machine, with certificates
//! - [`carried`]: to a node that nobody can connect to, within a stream that it has opened
//! - [`identity`]: who a node is, by its certificate · [`listener`]: who comes, by theirs
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod carried;
pub mod client;
pub mod convert;
mod error;
pub mod identity;
pub mod listener;
pub mod remote;
pub mod tls;

pub use error::Error;

/// Generated code, a module a package.
#[allow(missing_docs, clippy::all)]
pub mod wire {
    pub mod agent {
        pub mod v1 {
            tonic::include_proto!("orca.agent.v1");
        }
    }
    pub mod types {
        pub mod v1 {
            tonic::include_proto!("orca.types.v1");
        }
    }
    pub mod control {
        pub mod v1 {
            tonic::include_proto!("orca.control.v1");
        }
    }
    pub mod dispatcher {
        pub mod v1 {
            tonic::include_proto!("orca.dispatcher.v1");
        }
    }
    pub mod node {
        pub mod v1 {
            tonic::include_proto!("orca.node.v1");
        }
    }
    pub mod files {
        pub mod v1 {
            tonic::include_proto!("orca.files.v1");
        }
    }
    pub mod network {
        pub mod v1 {
            tonic::include_proto!("orca.network.v1");
        }
    }
    pub mod image {
        pub mod v1 {
            tonic::include_proto!("orca.image.v1");
        }
    }
    pub mod swarm {
        pub mod v1 {
            tonic::include_proto!("orca.swarm.v1");
        }
    }
    pub mod log {
        pub mod v1 {
            tonic::include_proto!("orca.log.v1");
        }
    }
}

pub use wire::{
    agent::v1 as agent, control::v1 as control, dispatcher::v1 as dispatcher, files::v1 as files, image::v1 as image,
    log::v1 as log, network::v1 as network, node::v1 as node, swarm::v1 as swarm, types::v1 as types,
};
