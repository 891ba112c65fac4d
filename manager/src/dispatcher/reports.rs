//! Statuses of all agents: what arrives while a proposal is under way rides in the next one, a task's newest report only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{NodeId, TaskId, TaskStatus};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::state::Command;
use crate::store::Store;

/// Messages of agents that wait; a full queue makes their streams wait.
const QUEUE: usize = 256;
/// Most reports in one entry.
const BATCH: usize = 4096;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

type Report = (NodeId, Vec<(TaskId, TaskStatus)>);
/// The newest status of each task, by the node that reports it.
type Batch = BTreeMap<NodeId, BTreeMap<TaskId, TaskStatus>>;

/// The queue's end that sessions write to.
#[derive(Clone)]
pub struct Reports {
    queue: mpsc::Sender<Report>,
}

impl Reports {
    /// Starts the task that proposes; it ends when nobody can report any more, or Raft has ended.
    pub fn start(store: Arc<Store>) -> Self {
        let (queue, reports) = mpsc::channel(QUEUE);
        tokio::spawn(run(store, reports));
        Self { queue }
    }

    /// Queues a node's reports; waits while the queue is full.
    pub async fn send(&self, node: NodeId, reports: Vec<(TaskId, TaskStatus)>) -> Result<(), Error> {
        let sent = self.queue.send((node, reports)).await;
        sent.map_err(|_| Error::Stopped { reason: "it takes no more reports".into() })
    }
}

async fn run(store: Arc<Store>, mut queue: mpsc::Receiver<Report>) {
    loop {
        let first = tokio::select! {
            report = queue.recv() => report,
            () = store.stopped() => return,
        };
        let Some(first) = first else { return };
        let mut batch = Batch::new();
        merge(&mut batch, first);
        while batch.values().map(BTreeMap::len).sum::<usize>() < BATCH {
            match queue.try_recv() {
                Ok(report) => merge(&mut batch, report),
                Err(_) => break,
            }
        }
        propose(&store, &mut queue, batch).await;
    }
}

fn merge(batch: &mut Batch, (node, reports): Report) {
    let statuses = batch.entry(node).or_default();
    for (task, status) in reports {
        match statuses.get(&task) {
            Some(newer) if newer.revision >= status.revision => {}
            _ => drop(statuses.insert(task, status)),
        }
    }
}

fn commands(batch: &Batch) -> Vec<Command> {
    let command = |(node, statuses): (&NodeId, &BTreeMap<TaskId, TaskStatus>)| Command::ReportStatuses {
        node: *node,
        reports: statuses.iter().map(|(task, status)| (*task, status.clone())).collect(),
    };
    batch.iter().map(command).collect()
}

/// Reports are not acknowledged, so they are kept until they are in the log, or nobody here can put them there: agents tell a new
/// leader everything again.
async fn propose(store: &Store, queue: &mut mpsc::Receiver<Report>, mut batch: Batch) {
    let mut delay = RETRY_FIRST;
    loop {
        let error = match store.propose(commands(&batch)).await {
            Ok(_) => return,
            Err(error) => error,
        };
        match error {
            Error::NotLeader | Error::Uncertain | Error::Stopped { .. } => return,
            Error::Refused(refusal) if batch.len() == 1 => {
                tracing::error!(%refusal, nodes = ?batch.keys(), "reports of tasks were refused");
                return;
            }
            // One node's must not keep the others' back.
            Error::Refused(_) => return propose_singly(store, batch).await,
            error => tracing::warn!(%error, retry_in = ?delay, "reports of tasks wait"),
        }
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = store.stopped() => return,
        }
        delay = (delay * 2).min(RETRY_LONGEST);
        while let Ok(report) = queue.try_recv() {
            merge(&mut batch, report);
        }
    }
}

async fn propose_singly(store: &Store, batch: Batch) {
    for (node, statuses) in batch {
        if let Err(error) = store.propose(commands(&Batch::from([(node, statuses)]))).await {
            tracing::error!(%error, %node, "reports of tasks were not taken");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_report_of_a_task_is_kept() {
        let (node, task) = (NodeId::from_random(1), TaskId::from_random(1));
        let status = |revision| TaskStatus { revision, ..TaskStatus::default() };
        let mut batch = Batch::new();
        for revision in [1, 3, 2] {
            merge(&mut batch, (node, vec![(task, status(revision))]));
        }
        assert_eq!(batch[&node][&task].revision, 3);
        assert_eq!(commands(&batch).len(), 1);
    }
}
