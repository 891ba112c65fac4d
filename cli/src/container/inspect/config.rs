//! `Config`: what a container is, from its user and its image together.

use api::node::{Container, Image};
use model::{ContainerSpec, HealthTest, Healthcheck};
use serde_json::{Map, Value as Json, json};

use crate::output::human;

/// Docker's object, in its order.
pub fn describe(container: &Container, spec: &ContainerSpec, image: &Image) -> Json {
    let document: Json = serde_json::from_str(&image.config_json).unwrap_or_default();
    let of_image = document.get("config").cloned().unwrap_or_default();
    let text = |own: &Option<String>, key: &str| {
        own.clone().or_else(|| Some(of_image.get(key)?.as_str()?.to_owned())).unwrap_or_default()
    };
    let mut object = Map::new();
    let mut set = |name: &str, value: Json| {
        object.insert(name.to_owned(), value);
    };
    set("Hostname", json!(spec.hostname.clone().unwrap_or_else(|| container.id.chars().take(12).collect())));
    set("Domainname", json!(spec.domainname.clone().unwrap_or_default()));
    set("User", json!(text(&spec.user, "User")));
    set("AttachStdin", json!(false));
    set("AttachStdout", json!(false));
    set("AttachStderr", json!(false));
    let exposed = exposed(container, &of_image);
    if !exposed.is_empty() {
        set("ExposedPorts", Json::Object(exposed));
    }
    set("Tty", json!(spec.tty));
    set("OpenStdin", json!(spec.open_stdin));
    set("StdinOnce", json!(false));
    set("Env", json!(environment(spec, &of_image)));
    set("Cmd", command(spec, &of_image));
    match &spec.healthcheck {
        Some(check) => set("Healthcheck", healthcheck(check)),
        None => {
            if let Some(check) = of_image.get("Healthcheck").filter(|check| !check.is_null()) {
                set("Healthcheck", check.clone());
            }
        }
    }
    set("Image", json!(spec.image));
    set("Volumes", of_image.get("Volumes").cloned().unwrap_or_default());
    set("WorkingDir", json!(text(&spec.working_dir, "WorkingDir")));
    set("Entrypoint", entrypoint(spec, &of_image));
    set("OnBuild", of_image.get("OnBuild").cloned().unwrap_or_default());
    set("Labels", json!(container.labels.iter().collect::<std::collections::BTreeMap<_, _>>()));
    let signal = text(&spec.stop_signal, "StopSignal");
    if !signal.is_empty() {
        set("StopSignal", json!(signal));
    }
    if let Some(grace) = spec.stop_grace_period {
        set("StopTimeout", json!(grace.as_secs()));
    }
    Json::Object(object)
}

fn exposed(container: &Container, of_image: &Json) -> Map<String, Json> {
    let own = container.ports.iter().map(|port| format!("{}/{}", port.target, human::protocol(port)));
    let images = of_image.get("ExposedPorts").and_then(Json::as_object).into_iter().flat_map(Map::keys).cloned();
    let all: std::collections::BTreeSet<String> = own.chain(images).chain(human::exposed(container)).collect();
    all.into_iter().map(|port| (port, json!({}))).collect()
}

/// The user's variables, then those of the image that the user has not set.
fn environment(spec: &ContainerSpec, of_image: &Json) -> Vec<String> {
    let own = spec.env.iter().map(|(key, value)| format!("{key}={value}"));
    let images = of_image.get("Env").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    let images = images.filter(|line| !spec.env.contains_key(line.split('=').next().unwrap_or(line)));
    own.chain(images.map(str::to_owned)).collect()
}

fn command(spec: &ContainerSpec, of_image: &Json) -> Json {
    match (&spec.command, &spec.entrypoint) {
        (Some(command), _) if !command.is_empty() => json!(command),
        (None, None) => of_image.get("Cmd").cloned().unwrap_or_default(),
        _ => Json::Null,
    }
}

fn entrypoint(spec: &ContainerSpec, of_image: &Json) -> Json {
    match &spec.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => Json::Null,
        Some(entrypoint) => json!(entrypoint),
        None => of_image.get("Entrypoint").cloned().unwrap_or_default(),
    }
}

fn healthcheck(check: &Healthcheck) -> Json {
    let mut object = Map::new();
    let test = check.test.as_ref().map(|test| match test {
        HealthTest::Disabled => json!(["NONE"]),
        HealthTest::Exec(args) => json!(["CMD"].into_iter().chain(args.iter().map(String::as_str)).collect::<Vec<_>>()),
        HealthTest::Shell(text) => json!(["CMD-SHELL", text]),
    });
    let mut set = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    let nanos = |time: Option<std::time::Duration>| time.map(|time| json!(u64::try_from(time.as_nanos()).unwrap_or(0)));
    set("Test", test);
    set("Interval", nanos(check.interval));
    set("Timeout", nanos(check.timeout));
    set("StartPeriod", nanos(check.start_period));
    set("StartInterval", nanos(check.start_interval));
    set("Retries", check.retries.map(|retries| json!(retries)));
    Json::Object(object)
}
