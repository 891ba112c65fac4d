//! The loop that brings kernel and netd to the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use model::{ContainerId, PortSpec};
use net::netd::{Reservation, Tables};
use net::nft::Passage;
use net::plan::NodePlan;

use super::{Networks, plan};
use crate::{Error, Result};

/// How often kernel and netd are compared with the plan though nothing has changed here.
const AUDIT: Duration = Duration::from_secs(30);

/// How the last application went.
#[derive(Debug, Clone, Default)]
pub struct Applied {
    /// The last request that it covers.
    request: u64,
    /// Why nothing could be done.
    whole: Option<String>,
    /// What failed, for each container that it concerns.
    containers: BTreeMap<ContainerId, String>,
    /// Ports that somebody else on the host has.
    ports: Vec<(Reservation, String)>,
}

impl Applied {
    /// What it means for a container with these published ports.
    pub fn verdict(&self, id: ContainerId, ports: &[PortSpec]) -> Result<()> {
        if let Some(reason) = &self.whole {
            return Err(Error::Port(format!("the node's network could not be set up: {reason}")));
        }
        if let Some(reason) = self.containers.get(&id) {
            return Err(Error::Port(reason.clone()));
        }
        let ours = |reservation: &Reservation| {
            ports.iter().any(|port| port.protocol == reservation.protocol && port.published == Some(reservation.port))
        };
        match self.ports.iter().find(|(reservation, _)| ours(reservation)) {
            Some((_, message)) => Err(Error::Port(message.clone())),
            None => Ok(()),
        }
    }
}

impl Networks {
    /// Asks for one more application.
    pub(super) fn want(&self) -> u64 {
        self.wanted.send_modify(|request| *request += 1);
        *self.wanted.borrow()
    }

    /// Applies what is wanted now; returns when it is in force.
    pub(super) async fn apply_now(&self) -> Applied {
        let mut applied = self.applied.subscribe();
        let request = self.want();
        match applied.wait_for(|applied| applied.request >= request).await {
            Ok(applied) => applied.clone(),
            // The loop has ended with the agent.
            Err(_) => Applied { whole: Some("the daemon is shutting down".into()), ..Applied::default() },
        }
    }

    /// Runs until the agent ends.
    pub async fn run(self: Arc<Self>) {
        let mut wanted = self.wanted.subscribe();
        // What was wanted before this loop began counts, too.
        wanted.mark_changed();
        let mut audit = tokio::time::interval(AUDIT);
        audit.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        audit.tick().await;
        loop {
            let audits = tokio::select! {
                changed = wanted.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
                _ = audit.tick() => true,
            };
            // Before anything was wanted there may be a plan of an earlier daemon in force.
            let request = *wanted.borrow_and_update();
            let ready = self.settled.load(Ordering::Acquire) && !self.down.load(Ordering::Acquire);
            if request == 0 || !ready {
                continue;
            }
            let applied = self.apply(request, audits).await;
            if let Some(reason) = &applied.whole {
                tracing::error!(%reason, "the node's network could not be set up");
            }
            self.applied.send_replace(applied);
        }
    }

    async fn apply(&self, request: u64, audits: bool) -> Applied {
        let _applying = self.applying.lock().await;
        if self.down.load(Ordering::Acquire) {
            return Applied { request, ..Applied::default() };
        }
        let (node_plan, names) = self.inputs(|inputs| (plan::plan(inputs), plan::names(inputs)));
        let mut applied = Applied { request, ..Applied::default() };
        let (kernel, wanted) = (self.kernel.clone(), node_plan.clone());
        let done =
            tokio::task::spawn_blocking(move || if audits { kernel.audit(&wanted) } else { kernel.apply(&wanted) });
        match done.await {
            Ok(Ok(report)) => {
                if let Some(passage) = report.passage {
                    self.note_passage(passage);
                }
                for failure in report.failures {
                    note(&mut applied, &node_plan, &failure.item, &failure.error.to_string());
                }
            }
            Ok(Err(error)) => applied.whole = Some(error.to_string()),
            Err(_) => applied.whole = Some("a worker thread ended in the middle of it".into()),
        }
        if applied.whole.is_none() {
            self.tell_netd(Tables::new(names, &node_plan), &mut applied).await;
        }
        applied
    }

