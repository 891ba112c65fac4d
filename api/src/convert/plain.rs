//! Messages whose fields have the same name and type on both sides.

use crate::{Error, types};

/// Copies the named fields both ways; a field of either side that is not named does not compile.
macro_rules! same_fields {
    ($($name:ident { $($field:ident),+ $(,)? })+) => {$(
        impl From<model::$name> for types::$name {
            fn from(model::$name { $($field),+ }: model::$name) -> Self {
                Self { $($field),+ }
            }
        }

        impl TryFrom<types::$name> for model::$name {
            type Error = Error;

            fn try_from(types::$name { $($field),+ }: types::$name) -> Result<Self, Error> {
                Ok(Self { $($field),+ })
            }
        }
    )+};
}

same_fields! {
    Ulimit { soft, hard }
    Device { source, target, permissions }
    DeviceRequest { driver, count, device_ids, capabilities, options }
    FileTarget { path, uid, gid, mode }
    VolumeSpec { labels, driver_opts, external }
    DeviceRate { path, rate }
    Reservations { nano_cpus, memory, generic }
    StackMember { stack, key }
    ManagerMember { raft, address }
    ConfigSpec { name, labels, stack, data, template }
    RunIntent { stopped, restarts }
}
