//! `cluster up HOSTS`: daemons on hosts of their own, formed into a cluster, and a prompt at which to break them. They are gone when
//! it ends.

#[path = "../../cluster/mod.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "made for tests, which end with what went wrong"
)]
mod cluster;

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use cluster::Cluster;

const USAGE: &str = "\
usage: cluster up HOSTS [--managers N] [--disk SIZE] [--orca PROGRAM]

Starts HOSTS daemons, each with a network, mounts, processes and a name of its own, and makes them one cluster.
  --managers N    how many of them are managers (default: 3, or 1 of fewer than 3 hosts)
  --disk SIZE     give each a disk of this size, such as 256m, that can be filled
  --orca PROGRAM  the binary (default: orca beside this program)";

const HELP: &str = "\
orca N ARGUMENTS...    run orca on host N                    run N PROGRAM ARGUMENTS...  run a program there
kill N | term N        end its daemon as a crash, in order   start N                     start it again
stop N | cont N        have it stand still, and go on        cut N | boot N              cut its power, and boot it
unplug N | plug N      its cable                             slow N KBIT | slow N off    its cable's speed
mute A B               lose what A sends to B                part A,B C,D                let nothing pass between two groups
heal                   end all of mute and part              fill N | free N             its disk (with --disk)
hosts                  addresses and sockets                 quit                        remove everything";

struct Options {
    hosts: usize,
    managers: usize,
    disk: Option<String>,
    orca: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match parse(&arguments) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A child has the default again, and the prompt stays: `quit` removes what was made.
    // SAFETY: the handler does nothing at all.
    let caught = unsafe { libc::signal(libc::SIGINT, nothing as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    if caught == libc::SIG_ERR {
        eprintln!("SIGINT cannot be caught: {}", std::io::Error::last_os_error());
        return ExitCode::FAILURE;
    }
    let mut cluster = Cluster::with_disks(&options.orca, options.hosts, options.disk.as_deref());
    cluster.form(options.managers, options.hosts - options.managers);
    hosts(&cluster);
    println!("help lists what can be done; quit removes everything");
    for line in prompted() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words == ["quit"] {
            break;
        }
        if let Err(why) = perform(&mut cluster, &words) {
            eprintln!("{why}");
        }
    }
    ExitCode::SUCCESS
}

extern "C" fn nothing(_: libc::c_int) {}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let [verb, hosts, options @ ..] = arguments else { return Err("a number of hosts is needed".into()) };
    if verb != "up" {
        return Err(format!("{verb} is nothing that this program does"));
    }
    let count = |text: &String| match text.parse() {
        Ok(number @ 1..=200) => Ok(number),
        _ => Err(format!("{text} is not a number from 1 to 200")),
    };
    let hosts = count(hosts)?;
    let own = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let mut parsed =
        Options { hosts, managers: if hosts < 3 { 1 } else { 3 }, disk: None, orca: own.with_file_name("orca") };
    for pair in options.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
        match name.as_str() {
            "--managers" => parsed.managers = count(value)?,
            "--disk" => parsed.disk = Some(value.clone()),
            "--orca" => parsed.orca = value.into(),
            other => return Err(format!("{other} is not an option")),
        }
    }
    if parsed.managers > hosts {
        return Err(format!("{} managers need as many hosts", parsed.managers));
    }
    match parsed.orca.canonicalize() {
        Ok(orca) => Ok(Options { orca, ..parsed }),
        Err(error) => Err(format!("{}: {error}; build it with `cargo build -p orca`", parsed.orca.display())),
    }
}

/// Lines of standard input, each after a prompt.
fn prompted() -> impl Iterator<Item = String> {
    let mut lines = std::io::stdin().lock().lines();
    std::iter::from_fn(move || {
        print!("> ");
        std::io::stdout().flush().ok()?;
        lines.next()?.ok()
    })
}

fn hosts(cluster: &Cluster) {
    for host in &cluster.hosts {
        let power = if host.has_power() { "" } else { "  without power" };
        println!("{}  {}  export ORCA_HOST={}{power}", host.name(), host.address(), host.socket());
    }
}

fn perform(cluster: &mut Cluster, words: &[&str]) -> Result<(), String> {
    let number = |text: &str| match text.parse() {
        Ok(number) if (1..=cluster.hosts.len()).contains(&number) => Ok(number),
        _ => Err(format!("{text} is not the number of a host")),
    };
    let numbers = |text: &str| text.split(',').map(number).collect::<Result<Vec<usize>, String>>();
    match words {
        [] => {}
        ["help"] => println!("{HELP}"),
        ["hosts"] => hosts(cluster),
        ["heal"] => cluster.heal(),
        ["mute", from, to] => cluster.mute(number(from)?, number(to)?),
        ["part", one, other] => cluster.partition(&numbers(one)?, &numbers(other)?),
        ["slow", n, "off"] => cluster.slow(number(n)?, None),
        ["slow", n, rate] => {
            let rate = rate.parse().map_err(|_| format!("{rate} is not a number of kilobits a second"))?;
            cluster.slow(number(n)?, Some(rate));
        }
        ["orca", n, arguments @ ..] => {
            let host = cluster.host(number(n)?);
            shown(Command::new(host.program()).env("ORCA_HOST", host.socket()).args(arguments))?;
        }
        ["run", n, program, arguments @ ..] => {
            let host = powered(cluster, number(n)?)?;
            shown(host.command(program).args(arguments))?;
        }
        [verb, n] => one(cluster, verb, number(n)?)?,
        [verb, ..] => {
            return Err(format!("{verb} with {} words is nothing that can be done: see help", words.len() - 1));
        }
    }
    Ok(())
}

/// What is done to one host.
fn one(cluster: &mut Cluster, verb: &str, number: usize) -> Result<(), String> {
    let (power, daemon) = (cluster.host(number).has_power(), cluster.host(number).has_daemon());
    let needs = |is_so: bool, what: &str| if is_so { Ok(()) } else { Err(format!("host {number} has {what}")) };
    match verb {
        "boot" => needs(!power, "power already").map(|()| cluster.boot(number)),
        "cut" => needs(power, "no power").map(|()| cluster.cut_power(number)),
        "start" => needs(power && !daemon, "no power, or a daemon already").map(|()| cluster.start_daemon(number)),
        "kill" => needs(daemon, "no daemon").map(|()| cluster.kill_daemon(number)),
        "term" => needs(daemon, "no daemon").map(|()| cluster.stop_daemon(number)),
        "stop" => needs(daemon, "no daemon").map(|()| cluster.suspend_daemon(number)),
        "cont" => needs(daemon, "no daemon").map(|()| cluster.resume_daemon(number)),
        "unplug" => needs(power, "no power").map(|()| cluster.unplug(number)),
        "plug" => needs(power, "no power").map(|()| cluster.plug(number)),
        "fill" | "free" if !cluster.has_disks() => Err("hosts have no disks of their own: start with --disk".into()),
        "fill" => needs(power, "no power").map(|()| cluster.host(number).fill_disk()),
        "free" => needs(power, "no power").map(|()| cluster.host(number).free_disk()),
        other => Err(format!("{other} is nothing that can be done to a host: see help")),
    }
}

fn powered(cluster: &Cluster, number: usize) -> Result<&cluster::Host, String> {
    let host = cluster.host(number);
    if host.has_power() { Ok(host) } else { Err(format!("host {number} has no power")) }
}

/// Runs it with this program's terminal.
fn shown(command: &mut Command) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("it cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}
