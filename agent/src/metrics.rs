//! What a node counts of its containers and of itself. docs/METRICS.md lists all of it.

use std::path::Path;

use model::{ContainerPhase, Health, Metric, NetworkMode, Timestamp};

use crate::containers::{ContainerView, Containers};
use crate::stats::{Reader, Sample};

/// Labels by which Compose and Swarm say what a container belongs to, the first that is there.
const PROJECT: [&str; 2] = ["com.docker.compose.project", "com.docker.stack.namespace"];
const SERVICE: [&str; 2] = ["com.docker.swarm.service.name", "com.docker.compose.service"];

const PHASES: [ContainerPhase; 7] = [
    ContainerPhase::Created,
    ContainerPhase::Running,
    ContainerPhase::Paused,
    ContainerPhase::Restarting,
    ContainerPhase::Exited,
    ContainerPhase::Removing,
    ContainerPhase::Dead,
];

/// Everything about the node's containers now. Reads many files; keeps them open in `reader`.
pub fn metrics(containers: &Containers, data_dir: &Path, reader: &mut Reader) -> Vec<Metric> {
    let views = containers.list();
    let samples = views.iter().map(|view| {
        let (_, pid, cgroup, mode) = containers.measured(view.id)?;
        let pid = pid?;
        Some(reader.container(&cgroup, (mode != NetworkMode::Host).then_some(pid)))
    });
    let samples: Vec<Option<Sample>> = samples.collect();
    reader.finish();
    let mut metrics = of_node(&views, containers, data_dir);
    metrics.extend(of_life(&views));
    metrics.extend(of_use(&views, &samples));
    metrics
}

fn of_node(views: &[ContainerView], containers: &Containers, data_dir: &Path) -> Vec<Metric> {
    let count = |phase| views.iter().filter(|view| view.status.phase == phase).count();
    let containers_by = PHASES.map(|phase| (phase.to_string(), count(phase)));
    // A store that can't be read has no number, rather than none.
    let images = containers.images().list().map(|images| images.len());
    let mut metrics = vec![
        Metric::gauge("orca_containers", "Containers by state.").of_each("state", containers_by),
        Metric::gauge("orca_volumes", "Volumes.").of(containers.volumes().list().len()),
    ];
    metrics.extend(images.ok().map(|images| Metric::gauge("orca_images", "Images.").of(images)));
    if let Ok(disk) = rustix::fs::statvfs(data_dir) {
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        metrics.push(
            Metric::gauge("orca_data_disk_size_bytes", "Size of the disk that the data directory is on.")
                .of(bytes(disk.f_blocks)),
        );
        metrics
            .push(Metric::gauge("orca_data_disk_free_bytes", "What is free of it to Orca.").of(bytes(disk.f_bavail)));
    }
    metrics
}

/// The labels of everything that is said of one container.
fn labels(view: &ContainerView) -> Vec<(&'static str, String)> {
    vec![("container", view.name.clone()), ("id", view.id.to_string())]
}

/// A metric with a number for each container that has one.
fn each<V: model::Measure>(
    metric: Metric,
    views: &[ContainerView],
    mut number: impl FnMut(usize, &ContainerView) -> Option<V>,
) -> Metric {
    let mut metric = metric;
    for (index, view) in views.iter().enumerate() {
        if let Some(number) = number(index, view) {
            metric.add(labels(view), number);
        }
    }
    metric
}

fn of_life(views: &[ContainerView]) -> Vec<Metric> {
    let mut info = Metric::gauge("orca_container_info", "What a container is of; always 1.");
    for view in views {
        let of = |names: [&str; 2]| names.iter().find_map(|name| view.labels.get(*name)).cloned().unwrap_or_default();
        let mut labels = labels(view);
        labels.extend([("image", view.spec.image.clone()), ("project", of(PROJECT)), ("service", of(SERVICE))]);
        info.add(labels, 1_u32);
    }
    let is_up = |view: &ContainerView| matches!(view.status.phase, ContainerPhase::Running | ContainerPhase::Paused);
    vec![
        info,
        each(Metric::gauge("orca_container_running", "Whether it runs, paused or not."), views, |_, view| {
            Some(is_up(view))
        }),
        each(
            Metric::gauge("orca_container_start_time_seconds", "When it was last started, since 1970."),
            views,
            |_, view| (view.status.started_at != Timestamp::default()).then(|| seconds(view.status.started_at)),
        ),
        each(
            Metric::counter("orca_container_restarts_total", "How often its restart policy has run it again."),
            views,
            |_, view| Some(view.status.restart_count),
        ),
        each(
            Metric::gauge("orca_container_last_exit_code", "Code of its last run, 128+n for a signal."),
            views,
            |_, view| view.status.exit_code,
        ),
        each(
            Metric::gauge("orca_container_oom_killed", "Whether its last run ended for want of memory."),
            views,
            |_, view| Some(view.status.oom_killed),
        ),
        each(
            Metric::gauge("orca_container_healthy", "Whether its health check passes, where it has one."),
            views,
            |_, view| (view.status.health != Health::None).then_some(view.status.health == Health::Healthy),
        ),
    ]
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds are exact until the year 285,000")]
fn seconds(at: Timestamp) -> f64 {
    (at.0 / 1_000_000) as f64 / 1e3
}

#[allow(clippy::cast_precision_loss, reason = "of a century of CPU time, microseconds are exact")]
fn cpu_seconds(nanoseconds: u64) -> f64 {
    (nanoseconds / 1_000) as f64 / 1e6
}

fn of_use(views: &[ContainerView], samples: &[Option<Sample>]) -> Vec<Metric> {
    let of = |metric: Metric, number: &dyn Fn(&Sample) -> Option<u64>| {
        each(metric, views, |index, _| samples[index].as_ref().and_then(number))
    };
    let cpu = Metric::counter("orca_container_cpu_seconds_total", "CPU time that it has used.");
    vec![
        each(cpu, views, |index, _| samples[index].as_ref().map(|sample| cpu_seconds(sample.cpu))),
        of(
            Metric::gauge("orca_container_memory_bytes", "Memory that it uses, without inactive file cache."),
            &|sample| Some(sample.memory.saturating_sub(sample.inactive_file)),
        ),
        of(
            Metric::gauge("orca_container_memory_limit_bytes", "Memory that it may use, where there is a limit."),
            &|sample| sample.memory_limit,
        ),
        of(Metric::gauge("orca_container_pids", "Its processes and threads."), &|sample| Some(sample.pids)),
        of(Metric::counter("orca_container_network_received_bytes_total", "Received on its interfaces."), &|sample| {
            Some(sample.received)
        }),
        of(Metric::counter("orca_container_network_sent_bytes_total", "Sent on its interfaces."), &|sample| {
            Some(sample.sent)
        }),
        of(Metric::counter("orca_container_block_read_bytes_total", "Read from block devices."), &|sample| {
            Some(sample.block_read)
        }),
        of(Metric::counter("orca_container_block_written_bytes_total", "Written to block devices."), &|sample| {
            Some(sample.block_written)
        }),
    ]
}
