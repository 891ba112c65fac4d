//! Bytes that no Orca has written: they become a value or an error, never a panic.

use std::fmt::Debug;

use api::types;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

use crate::strategies;

/// Decodes and converts; what comes out must itself survive the way out and back.
fn survive<M, W>(bytes: &[u8])
where
    W: Message + Default + From<M>,
    M: TryFrom<W, Error = api::Error> + Clone + PartialEq + Debug,
{
    let Ok(wire) = W::decode(bytes) else { return };
    match M::try_from(wire) {
        Ok(value) => assert_eq!(M::try_from(W::from(value.clone())).unwrap(), value),
        Err(error) => assert!(error.to_string().len() < 1000, "an error quotes without bound"),
    }
}

fn survive_as_every_type(bytes: &[u8]) {
    survive::<model::Stack, types::Stack>(bytes);
    survive::<model::Cluster, types::Cluster>(bytes);
    survive::<model::Service, types::Service>(bytes);
    survive::<model::Network, types::Network>(bytes);
    survive::<model::Node, types::Node>(bytes);
    survive::<model::Secret, types::Secret>(bytes);
    survive::<model::Config, types::Config>(bytes);
    survive::<model::Task, types::Task>(bytes);
    survive::<model::ServiceEndpoint, types::ServiceEndpoint>(bytes);
    survive::<model::AssignmentsDiff, types::AssignmentsDiff>(bytes);
}

/// A message with some bytes overwritten and its end cut off.
fn damage(mut bytes: Vec<u8>, changes: &[(Index, u8)], end: &Index) -> Vec<u8> {
    if bytes.is_empty() {
        return bytes;
    }
    for (place, byte) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *byte;
    }
    if changes.len() % 2 == 1 {
        bytes.truncate(end.index(bytes.len()));
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), any::<u8>()), 0..6)
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..200)) {
        survive_as_every_type(&bytes);
    }

    #[test]
    fn damaged_tasks(task in strategies::task(), changes in changes(), end: Index) {
        let bytes = damage(types::Task::from(task).encode_to_vec(), &changes, &end);
        survive_as_every_type(&bytes);
    }

    #[test]
    fn damaged_services(service in strategies::service(), changes in changes(), end: Index) {
        let bytes = damage(types::Service::from(service).encode_to_vec(), &changes, &end);
        survive_as_every_type(&bytes);
    }

    #[test]
    fn damaged_endpoints(endpoint in strategies::service_endpoint(), changes in changes(), end: Index) {
        let bytes = damage(types::ServiceEndpoint::from(endpoint).encode_to_vec(), &changes, &end);
        survive_as_every_type(&bytes);
    }

    #[test]
    fn damaged_networks(network in strategies::network(), changes in changes(), end: Index) {
        let bytes = damage(types::Network::from(network).encode_to_vec(), &changes, &end);
        survive_as_every_type(&bytes);
    }
}
