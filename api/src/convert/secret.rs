//! Secrets, and what `Debug` may show of the messages that hold their content.

use std::fmt;

use super::{or_default, required, text};
use crate::{Error, types};

impl From<model::SecretSpec> for types::SecretSpec {
    fn from(spec: model::SecretSpec) -> Self {
        let model::SecretSpec { name, labels, stack, data, template } = spec;
        Self { name, labels, stack, data: data.reveal().to_vec(), template }
    }
}

impl TryFrom<types::SecretSpec> for model::SecretSpec {
    type Error = Error;

    fn try_from(types::SecretSpec { name, labels, stack, data, template }: types::SecretSpec) -> Result<Self, Error> {
        Ok(Self { name, labels, stack, data: model::SecretData::new(data), template })
    }
}

impl From<model::Secret> for types::Secret {
    fn from(model::Secret { id, meta, spec, superseded }: model::Secret) -> Self {
        Self { id: id.to_string(), meta: Some(meta.into()), spec: Some(spec.into()), superseded }
    }
}

impl TryFrom<types::Secret> for model::Secret {
    type Error = Error;

    fn try_from(types::Secret { id, meta, spec, superseded }: types::Secret) -> Result<Self, Error> {
        let (id, spec) = (text("secret.id", id)?, required(spec, "secret.spec")?);
        Ok(Self { id, meta: or_default(meta)?, spec, superseded })
    }
}

impl fmt::Debug for types::SecretSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, labels, stack, data, template } = self;
        f.debug_struct("SecretSpec")
            .field("name", name)
            .field("labels", labels)
            .field("stack", stack)
            .field("data", &Hidden(data))
            .field("template", template)
            .finish()
    }
}

/// Messages that are about a key and little else.
macro_rules! hidden {
    ($($message:path),+) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($message))
            }
        })+
    };
}

hidden!(
    crate::swarm::RestoreHeader,
    crate::swarm::UnlockRequest,
    crate::control::BackupRequest,
    crate::control::UnlockKeyReply
);

impl fmt::Debug for crate::image::BuildStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments of builds are where people put what they should not.
        f.debug_struct("BuildStart").field("name", &self.name).field("target", &self.target).finish_non_exhaustive()
    }
}

impl fmt::Debug for types::AssignmentsDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tasks,
            networks,
            endpoints,
            secrets,
            configs,
            removed_tasks,
            removed_networks,
            removed_endpoints,
            removed_secrets,
            removed_configs,
            peers,
            removed_peers,
            data_path_port,
        } = self;
        let secrets: Vec<_> = secrets.iter().map(|(id, data)| (id, Hidden(data))).collect();
        f.debug_struct("AssignmentsDiff")
            .field("tasks", tasks)
            .field("networks", networks)
            .field("endpoints", endpoints)
            .field("secrets", &secrets)
            .field("configs", configs)
            .field("removed_tasks", removed_tasks)
            .field("removed_networks", removed_networks)
            .field("removed_endpoints", removed_endpoints)
            .field("removed_secrets", removed_secrets)
            .field("removed_configs", removed_configs)
            .field("peers", peers)
            .field("removed_peers", removed_peers)
            .field("data_path_port", data_path_port)
            .finish()
    }
}

impl fmt::Debug for crate::image::Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { username, password, identity_token } = self;
        f.debug_struct("Credentials")
            .field("username", username)
            .field("password", &Hidden(password.as_bytes()))
            .field("identity_token", &identity_token.as_ref().map(|token| Hidden(token.as_bytes())))
            .finish()
    }
}

/// Content of which only the length is shown.
pub(super) struct Hidden<'a>(pub(super) &'a [u8]);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}
