//! `orca compose pull`, and the pulls that `up` begins with.

use std::collections::BTreeSet;
use std::time::Duration;

use api::image::{Progress, progress};
use clap::{Args, ValueEnum};
use futures::stream::{FuturesUnordered, StreamExt};
use model::Timestamp;
use tokio::sync::mpsc;

use super::dry_run::{self, Step};
use super::project::{Loaded, ProjectArgs, Reading};
use crate::client::{Client, Host};
use crate::clock;
use crate::error::{Error, Result};
use crate::output::manner;
use crate::registry::{self, Bars};

/// News that wait to be shown.
const AHEAD: usize = 64;

/// Arguments of `orca compose pull`.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Leave out images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what can be pulled, and warn of the rest
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also the services that these depend on
    #[arg(long)]
    include_deps: bool,
    /// missing: only what the node doesn't have; always
    #[arg(long, value_name = "POLICY", value_parser = ["missing", "always"])]
    policy: Option<String>,
    /// Do not show how pulls come along
    #[arg(short, long)]
    quiet: bool,
    /// Services; none means all
    services: Vec<String>,
}

/// `--pull` of `up`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PullFlag {
    /// Before every use
    Always,
    /// When the node doesn't have it
    Missing,
    /// Never
    Never,
    /// As each service's pull_policy says
    #[default]
    Policy,
}

/// When an image is to be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Never,
    Missing,
    OlderThan(Duration),
    Always,
}

impl When {
    /// Reads `pull_policy`, which the loader has checked.
    fn parse(text: Option<&str>, refresh_after: Option<&str>) -> Self {
        const DAY: u64 = 24 * 60 * 60;
        match text {
            Some("always") => Self::Always,
            Some("never" | "build") => Self::Never,
            Some("daily") => Self::OlderThan(Duration::from_secs(DAY)),
            Some("refresh") => refresh_after.and_then(period).map_or(Self::Missing, Self::OlderThan),
            Some("weekly") => Self::OlderThan(Duration::from_secs(7 * DAY)),
            Some(text) => text.strip_prefix("every_").and_then(period).map_or(Self::Missing, Self::OlderThan),
            None => Self::Missing,
        }
    }

    /// Whether an image that came at `came`, if it is here, is to be pulled.
    fn is_due(self, came: Option<Timestamp>, now: Timestamp) -> bool {
        match (self, came) {
            (Self::Always, _) => true,
            (Self::Never, _) => false,
            (_, None) => true,
            (Self::Missing, Some(_)) => false,
            (Self::OlderThan(period), Some(came)) => now.since(came) >= period,
        }
    }
}

/// `1w2d12h30m10s`, or part of it.
fn period(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let unit = match rest[digits..].chars().next()? {
            'w' => 7 * 86_400,
            'd' => 86_400,
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = seconds.checked_add(rest[..digits].parse::<u64>().ok()?.checked_mul(unit)?)?;
        rest = &rest[digits + 1..];
    }
    (!text.is_empty()).then(|| Duration::from_secs(seconds))
}

/// An image that services need.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    /// The first of them.
    service: String,
    image: String,
    platform: Option<String>,
    when: When,
}

/// What these services need, each image once, as often as the most eager of them wants; not the images of their own that are
/// to be built here, unless `built` are wanted too.
fn needs(loaded: &Loaded, keys: &BTreeSet<&str>, flag: PullFlag, built: bool) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for service in loaded.project.services().filter(|service| keys.contains(service.name)) {
        let is_built = service.node.get("build").is_some();
        let own = service.image().filter(|_| built || !is_built).map(str::to_owned);
        let when = match flag {
            PullFlag::Always => When::Always,
            PullFlag::Missing => When::Missing,
            PullFlag::Never => When::Never,
            PullFlag::Policy if service.text("pull_policy") == Some("build") => When::Missing,
            PullFlag::Policy => When::parse(service.text("pull_policy"), service.text("pull_refresh_after")),
        };
        let platform = service.text("platform").map(str::to_owned);
        // Those whose files it mounts are only to be here.
        let mounted = mounted_images(&service).into_iter().map(|image| (image, when.min(When::Missing)));
        let steps = service.list(&["pre_start"]).iter().filter_map(|step| step.get("image")?.as_str());
        let steps = steps.filter(|image| Some(*image) != service.image()).map(|image| (image.to_owned(), when));
        for (image, when) in own.map(|image| (image, when)).into_iter().chain(mounted).chain(steps) {
            match needs.iter_mut().find(|need| need.image == image && need.platform == platform) {
                Some(need) => need.when = need.when.max(when),
                None => needs.push(Need { service: service.name.to_owned(), image, platform: platform.clone(), when }),
            }
        }
    }
    needs
}

fn mounted_images(service: &compose_spec::Service<'_>) -> Vec<String> {
    let text =
        |mount: &compose_spec::node::Node, key: &str| mount.get(key).and_then(|node| node.as_str()).map(str::to_owned);
    let mounts = service.node.get("volumes").and_then(|node| node.as_list()).unwrap_or_default();
    let images = mounts.iter().filter(|mount| text(mount, "type").as_deref() == Some("image"));
    images.filter_map(|mount| text(mount, "source")).collect()
}

/// Pulls what `up` needs of these services.
pub async fn ensure(
    client: &Client,
    loaded: &Loaded,
    keys: &BTreeSet<&str>,
    flag: PullFlag,
    quiet: bool,
) -> Result<()> {
    let failures = pull_due(client, needs(loaded, keys, flag, false), quiet).await?;
    if failures.is_empty() { Ok(()) } else { Err(Error::NotConverged(failures.join("\n"))) }
}

