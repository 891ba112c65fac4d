//! Model to wire and back. Both sides are taken apart field by field, so that a forgotten field does not compile.
//!
//! To the wire is `From` and cannot fail; from the wire is `TryFrom` with [`crate::Error`], which names the message, the field
//! and what it holds. An absent part means its default only where an empty message would mean the same; an enum number that
//! this version does not know is an error.
//!
//! - `container`, `isolation`, `mount`, `resources`, `limits`: what a container is made from
//! - `network`, `service`, `secret`: what users declare
//! - `object`, `task`, `assignment`: what the store holds and agents are sent
//! - `cluster`: what makes nodes a cluster
//! - `plain`: messages whose fields stand on both sides as they are

mod assignment;
mod cluster;
mod container;
mod isolation;
mod limits;
mod mount;
mod network;
mod object;
mod plain;
mod resources;
mod secret;
mod service;
mod task;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use crate::Error;

/// Converts a list; the first error ends it.
fn all<W, M>(items: impl IntoIterator<Item = W>) -> Result<Vec<M>, Error>
where
    M: TryFrom<W, Error = Error>,
{
    items.into_iter().map(M::try_from).collect()
}

fn wires<M, W: From<M>>(items: impl IntoIterator<Item = M>) -> Vec<W> {
    items.into_iter().map(W::from).collect()
}

fn map_values<K, W, M>(map: BTreeMap<K, W>) -> Result<BTreeMap<K, M>, Error>
where
    K: Ord,
    M: TryFrom<W, Error = Error>,
{
    map.into_iter().map(|(key, value)| Ok((key, value.try_into()?))).collect()
}

/// A list whose absence means something else than its being empty.
fn list(values: Vec<String>) -> crate::types::StringList {
    crate::types::StringList { values }
}

/// A part that must be there.
fn required<W, M: TryFrom<W, Error = Error>>(part: Option<W>, name: &'static str) -> Result<M, Error> {
    part.ok_or(Error::Missing(name))?.try_into()
}

/// A part whose absence means its default.
fn or_default<W, M: TryFrom<W, Error = Error> + Default>(part: Option<W>) -> Result<M, Error> {
    part.map_or_else(|| Ok(M::default()), M::try_from)
}

/// An id, an address, a subnet: what stands on the wire as its text.
fn text<T: FromStr>(field: &'static str, text: String) -> Result<T, Error> {
    text.parse().map_err(|_| Error::invalid(field, text))
}

fn texts<T: FromStr>(field: &'static str, items: Vec<String>) -> Result<Vec<T>, Error> {
    items.into_iter().map(|item| text(field, item)).collect()
}

fn optional_text<T: FromStr>(field: &'static str, item: Option<String>) -> Result<Option<T>, Error> {
    item.map(|item| text(field, item)).transpose()
}

fn strings<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// Nanoseconds; 584 years are enough.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn port(field: &'static str, number: u32) -> Result<u16, Error> {
    u16::try_from(number).map_err(|_| Error::invalid(field, number))
}

/// Joins the model's and the wire's enum of one name, variant by variant.
macro_rules! enums {
    ($($name:ident { $($variant:ident),+ $(,)? })+) => {$(
        impl From<model::$name> for crate::types::$name {
            fn from(value: model::$name) -> Self {
                match value {
                    $(model::$name::$variant => Self::$variant,)+
                }
            }
        }

        impl From<crate::types::$name> for model::$name {
            fn from(value: crate::types::$name) -> Self {
                match value {
                    $(crate::types::$name::$variant => Self::$variant,)+
                }
            }
        }

        impl crate::convert::WireEnum for model::$name {
            fn from_number(field: &'static str, number: i32) -> Result<Self, Error> {
                crate::types::$name::try_from(number)
                    .map(Self::from)
                    .map_err(|_| Error::invalid(field, number))
            }

            fn number(self) -> i32 {
                crate::types::$name::from(self).into()
            }
        }
    )+};
}

/// An enum that stands on the wire as a number.
trait WireEnum: Sized {
    /// The value of `number` in `field`; a number that this version does not know is an error, never a default.
    fn from_number(field: &'static str, number: i32) -> Result<Self, Error>;
    /// Its number on the wire.
    fn number(self) -> i32;
}

enums! {
    NamespaceMode { Private, Host }
    CgroupnsMode { Default, Private, Host }
    Propagation { Rprivate, Private, Rshared, Shared, Rslave, Slave }
    Recursive { Enabled, Disabled, Writable, Readonly }
    Health { None, Starting, Healthy, Unhealthy }
    RestartCondition { No, OnFailure, Always, UnlessStopped }
    LogDriver { JsonFile, Local, None, Journald, Syslog, Default }
    Protocol { Tcp, Udp, Sctp }
    PublishMode { Ingress, Host }
    EndpointMode { Vip, Dnsrr }
    DependencyCondition { ServiceStarted, ServiceHealthy, ServiceCompletedSuccessfully }
    NodeState { Unknown, Ready, Down }
    NodeRole { Worker, Manager }
    Availability { Active, Pause, Drain }
    FailureAction { Pause, Continue, Rollback }
    UpdateOrder { StopFirst, StartFirst }
    UpdateState { Updating, Paused, Completed, RollbackStarted, RollbackPaused, RollbackCompleted }
    ContainerPhase { Created, Running, Paused, Restarting, Exited, Removing, Dead }
}
