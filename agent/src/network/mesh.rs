//! This node's end of the network between nodes, as it becomes known to the others.

use std::net::IpAddr;
use std::sync::PoisonError;

use model::MeshEnd;
use net::netd::MeshReport;
use tokio::sync::watch;

use super::Networks;

/// Largest packet of the mesh whatever the hosts' network lets through: one that fits where packets are joined.
const LARGEST_MTU: u32 = 8_920;

impl Networks {
    /// Says where other nodes reach this one.
    pub fn set_reached(&self, address: Option<IpAddr>) {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = address;
        if self.assigned().data_path_port.is_some() {
            self.want();
        }
    }

    fn reached(&self) -> Option<IpAddr> {
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's end of the mesh, for who tells others.
    pub fn mesh(&self) -> watch::Receiver<Option<MeshEnd>> {
        self.mesh.subscribe()
    }

    /// Bytes of the largest packet to another node: what the device that others reach this one by lets through.
    pub(super) fn mesh_mtu(&self) -> u32 {
        let found = self.reached().and_then(|address| net::netlink::mtu_at(address).ok().flatten());
        let least = net::peers::LEAST_MTU;
        found.map_or(net::peers::MTU, |mtu| mtu.saturating_sub(net::peers::OVERHEAD).clamp(least, LARGEST_MTU))
    }

    /// Notes how netd could carry it.
    pub(super) fn note_mesh(&self, report: Option<MeshReport>) {
        let port = self.assigned().data_path_port;
        let (end, failure) = match (report, port, self.reached()) {
            (Some(MeshReport::Up(key)), Some(port), Some(address)) => {
                (Some(MeshEnd { key, address, port, images: None }), None)
            }
            (Some(MeshReport::Down(reason)), ..) => (None, Some(reason)),
            _ => (None, None),
        };
        self.mesh.send_if_modified(|known| std::mem::replace(known, end) != end);
        let before =
            std::mem::replace(&mut *self.mesh_failure.lock().unwrap_or_else(PoisonError::into_inner), failure.clone());
        if let Some(reason) = failure.filter(|reason| before.as_ref() != Some(reason)) {
            tracing::error!(reason, "containers here do not reach those of other nodes");
        }
    }
}