/// The images that [`ensure`] would pull.
pub async fn foreseen(
    client: &Client,
    loaded: &Loaded,
    keys: &BTreeSet<&str>,
    flag: PullFlag,
) -> Result<BTreeSet<String>> {
    let due = due(client, needs(loaded, keys, flag, false)).await?;
    Ok(due.into_iter().map(|need| need.image).collect())
}

/// Pulls the images of services.
pub async fn pull(host: &Host, project: &ProjectArgs, args: PullArgs) -> Result<()> {
    let reading = Reading { services: args.services.clone(), no_deps: !args.include_deps, ..Reading::default() };
    let loaded = project.read(reading)?;
    let wanted = |service: &compose_spec::Service<'_>| !args.ignore_buildable || service.node.get("build").is_none();
    let keys: BTreeSet<&str> = loaded.project.services().filter(wanted).map(|service| service.name).collect();
    let flag = if args.policy.as_deref() == Some("missing") { PullFlag::Missing } else { PullFlag::Always };
    let client = Client::connect_or_start(host).await?;
    let needs = needs(&loaded, &keys, flag, true);
    if host.dry_run {
        let due = due(&client, needs).await?;
        let images: BTreeSet<String> = due.into_iter().map(|need| need.image).collect();
        dry_run::tell(images.into_iter().map(|image| Step::new("Image", image, "Pulled")));
        return Ok(());
    }
    let failures = pull_due(&client, needs, args.quiet).await?;
    if failures.is_empty() {
        return Ok(());
    }
    if args.ignore_pull_failures {
        failures.iter().for_each(|failure| eprintln!("WARNING: {failure}"));
        return Ok(());
    }
    Err(Error::NotConverged(failures.join("\n")))
}

/// What is to be pulled now.
async fn due(client: &Client, needs: Vec<Need>) -> Result<Vec<Need>> {
    let now = clock::now();
    let mut due = Vec::new();
    for need in needs {
        if need.when == When::Never {
            continue;
        }
        let found = registry::find(&mut client.clone(), &need.image).await?;
        let fits = found.filter(|found| of_platform(found, need.platform.as_deref()));
        if need.when.is_due(fits.map(|found| Timestamp(found.tagged_at)), now) {
            due.push(need);
        }
    }
    Ok(due)
}

/// Pulls what is due, several at once; what failed comes back.
async fn pull_due(client: &Client, needs: Vec<Need>, quiet: bool) -> Result<Vec<String>> {
    let due = due(client, needs).await?;
    let mut bars = Bars::compose(quiet, false);
    let (news, mut shown) = mpsc::channel::<(String, Progress)>(AHEAD);
    let mut waiting = due.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    let begin = |need: Need| one(client.clone(), need, news.clone());
    for need in waiting.by_ref().take(manner::at_once()) {
        bars.line(&need.service, "Pulling".into(), true);
        running.push(begin(need));
    }
    while !running.is_empty() {
        tokio::select! {
            Some((service, progress)) = shown.recv() => show(&mut bars, &service, &progress),
            Some((service, image, result)) = running.next() => {
                let words = if result.is_ok() { "Pulled" } else { "Error" };
                bars.line(&service, words.into(), true);
                failures.extend(result.err().map(|error| format!("service {service}: cannot pull {image}: {error}")));
                if let Some(need) = waiting.next() {
                    bars.line(&need.service, "Pulling".into(), true);
                    running.push(begin(need));
                }
            }
        }
    }
    Ok(failures)
}

fn of_platform(image: &api::node::Image, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted.and_then(|text| text.parse::<image::manifest::Platform>().ok()) else { return true };
    wanted.os == image.os && wanted.architecture == image.architecture
}

async fn one(mut client: Client, need: Need, news: mpsc::Sender<(String, Progress)>) -> (String, String, Result<()>) {
    let service = need.service.clone();
    let result = async {
        let request = registry::pull_request(&need.image, need.platform)?;
        let mut stream = client.images.pull(request).await?.into_inner();
        while let Some(progress) = stream.message().await? {
            // Whoever shows it outlives this.
            let _ = news.send((service.clone(), progress)).await;
        }
        Ok(())
    };
    let result = result.await;
    (need.service, need.image, result)
}

fn show(bars: &mut Bars, service: &str, progress: &Progress) {
    match &progress.event {
        Some(progress::Event::Layer(layer)) => {
            bars.layer(layer);
            if layer.state() == api::image::LayerState::Retrying {
                let why = layer.detail.clone().unwrap_or_default();
                bars.line(service, format!("Retrying: {why}"), true);
            }
        }
        Some(progress::Event::Message(_) | progress::Event::Done(_)) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_say_when() {
        let (day, now) = (86_400, Timestamp(1_000_000 * 1_000_000_000));
        let ago = |seconds: i64| Some(Timestamp(now.0 - seconds * 1_000_000_000));
        for (policy, missing, fresh, old) in [
            (None, true, false, false),
            (Some("missing"), true, false, false),
            (Some("always"), true, true, true),
            (Some("never"), false, false, false),
            (Some("daily"), true, false, true),
            (Some("weekly"), true, false, false),
            (Some("every_12h"), true, false, true),
            (Some("refresh"), true, false, true),
            (Some("every_1d1h"), true, false, false),
        ] {
            let when = When::parse(policy, Some("12h"));
            let due = (when.is_due(None, now), when.is_due(ago(60), now), when.is_due(ago(day), now));
            assert_eq!(due, (missing, fresh, old), "{policy:?}");
        }
        assert_eq!(period("1w2d3h4m5s"), Some(Duration::from_secs(604_800 + 172_800 + 10_800 + 240 + 5)));
        for bad in ["", "1", "h", "1y", "99999999999999999999s"] {
            assert_eq!(period(bad), None, "{bad}");
        }
    }
}
