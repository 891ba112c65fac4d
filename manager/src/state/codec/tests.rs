//! What is written is read back as the same, forever; what is not understood stops the manager, by name.

mod golden;
mod samples;

use proptest::prelude::*;
use prost::Message;

use super::{CodecError, FORMAT, decode_entry, decode_state, digest, encode_entry, encode_state};
use crate::state::{Entry, State};
use api::log as wire;
use model::Timestamp;

/// The field `number` with these bytes, as protobuf writes it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn every_command_comes_back() {
    for command in samples::commands() {
        let entry = Entry { now: Timestamp(7), commands: vec![command] };
        assert_eq!(decode_entry(&encode_entry(&entry)).unwrap(), entry);
    }
}

#[test]
fn every_command_of_the_protocol_has_a_sample() {
    let numbers: Vec<u32> = samples::commands().into_iter().map(number_of).collect();
    assert_eq!(numbers, (1..=19).collect::<Vec<_>>());
}

/// The field number that a command has in `log.proto`.
fn number_of(command: crate::state::Command) -> u32 {
    let bytes = wire::Command::from(command).encode_to_vec();
    prost::encoding::decode_key(&mut bytes.as_slice()).unwrap().0
}

#[test]
fn a_state_comes_back_with_its_indexes_and_its_digest() {
    let state = samples::state();
    let read = decode_state(&encode_state(&state)).unwrap();
    assert_eq!(read, state);
    assert_eq!(digest(&read), digest(&state));
    let other = State { version: state.version + 1, ..state.clone() };
    assert_ne!(digest(&other), digest(&state));
}

#[test]
fn a_command_of_a_newer_version_is_named_wherever_it_stands() {
    let entry = Entry { now: Timestamp(1), commands: samples::commands() };
    // Command 15 with nothing in it, which is known, and command 31, which is not.
    let bytes = [encode_entry(&entry), field(3, &field(15, &[])), field(3, &[31 << 3 | 2, 0x01, 0])].concat();
    match decode_entry(&bytes) {
        Err(error @ CodecError::UnknownCommand { number: 31 }) => {
            assert!(error.to_string().contains("command 31"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn another_format_and_broken_records_are_refused() {
    let entry = wire::Entry { format: FORMAT + 1, now: 1, commands: Vec::new() };
    assert!(matches!(decode_entry(&entry.encode_to_vec()), Err(CodecError::Format { found: 2 })));
    let state = wire::State { format: 0, ..wire::State::default() };
    assert!(matches!(decode_state(&state.encode_to_vec()), Err(CodecError::Format { found: 0 })));
    let empty = [vec![1 << 3, 1], field(3, &[])].concat();
    assert!(matches!(decode_entry(&empty), Err(CodecError::Field(api::Error::Missing("command")))));
    let cut = encode_entry(&Entry { now: Timestamp(1), commands: samples::commands() });
    assert!(matches!(decode_entry(&cut[..cut.len() - 1]), Err(CodecError::Decode(_))));
    let node = wire::RegisterNode { node: "nobody".into(), description: Some(Default::default()) };
    let command = wire::Command { command: Some(wire::command::Command::RegisterNode(node)) };
    let entry = wire::Entry { format: FORMAT, now: 1, commands: vec![command] };
    assert!(matches!(decode_entry(&entry.encode_to_vec()), Err(CodecError::Text(text)) if text == "nobody"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode_entry(&bytes);
        let _ = decode_state(&bytes);
    }

    #[test]
    fn no_damage_panics(at: prop::sample::Index, byte: u8) {
        let mut bytes = encode_state(&samples::state());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = decode_state(&bytes);
        let mut bytes = encode_entry(&Entry { now: Timestamp(1), commands: samples::commands() });
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = decode_entry(&bytes);
    }
}
