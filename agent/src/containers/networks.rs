//! Networks of the node's own, and containers that join and leave them.

use model::{AttachmentSpec, ContainerId, LocalNetwork, NetworkId, NetworkMode, Timestamp};

use super::create::{held_addresses, linked};
use super::{Containers, Record, Shared, State};
use crate::events::Kind;
use crate::network::{CreateNetwork, NetworkView};
use crate::task::Stage;
use crate::{Error, Result};

impl Containers {
    /// Makes a network; on disk when this returns.
    ///
    /// # Errors
    /// As [`Networks::create`](crate::network::Networks::create).
    pub async fn create_network(&self, request: CreateNetwork) -> Result<LocalNetwork> {
        let network = self.shared.executor.networks().create(request)?;
        if let Err(error) = self.shared.db.create_network(&network).await {
            self.shared.executor.networks().discard(network.id);
            return Err(error);
        }
        self.shared.tell_network("create", network.id, &network.name, None);
        Ok(network)
    }

    /// Removes one of the node's own networks; its name.
    ///
    /// # Errors
    /// [`Error::NoSuchNetwork`], [`Error::PredefinedNetwork`], [`Error::NetworkInUse`] while a running container is on it.
    pub async fn remove_network(&self, text: &str) -> Result<String> {
        let view = self.shared.executor.networks().find(text)?;
        let name = view.network.name.clone();
        if view.is_predefined() {
            return Err(Error::PredefinedNetwork(name));
        }
        if view.assigned {
            let reason = "it belongs to a project, and goes with it: use `orca down`".into();
            return Err(Error::Network { name, reason });
        }
        self.discard_unless(&view, running_on)?;
        self.shared.db.flush().await?;
        Ok(name)
    }

