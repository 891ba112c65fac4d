//! What the wire promises: nothing is lost on the way, bytes of every released version are still read, and no bytes panic.
#![allow(clippy::unwrap_used)]

mod golden;
mod hostile;
mod refusals;
mod round_trip;
mod samples;
mod strategies;