    fn note_passage(&self, passage: Passage) {
        for chain in &passage.opened {
            tracing::info!(
                chain,
                "the host drops forwarded packets by default: rules marked \"orca\" let containers' through"
            );
        }
        let before = std::mem::replace(&mut *self.passage.lock().unwrap_or_else(PoisonError::into_inner), passage);
        for warning in self.warnings().iter().filter(|_| before.closed != self.closed_chains()) {
            tracing::warn!("{warning}");
        }
    }

    fn closed_chains(&self) -> BTreeSet<String> {
        self.passage.lock().unwrap_or_else(PoisonError::into_inner).closed.clone()
    }

    /// What keeps containers from the outside though nothing of Orca's does, for who makes one.
    pub fn warnings(&self) -> Vec<String> {
        let warning = |chain: &String| {
            format!(
                "the host's packet filter refuses forwarded packets (nftables {chain}): until it lets devices {}* through, \
                 containers may not reach the outside, nor be reached at published ports",
                self.key.device_prefix()
            )
        };
        let failure = self.mesh_failure.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failure = failure.map(|reason| format!("containers here do not reach those of other nodes: {reason}"));
        self.closed_chains().iter().map(warning).chain(failure).collect()
    }

    async fn tell_netd(&self, tables: Tables, applied: &mut Applied) {
        let report = match self.set_tables(&tables).await {
            // It may have been replaced since the last time.
            Err(_) => self.set_tables(&tables).await,
            done => done,
        };
        match report {
            Ok(report) => {
                for failure in report.containers {
                    applied.containers.insert(failure.container, failure.message);
                }
                self.note_mesh(report.mesh);
                applied.ports =
                    report.ports.into_iter().map(|failure| (failure.reservation, failure.message)).collect();
            }
            Err(error) => applied.whole = Some(error.to_string()),
        }
    }

    async fn set_tables(&self, tables: &Tables) -> Result<net::netd::Report> {
        let mut slot = self.netd.lock().await;
        if self.down.load(Ordering::Acquire) {
            return Ok(net::netd::Report::default());
        }
        let mut client = match slot.take() {
            Some(client) => client,
            None => {
                let command = self.programs.netd(self.paths.run());
                let client = net::netd::Client::connect_or_spawn(self.paths.run(), command.into()).await?;
                self.watch_netd();
                client
            }
        };
        let report = client.set_tables(tables).await?;
        *slot = Some(client);
        Ok(report)
    }

    /// Asks for an application when netd ends, for whatever reason: names and ports wait for its successor.
    fn watch_netd(&self) {
        let (wanted, run_dir) = (self.wanted.clone(), self.paths.run().to_path_buf());
        tokio::spawn(async move {
            if let Ok(client) = net::netd::Client::connect(&run_dir).await {
                client.ended().await;
            }
            wanted.send_modify(|request| *request += 1);
        });
    }

    /// Takes down everything of this node in the kernel, and netd with it.
    ///
    /// # Errors
    /// The first thing that could not be removed.
    pub async fn teardown(&self) -> Result<()> {
        self.down.store(true, Ordering::Release);
        self.state().active.clear();
        // Waits for an application that is under way; none follows.
        let _applying = self.applying.lock().await;
        let mut slot = self.netd.lock().await;
        *slot = None;
        let kernel = self.kernel.clone();
        let done = tokio::task::spawn_blocking(move || kernel.teardown_all());
        let report = done.await.map_err(|_| Error::Thread("taking the network down"))??;
        if let Ok(client) = net::netd::Client::connect(self.paths.run()).await {
            client.shutdown().await?;
        }
        match report.failures.into_iter().next() {
            Some(failure) => Err(failure.error.into()),
            None => Ok(()),
        }
    }
}

/// Assigns a failed item to the container that it names.
fn note(applied: &mut Applied, plan: &NodePlan, item: &str, error: &str) {
    for attachment in &plan.attachments {
        if item.contains(&attachment.container.short()) {
            applied.containers.insert(attachment.container, format!("{item}: {error}"));
            return;
        }
    }
    tracing::warn!(item, error, "a part of the node's network could not be set up");
}
