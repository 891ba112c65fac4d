//! `orca stats`.

use api::node::{ContainerUsage, StatsReply, StatsRequest};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::Result;
use crate::output::format::{self, Format, Listing};
use crate::output::human;
use crate::terminal;
use template::Value;

/// Arguments of `orca stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    #[command(flatten)]
    pub show: ShowArgs,
    /// Containers; none means those that run
    containers: Vec<String>,
}

/// How use is shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Also containers that do not run
    #[arg(short, long)]
    pub all: bool,
    /// Once, not every second
    #[arg(long)]
    pub no_stream: bool,
    /// Do not shorten
    #[arg(long)]
    pub no_trunc: bool,
    /// table, json, or a Go template; "table TEMPLATE" has headers
    #[arg(long, default_value = "table", value_parser = format::parse)]
    pub format: Format,
}

/// Shows what containers use.
pub async fn stats(host: &Host, args: StatsArgs) -> Result<()> {
    let client = Client::connect(host).await?;
    let mut nodes: Vec<Asked> = Vec::new();
    for name in &args.containers {
        let (client, container) = elsewhere::find(&client, name).await?;
        match nodes.iter_mut().find(|asked| asked.client.node_meant() == client.node_meant()) {
            Some(asked) => asked.containers.push(container),
            None => nodes.push(Asked { client, containers: vec![container] }),
        }
    }
    if nodes.is_empty() {
        nodes.push(Asked { client, containers: Vec::new() });
    }
    show_all(nodes, &args.show).await
}

/// Containers of one node.
struct Asked {
    client: Client,
    containers: Vec<String>,
}

/// Shows what these containers use, or all.
pub async fn follow(client: &mut Client, containers: Vec<String>, show: &ShowArgs) -> Result<()> {
    show_all(vec![Asked { client: client.clone(), containers }], show).await
}

/// Shows what nodes say together, whenever each has said something new.
async fn show_all(nodes: Vec<Asked>, show: &ShowArgs) -> Result<()> {
    let mut streams = Vec::new();
    for Asked { mut client, containers } in nodes {
        let request = StatsRequest { containers, all: show.all, once: show.no_stream };
        streams.push(client.node.stats(request).await?.into_inner());
    }
    let redraw =
        !show.no_stream && matches!(show.format, Format::Table | Format::Columns(_)) && terminal::stdout_is_terminal();
    loop {
        let mut replies = Vec::new();
        for stream in &mut streams {
            match stream.message().await? {
                Some(reply) => replies.push(reply),
                None => return Ok(()),
            }
        }
        let text = render(&replies, show)?;
        format::write(&if redraw { redrawn(&text) } else { text })?;
    }
}

/// From the top of the screen, each line cleared to its end, and all below.
fn redrawn(text: &str) -> String {
    format!("\x1b[H{}\x1b[J", text.replace('\n', "\x1b[K\n"))
}

const LISTING: Listing<'_> = Listing {
    kind: "*formatter.statsContext",
    columns: "{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}",
    headers: &[
        ("ID", "CONTAINER ID"),
        ("CPUPerc", "CPU %"),
        ("MemUsage", "MEM USAGE / LIMIT"),
        ("MemPerc", "MEM %"),
        ("NetIO", "NET I/O"),
        ("BlockIO", "BLOCK I/O"),
        ("PIDs", "PIDS"),
    ],
};

fn render(replies: &[StatsReply], show: &ShowArgs) -> Result<String> {
    let mut usages: Vec<(&ContainerUsage, &StatsReply)> = Vec::new();
    for reply in replies {
        usages.extend(reply.containers.iter().map(|usage| (usage, reply)));
    }
    usages.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let rows = usages.into_iter().map(|(usage, reply)| Value::from(&row_json(&cells(usage, reply, show.no_trunc))));
    LISTING.render(&show.format, &rows.collect::<Vec<_>>())
}

/// ID, name, CPU, memory, memory share, network, block devices, processes.
fn cells(usage: &ContainerUsage, reply: &StatsReply, whole: bool) -> [String; 8] {
    let id = if whole { usage.id.clone() } else { usage.id.chars().take(12).collect() };
    let memory = usage.memory.saturating_sub(usage.inactive_file);
    let limit = match usage.running {
        true => usage.memory_limit.map_or(reply.memory, |limit| limit.min(reply.memory)),
        false => 0,
    };
    let share = if limit == 0 { 0.0 } else { memory as f64 / limit as f64 * 100.0 };
    let pair = |one, other| format!("{} / {}", human::size(one), human::size(other));
    [
        id,
        usage.name.clone(),
        format!("{:.2}%", cpu_share(usage, reply)),
        format!("{} / {}", human::binary_size(memory), human::binary_size(limit)),
        format!("{share:.2}%"),
        pair(usage.received, usage.sent),
        pair(usage.block_read, usage.block_written),
        usage.pids.to_string(),
    ]
}

/// Docker's formula: the part of the host's time that the container had, times the number of CPUs.
fn cpu_share(usage: &ContainerUsage, reply: &StatsReply) -> f64 {
    let used = usage.cpu.saturating_sub(usage.cpu_before) as f64;
    let passed = reply.system_cpu.saturating_sub(reply.system_cpu_before) as f64;
    if passed > 0.0 { used / passed * f64::from(reply.cpus) * 100.0 } else { 0.0 }
}

fn row_json(row: &[String; 8]) -> Json {
    let [id, name, cpu, memory, share, network, block, pids] = row;
    json!({
        "BlockIO": block,
        "CPUPerc": cpu,
        "Container": id,
        "ID": id,
        "MemPerc": share,
        "MemUsage": memory,
        "Name": name,
        "NetIO": network,
        "PIDs": pids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_dockers() {
        let usage = ContainerUsage {
            id: "a".repeat(64),
            name: "web".into(),
            running: true,
            cpu: 1_500_000_000,
            cpu_before: 1_000_000_000,
            memory: 3 << 20,
            inactive_file: 1 << 20,
            memory_limit: Some(8 << 20),
            pids: 3,
            received: 1_234,
            sent: 0,
            block_read: 5_000_000,
            block_written: 1,
        };
        let reply = StatsReply {
            system_cpu: 4_000_000_000,
            system_cpu_before: 2_000_000_000,
            cpus: 2,
            memory: 1 << 30,
            containers: vec![usage.clone()],
        };
        let row = cells(&usage, &reply, false);
        assert_eq!(row[2..], ["50.00%", "2MiB / 8MiB", "25.00%", "1.23kB / 0B", "5MB / 1B", "3"]);
        assert_eq!(row[0].len(), 12);
        let unlimited = ContainerUsage { memory_limit: None, ..usage.clone() };
        assert_eq!(cells(&unlimited, &reply, true)[3], "2MiB / 1GiB");
        let idle = ContainerUsage { name: "idle".into(), ..ContainerUsage::default() };
        assert_eq!(cells(&idle, &reply, true)[2..5], ["0.00%", "0B / 0B", "0.00%"]);
    }
}
