//! What makes several nodes one cluster: roles, availability, settings, and whom its nodes trust.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{KeptKey, SecretData};

/// What a node may do in its cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// It runs tasks.
    #[default]
    Worker,
    /// It keeps desired state too.
    Manager,
}

/// Whether a node takes tasks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// It does.
    #[default]
    Active,
    /// It keeps those that it has.
    Pause,
    /// It gives those that it has to others.
    Drain,
}

/// A word that names none of the values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct ParseWordError {
    pub(crate) text: String,
    pub(crate) expected: &'static str,
}

macro_rules! words {
    ($name:ident, $expected:literal, $($variant:ident = $word:literal),+) => {
        impl $name {
            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::ParseWordError;

            fn from_str(text: &str) -> Result<Self, $crate::ParseWordError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::ParseWordError { text: text.chars().take(40).collect(), expected: $expected }),
                }
            }
        }
    };
}

pub(crate) use words;

words!(NodeRole, "worker or manager", Worker = "worker", Manager = "manager");
words!(Availability, "active, pause or drain", Active = "active", Pause = "pause", Drain = "drain");

/// What the user wants of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// What it may do.
    pub role: NodeRole,
    /// Whether it takes tasks.
    pub availability: Availability,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A manager as the other managers know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagerMember {
    /// Raft's number for it.
    pub raft: u64,
    /// Where it listens, `HOST:PORT`.
    pub address: String,
}

/// What the user wants of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterSpec {
    /// How many ended tasks of a slot are kept.
    pub task_history: u32,
    /// A node that is not heard of for so long is down.
    pub heartbeat: Duration,
    /// How long a node's certificate is valid.
    pub certificate_expiry: Duration,
}

impl Default for ClusterSpec {
    fn default() -> Self {
        Self {
            task_history: 5,
            heartbeat: Duration::from_secs(5),
            certificate_expiry: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

/// Whom the nodes of a cluster trust, and who may become one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterIdentity {
    /// The certificate of the cluster's CA, PEM.
    pub ca: String,
    /// Its key, PEM.
    pub ca_key: SecretData,
    /// The secret in the join token of workers.
    pub worker_secret: SecretData,
    /// The secret in the join token of managers.
    pub manager_secret: SecretData,
    /// The key that managers are locked with; empty: they are not.
    #[serde(default)]
    pub unlock_key: SecretData,
    /// The CA that takes over, while it is rotated.
    #[serde(default)]
    pub next: Option<NextAuthority>,
}

/// The CA that takes over once every node has a certificate of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextAuthority {
    /// Its certificate, PEM.
    pub ca: String,
    /// Its key, PEM.
    pub ca_key: SecretData,
    /// The same signed by the CA before, PEM: who trusts that one trusts certificates of this one by it.
    pub cross: String,
}

impl ClusterIdentity {
    /// The key that managers are locked with, if they are.
    pub fn unlock_key(&self) -> Option<KeptKey> {
        self.unlock_key.reveal().try_into().ok().map(KeptKey::new)
    }

    /// Whom nodes trust now, PEM.
    pub fn trusted(&self) -> String {
        self.next.as_ref().map_or_else(|| self.ca.clone(), |next| format!("{}{}", self.ca, next.ca))
    }

    /// The secret in the join token of a role.
    pub fn secret(&self, role: NodeRole) -> &SecretData {
        match role {
            NodeRole::Worker => &self.worker_secret,
            NodeRole::Manager => &self.manager_secret,
        }
    }
}
