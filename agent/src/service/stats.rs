//! `stats`: what containers use, once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use api::node as wire;
use model::{ContainerId, NetworkMode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{NodeService, Outgoing, blocking};
use crate::containers::Containers;
use crate::stats::{HostSample, Reader, Sample};

/// Docker's.
const PERIOD: Duration = Duration::from_secs(1);

/// Counters of an earlier moment, to which the next are compared.
#[derive(Debug, Default)]
struct Before {
    host: HostSample,
    cpu: BTreeMap<ContainerId, u64>,
}

pub async fn stats(service: &NodeService, request: wire::StatsRequest) -> Result<Outgoing<wire::StatsReply>, Status> {
    for name in &request.containers {
        service.resolve(name)?;
    }
    let containers = service.containers().clone();
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let done = serve(&containers, &request, &sender).await;
        if let Err(status) = done {
            // The client may have gone.
            let _ = sender.send(Err(status)).await;
        }
    });
    Ok(ReceiverStream::new(receiver))
}

async fn serve(
    containers: &Containers,
    request: &wire::StatsRequest,
    sender: &mpsc::Sender<Result<wire::StatsReply, Status>>,
) -> Result<(), Status> {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut before, mut reader) = (Before::default(), Reader::default());
    let mut first = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = sender.closed() => return Ok(()),
        }
        let wanted = wanted(containers, request);
        let (own, state) = (containers.clone(), (before, reader));
        let (reply, state) = blocking("reading counters", move || Ok(read(&own, &wanted, state))).await?;
        (before, reader) = state;
        // The first moment has nothing to be compared with.
        if !std::mem::take(&mut first) && (sender.send(Ok(reply)).await.is_err() || request.once) {
            return Ok(());
        }
    }
}

/// The containers asked for, as far as there are any still; none asked for: those that run, or all.
fn wanted(containers: &Containers, request: &wire::StatsRequest) -> Vec<ContainerId> {
    if request.containers.is_empty() {
        return containers.ids(request.all);
    }
    request.containers.iter().filter_map(|name| containers.resolve(name).ok()).collect()
}

fn read(
    containers: &Containers,
    wanted: &[ContainerId],
    (before, mut reader): (Before, Reader),
) -> (wire::StatsReply, (Before, Reader)) {
    let host = reader.host();
    let mut now = Before { host, cpu: BTreeMap::new() };
    let mut reply = wire::StatsReply {
        system_cpu: host.cpu,
        system_cpu_before: before.host.cpu,
        cpus: host.cpus,
        memory: host.memory,
        containers: Vec::new(),
    };
    for id in wanted {
        let Some((name, running, cgroup, mode)) = containers.measured(*id) else { continue };
        let sample = match running {
            Some(pid) => reader.container(&cgroup, (mode != NetworkMode::Host).then_some(pid)),
            None => Sample::default(),
        };
        now.cpu.insert(*id, sample.cpu);
        let earlier = before.cpu.get(id).copied().unwrap_or(sample.cpu);
        reply.containers.push(usage(*id, name, running.is_some(), sample, earlier));
    }
    reader.finish();
    (reply, (now, reader))
}

fn usage(id: ContainerId, name: String, running: bool, sample: Sample, cpu_before: u64) -> wire::ContainerUsage {
    let Sample { cpu, memory, inactive_file, memory_limit, pids, received, sent, block_read, block_written } = sample;
    wire::ContainerUsage {
        id: id.to_string(),
        name,
        running,
        cpu,
        cpu_before,
        memory,
        inactive_file,
        memory_limit,
        pids,
        received,
        sent,
        block_read,
        block_written,
    }
}
