//! What can be wrong between hosts: cables, directions and speeds.

use super::{Cluster, host};

impl Cluster {
    /// Puts a machine that is no host of the cluster's on the switch, with these addresses.
    pub fn outside(&self, four: &str, six: &str) {
        self.switch.run(&["ip", "addr", "add", four, "dev", "switch"]);
        self.switch.run(&["ip", "addr", "add", six, "dev", "switch", "nodad"]);
    }

    /// A program on that machine, to be started.
    pub fn outside_command(&self, program: &str) -> std::process::Command {
        self.switch.command(program)
    }

    /// Pulls a host's cable.
    pub fn unplug(&self, number: usize) {
        self.switch.run(&["ip", "link", "set", &host::cable(number), "down"]);
    }

    /// Puts it back.
    pub fn plug(&self, number: usize) {
        self.switch.run(&["ip", "link", "set", &host::cable(number), "up"]);
    }

    /// Loses whatever one host sends to another, which goes on to be heard itself.
    pub fn mute(&self, from: usize, to: usize) {
        // What is there already stays.
        self.nft("add table bridge faults");
        self.nft("add chain bridge faults lost { type filter hook forward priority 0; }");
        let (from, to) = (host::cable(from), host::cable(to));
        self.nft(&format!("add rule bridge faults lost iifname {from} oifname {to} drop"));
    }

    /// Lets no packet pass between two groups of hosts.
    pub fn partition(&self, one: &[usize], other: &[usize]) {
        for (&a, &b) in one.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
            self.mute(a, b);
            self.mute(b, a);
        }
    }

    /// Ends whatever [`mute`](Self::mute) and [`partition`](Self::partition) have begun.
    pub fn heal(&self) {
        self.nft("add table bridge faults");
        self.nft("delete table bridge faults");
    }

    /// Lets no more than so many kilobits a second come to a host; nothing means as many as can.
    pub fn slow(&self, number: usize, kilobits: Option<u32>) {
        let port = host::cable(number);
        // There may be none.
        let _ = self.switch.command("tc").args(["qdisc", "del", "dev", &port, "root"]).output();
        if let Some(kilobits) = kilobits {
            let rate = format!("{kilobits}kbit");
            let shape = ["tbf", "rate", &rate, "burst", "16kb", "latency", "2s"];
            self.switch.run(&[&["tc", "qdisc", "add", "dev", &port, "root"][..], &shape].concat());
        }
    }

    fn nft(&self, words: &str) {
        self.switch.run(&["nft", words]);
    }
}