    /// Removes the node's own networks that no container is on, running or not, and that `wanted` picks; their names.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn prune_networks(&self, wanted: impl Fn(&LocalNetwork) -> bool) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for view in self.shared.executor.networks().list() {
            if view.is_predefined() || view.assigned || !wanted(&view.network) {
                continue;
            }
            if self.discard_unless(&view, users).is_ok() {
                removed.push(view.network.name);
            }
        }
        self.shared.db.flush().await?;
        removed.sort();
        Ok(removed)
    }

    /// The containers' map is held meanwhile, so that none joins.
    fn discard_unless(&self, view: &NetworkView, users: impl Fn(&State, &NetworkView) -> Vec<String>) -> Result<()> {
        let state = self.shared.state();
        let containers = users(&state, view);
        if !containers.is_empty() {
            return Err(Error::NetworkInUse { name: view.network.name.clone(), containers });
        }
        self.shared.executor.networks().discard(view.network.id);
        self.shared.db.delete_network(view.network.id);
        self.shared.tell_network("destroy", view.network.id, &view.network.name, None);
        Ok(())
    }

    /// Adds a container to a network, at once if it runs.
    ///
    /// # Errors
    /// [`Error::AlreadyConnected`], [`Error::NoSuchNetwork`], a lack of addresses; nothing has changed then.
    pub async fn connect_network(&self, id: ContainerId, spec: AttachmentSpec) -> Result<()> {
        self.change_networks(id, |shared, state, record| {
            let networks = shared.executor.networks();
            let view = networks.find(&spec.network)?;
            let name = view.network.name;
            if record.network == NetworkMode::Host || record.network.is_shared() || name == "host" || name == "none" {
                let reason = "the host's network, another container's and none cannot be combined with others".into();
                return Err(Error::Network { name, reason });
            }
            let mut specs = record.network.attachments().to_vec();
            if specs.iter().any(|other| other.network == name) {
                return Err(Error::AlreadyConnected { container: record.name.clone(), network: name });
            }
            pin(&mut specs, networks.device_names(record));
            specs.push(AttachmentSpec { network: name, local: !view.assigned, ..spec });
            record.network = linked(state, NetworkMode::Networks(specs))?;
            record.attachments = networks.addresses(record, &held_addresses(state, id))?;
            Ok(())
        })
        .await
    }

    /// Takes a container off a network, at once if it runs.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub async fn disconnect_network(&self, id: ContainerId, network: &str) -> Result<()> {
        self.change_networks(id, |shared, _, record| {
            let networks = shared.executor.networks();
            // One that is gone is still in the record, by its name.
            let found = networks.find(network).ok().map(|view| view.network);
            let name = found.as_ref().map_or(network, |network| &network.name).to_owned();
            let mut specs = record.network.attachments().to_vec();
            pin(&mut specs, networks.device_names(record));
            let before = specs.len();
            specs.retain(|spec| spec.network != name);
            if specs.len() == before {
                return Err(Error::NotConnected { container: record.name.clone(), network: name });
            }
            let kept = |id| {
                specs.iter().any(|spec| {
                    networks.named(&spec.network, record.task.is_none() || spec.local).is_some_and(|n| n.id == id)
                })
            };
            record.attachments.retain(|attachment| kept(attachment.network));
            record.network = if specs.is_empty() { NetworkMode::None } else { NetworkMode::Networks(specs) };
            Ok(())
        })
        .await
    }

    /// Changes a container's networks in its record and, if it runs, in the kernel and its files; all or nothing.
    async fn change_networks(
        &self,
        id: ContainerId,
        change: impl FnOnce(&Shared, &State, &mut Record) -> Result<()>,
    ) -> Result<()> {
        let shared = &self.shared;
        let networks = shared.executor.networks();
        // Neither a start nor an end of it comes in between.
        let lock = networks.lock(id);
        let _held = lock.lock().await;
        let (before, record) = {
            let mut state = shared.state();
            let before = state.get(id)?.record.clone();
            let mut record = before.clone();
            change(shared, &state, &mut record)?;
            if let Some(entry) = state.entries.get_mut(&id) {
                entry.record.network = record.network.clone();
                entry.record.attachments = record.attachments.clone();
            }
            (before, record)
        };
        if let Err(error) = networks.reconnect(&record).await {
            if let Some(entry) = shared.state().entries.get_mut(&id) {
                entry.record.network = before.network;
                entry.record.attachments = before.attachments;
            }
            return Err(error);
        }
        let saved = shared.state().get(id)?.record.clone();
        shared.db.create_container(&saved, &[]).await?;
        let runs = matches!(shared.state().get(id)?.machine.stage(), Stage::Running { .. });
        if runs {
            shared.executor.rename(&before, &record).await?;
            let gone = before
                .attachments
                .iter()
                .filter(|old| !record.attachments.iter().any(|new| new.network == old.network));
            gone.for_each(|old| shared.tell_network("disconnect", old.network, "", Some(id)));
            let new = record
                .attachments
                .iter()
                .filter(|new| !before.attachments.iter().any(|old| old.network == new.network));
            new.for_each(|new| shared.tell_network("connect", new.network, "", Some(id)));
        }
        shared.announce(id, false);
        Ok(())
    }

    /// The containers that run on a network, with their addresses there.
    pub fn endpoints(&self, view: &NetworkView) -> Vec<super::ContainerView> {
        let on = |container: &super::ContainerView| {
            let is_up = crate::service::is_up(container);
            is_up && container.attachments.iter().any(|attachment| attachment.network_id == view.network.id)
        };
        self.list().into_iter().filter(on).collect()
    }
}

impl Shared {
    /// An event of a network; an empty name is looked up.
    fn tell_network(&self, action: &str, id: NetworkId, name: &str, container: Option<ContainerId>) {
        let name = match name {
            "" => self.executor.networks().describe(id).map(|network| network.name).unwrap_or_default(),
            name => name.to_owned(),
        };
        let mut more = vec![("name", name), ("type", "bridge".to_owned())];
        more.extend(container.map(|container| ("container", container.to_string())));
        self.notices.record(Kind::Network, action, id.to_string(), &more);
    }
}

/// Gives each the device name that it has, so that none changes while the container runs.
fn pin(specs: &mut [AttachmentSpec], names: Vec<String>) {
    for (spec, name) in specs.iter_mut().zip(names) {
        spec.interface_name.get_or_insert(name);
    }
}

fn on(record: &Record, view: &NetworkView) -> bool {
    record.attachments.iter().any(|attachment| attachment.network == view.network.id)
}

fn running_on(state: &State, view: &NetworkView) -> Vec<String> {
    let running = state.entries.values().filter(|entry| entry.machine.is_active() && on(&entry.record, view));
    running.map(|entry| entry.record.name.clone()).collect()
}

fn users(state: &State, view: &NetworkView) -> Vec<String> {
    state.entries.values().filter(|entry| on(&entry.record, view)).map(|entry| entry.record.name.clone()).collect()
}

/// Whether a network was made before a time.
pub fn made_before(network: &LocalNetwork, until: Option<i64>) -> bool {
    until.is_none_or(|until| network.created_at < Timestamp(until))
}
