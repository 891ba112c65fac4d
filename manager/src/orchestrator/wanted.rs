//! Which places of a service are to have a task.

use std::collections::BTreeSet;

use model::{Availability, Node, NodeState, Place, Service};

use crate::state::State;

/// The places of a service.
pub enum Wanted {
    /// So many slots, from 1.
    Slots(u32),
    /// Nodes.
    Nodes {
        /// They are to have a task.
        wanted: BTreeSet<Place>,
        /// They keep the one that they have, and get no other.
        kept: BTreeSet<Place>,
    },
}

impl Wanted {
    /// Those of this service.
    pub fn of(state: &State, service: &Service) -> Self {
        if service.removing {
            return Self::Slots(0);
        }
        if let Some(slots) = service.spec.mode.slots() {
            return Self::Slots(slots);
        }
        let (mut wanted, mut kept) = (BTreeSet::new(), BTreeSet::new());
        for node in state.nodes.values().filter(|node| fits(service, node)) {
            match (node.spec.availability, node.state) {
                (Availability::Drain, _) => false,
                (Availability::Active, NodeState::Ready) => wanted.insert(Place::Node(node.id)),
                (Availability::Active | Availability::Pause, _) => kept.insert(Place::Node(node.id)),
            };
        }
        Self::Nodes { wanted, kept }
    }

    /// Those that are to have a task.
    pub fn places(&self) -> Box<dyn Iterator<Item = Place> + '_> {
        match self {
            Self::Slots(count) => Box::new((1..=*count).map(Place::Slot)),
            Self::Nodes { wanted, .. } => Box::new(wanted.iter().copied()),
        }
    }

    /// Whether the place is to have a task.
    pub fn has(&self, place: Place) -> bool {
        match self {
            Self::Slots(count) => matches!(place, Place::Slot(slot) if (1..=*count).contains(&slot)),
            Self::Nodes { wanted, .. } => wanted.contains(&place),
        }
    }

    /// Whether the place keeps a task that it has.
    pub fn keeps(&self, place: Place) -> bool {
        self.has(place) || matches!(self, Self::Nodes { kept, .. } if kept.contains(&place))
    }
}

fn fits(service: &Service, node: &Node) -> bool {
    let placement = &service.spec.placement;
    placement.node.is_none_or(|pinned| pinned == node.id) && placement.unmet(node).is_none()
}
