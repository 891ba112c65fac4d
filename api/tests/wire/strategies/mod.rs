//! Arbitrary values of the model. Structs are written out, so that a new field does not compile until it is drawn here.
//! Strategies are boxed: the trees of a spec with forty fields do not fit on a test thread's stack.

mod container;
mod isolation;
mod object;
mod service;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use model::{IpSubnet, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub use container::*;
pub use isolation::security_options;
pub use object::*;
pub use service::*;

fn text() -> BoxedStrategy<String> {
    "\\PC{0,6}".boxed()
}

fn texts() -> BoxedStrategy<Vec<String>> {
    few(text())
}

fn labels() -> BoxedStrategy<BTreeMap<String, String>> {
    btree_map(text(), text(), 0..3).boxed()
}

fn few<S: Strategy + 'static>(items: S) -> BoxedStrategy<Vec<S::Value>> {
    vec(items, 0..3).boxed()
}

fn maybe<S: Strategy + 'static>(item: S) -> BoxedStrategy<Option<S::Value>> {
    proptest::option::of(item).boxed()
}

fn duration() -> impl Strategy<Value = Duration> {
    any::<u64>().prop_map(Duration::from_nanos)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<i64>().prop_map(Timestamp)
}

fn subnet() -> impl Strategy<Value = IpSubnet> {
    (any::<IpAddr>(), any::<u8>())
        .prop_filter_map("a prefix longer than the address", |(address, prefix)| IpSubnet::new(address, prefix % 129))
}

/// An id of 128 random bits.
fn id<T: std::fmt::Debug>(make: fn(u128) -> T) -> impl Strategy<Value = T> {
    any::<u128>().prop_map(make)
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(values)
}
