//! What breaks: daemons, leaders, streams, links, processes. And that it is healed.

use model::ContainerId;

use super::World;
use super::executor::Shim;
use crate::event::Event;

impl World {
    pub(super) fn fault(&mut self) {
        if !self.chaos {
            return;
        }
        let delay = self.random.millis(300, 5000);
        self.queue.after(delay, Event::Fault);
        let node = usize::try_from(self.random.below(self.nodes.len() as u64)).unwrap_or_default();
        match self.random.below(10) {
            0..3 => {
                self.trace.note(self.queue.now(), &format!("kill daemon of node {node}"));
                self.kill(node);
            }
            3 => {
                self.trace.note(self.queue.now(), "the leader is gone");
                self.depose();
            }
            4 => self.partition(node),
            5 | 6 => {
                self.trace.note(self.queue.now(), &format!("the stream of node {node} breaks"));
                self.end_session(node);
            }
            _ => self.crash(node),
        }
    }

    fn partition(&mut self, node: usize) {
        let cut = !self.nodes[node].partitioned;
        self.trace.note(self.queue.now(), &format!("node {node} cut off: {cut}"));
        self.nodes[node].partitioned = cut;
        if cut {
            self.end_session(node);
        }
    }

    /// A process ends by itself.
    fn crash(&mut self, node: usize) {
        let shims = self.nodes[node].shims.iter();
        let running: Vec<ContainerId> = shims.filter(|(_, shim)| Shim::runs(shim)).map(|(id, _)| *id).collect();
        if let Some(id) = self.random.pick(&running) {
            let code = self.random.pick(&[0, 1, 139]).unwrap_or(1);
            self.end(node, id, 0, 1, code);
        }
    }

    /// From now on nothing breaks, and nobody wants anything new. Also switches to a leader that has only the state.
    pub fn heal(&mut self) {
        self.trace.note(self.queue.now(), "healed");
        self.chaos = false;
        for node in &mut self.nodes {
            node.partitioned = false;
        }
        self.depose();
    }
}
