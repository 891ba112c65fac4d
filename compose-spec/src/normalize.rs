//! What Compose adds to a model: defaults that depend on nothing, and then what follows from the rest of the project.

use std::collections::BTreeMap;

use crate::canonical::volume;
use crate::node::{Map, Node, Span, Value};

/// Fills in the defaults of one file set, before paths are resolved.
pub fn defaults(model: &mut Node) {
    for service in section(model, "services") {
        let Some(service) = service.as_map_mut() else { continue };
        if let Some(build) = service.get_mut("build") {
            set(build, "context", Value::String(".".into()));
        }
        for secret in list(service, "secrets") {
            let source = secret.get("source").and_then(Node::as_str).unwrap_or_default().to_owned();
            set(secret, "target", Value::String(format!("/run/secrets/{source}")));
        }
        for port in list(service, "ports") {
            set(port, "protocol", Value::String("tcp".into()));
            set(port, "mode", Value::String("ingress".into()));
        }
        for mount in list(service, "volumes") {
            if let Some(bind) = mount.get_mut("bind") {
                set(bind, "create_host_path", Value::Bool(true));
            }
        }
        for gpu in list(service, "gpus") {
            device_count(gpu);
        }
        let reservations = service
            .get_mut("deploy")
            .and_then(|node| node.get_mut("resources"))
            .and_then(|node| node.get_mut("reservations"));
        for device in
            reservations.and_then(|node| node.get_mut("devices")).and_then(Node::as_list_mut).into_iter().flatten()
        {
            device_count(device);
        }
    }
}

fn device_count(request: &mut Node) {
    if request.get("count").is_none() && request.get("device_ids").is_none() {
        set(request, "count", Value::String("all".into()));
    }
}

/// Sets a key that is absent.
fn set(node: &mut Node, key: &str, value: Value) {
    let span = node.span;
    if let Some(map) = node.as_map_mut() {
        map.entry(key.to_owned()).or_insert_with(|| Node::new(value, span));
    }
}

fn section<'a>(model: &'a mut Node, key: &str) -> impl Iterator<Item = &'a mut Node> {
    model.get_mut(key).and_then(Node::as_map_mut).into_iter().flat_map(Map::values_mut)
}

fn list<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = &'a mut Node> {
    map.get_mut(key).and_then(Node::as_list_mut).into_iter().flatten()
}

/// What depends on whether a key is there at all, so before empty values are dropped: `dockerfile: ""` is not the default,
/// nor is the network of a service with `network_mode: ""`, and `name: ""` is no name at all.
pub fn presence(model: &mut Node, project: &str) {
    networks(model);
    names(model, project);
    for build in section(model, "services").filter_map(|service| service.get_mut("build")) {
        if build.get("dockerfile_inline").is_none() {
            set(build, "dockerfile", Value::String("Dockerfile".into()));
        }
    }
}

/// `scale` is the number of replicas that `deploy` has, too, as in the reference once both are known to agree.
pub fn replicas<'a>(services: impl Iterator<Item = &'a mut Node>) {
    for service in services {
        if let Some(scale) = service.get("scale").cloned()
            && let Some(deploy) = service.get_mut("deploy")
        {
            set(deploy, "replicas", scale.value);
        }
    }
}

/// Normalises a typed model: implied dependencies, names, variables taken from the environment.
pub fn normalize(model: &mut Node, env: &BTreeMap<String, String>) {
    for service in section(model, "services") {
        if let Some(service) = service.as_map_mut() {
            self::service(service, env);
        }
    }
}

fn networks(model: &mut Node) {
    let mut uses_default = false;
    let mut at = Span::default();
    for service in section(model, "services") {
        let span = service.span;
        let Some(service) = service.as_map_mut() else { continue };
        if service.contains_key("provider") || service.contains_key("network_mode") {
            continue;
        }
        let named = service.get("networks").and_then(Node::as_map).filter(|networks| !networks.is_empty());
        match named {
            Some(networks) if !networks.contains_key("default") => {}
            Some(_) => uses_default = true,
            None => {
                let default = Map::from([("default".to_owned(), Node::new(Value::Null, span))]);
                service.insert("networks".into(), Node::new(Value::Map(default), span));
                uses_default = true;
            }
        }
        at = span;
    }
    if uses_default && let Some(top) = model.as_map_mut() {
        let networks = top.entry("networks".into()).or_insert_with(|| Node::map(at));
        set(networks, "default", Value::Null);
    }
}

fn service(service: &mut Map, env: &BTreeMap<String, String>) {
    if let Some(Node { value: Value::String(policy), .. }) = service.get_mut("pull_policy")
        && policy == "if_not_present"
    {
        *policy = "missing".into();
    }
    if let Some(build) = service.get_mut("build")
        && let Some(args) = build.get_mut("args")
    {
        from_environment(args, env);
        match &mut args.value {
            Value::Map(args) => args.retain(|_, value| !value.is_null()),
            Value::List(args) => args.retain(|arg| arg.as_str().is_some_and(|arg| arg.contains('='))),
            _ => {}
        }
        if matches!(&args.value, Value::Map(args) if args.is_empty())
            && let Some(build) = build.as_map_mut()
        {
            build.shift_remove("args");
        }
    }
    if let Some(environment) = service.get_mut("environment") {
        from_environment(environment, env);
    }
    for mount in list(service, "volumes") {
        if let Some(Node { value: Value::String(target), .. }) = mount.get_mut("target") {
            *target = if target.is_empty() { ".".into() } else { volume::clean(target) };
        }
    }
    implied_dependencies(service);
    let image = service.get("image").cloned();
    for hook in list(service, "pre_start") {
        if let Some(image) = &image {
            set(hook, "image", image.value.clone());
        }
    }
}

/// Gives the variables of lists such as `environment: [NAME]` their values. Those of mappings come later, from the whole
/// project's environment, as in the reference.
pub fn listed_variables(model: &mut Node, env: &BTreeMap<String, String>) {
    for service in section(model, "services") {
        if let Some(environment) = service.get_mut("environment").filter(|node| node.as_list().is_some()) {
            from_environment(environment, env);
        }
    }
}

/// Gives variables without a value that of the environment; a list is what a model that isn't typed may have.
fn from_environment(variables: &mut Node, env: &BTreeMap<String, String>) {
    for (name, node) in variables.as_map_mut().into_iter().flatten().filter(|(_, node)| node.is_null()) {
        if let Some(value) = env.get(name) {
            node.value = Value::String(value.clone());
        }
    }
    for item in variables.as_list_mut().into_iter().flatten() {
        if let Value::String(text) = &mut item.value
            && let Some(value) = env.get(text.as_str()).filter(|_| !text.contains('='))
        {
            *text = format!("{text}={value}");
        }
    }
}

/// Links, shared namespaces and volumes_from make a service depend on another.
fn implied_dependencies(service: &mut Map) {
    let mut implied: Vec<(String, bool, Span)> = Vec::new();
    for link in list(service, "links") {
        let text = link.as_str().unwrap_or_default();
        let name = match text.split(':').collect::<Vec<_>>()[..] {
            [name, _] => name,
            _ => text,
        };
        implied.push((name.to_owned(), true, link.span));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(node) = service.get(key)
            && let Some(name) = node.as_str().and_then(|mode| mode.strip_prefix("service:"))
        {
            implied.push((name.to_owned(), true, node.span));
        }
    }
    for item in list(service, "volumes_from") {
        let text = item.as_str().unwrap_or_default();
        if !text.starts_with("container:") {
            implied.push((text.split(':').next().unwrap_or_default().to_owned(), false, item.span));
        }
    }
    for (name, restart, span) in implied {
        let dependencies = service.entry("depends_on".into()).or_insert_with(|| Node::map(span));
        let mut dependency = crate::canonical::object(
            span,
            [("condition", Value::String("service_started".into())), ("required", Value::Bool(true))],
        );
        if restart {
            set(&mut dependency, "restart", Value::Bool(true));
        }
        if let Some(map) = dependencies.as_map_mut() {
            map.entry(name).or_insert(dependency);
        }
    }
}

/// Resources without a name get `<project>_<key>`, external ones their key.
fn names(model: &mut Node, project: &str) {
    for key in ["networks", "volumes", "configs", "secrets"] {
        let Some(resources) = model.get_mut(key).and_then(Node::as_map_mut) else { continue };
        for (name, resource) in resources {
            if resource.is_null() {
                resource.value = Value::Map(Map::new());
            }
            let external = resource.get("external").and_then(Node::scalar_text);
            let external = external.is_some_and(|word| matches!(&*word, "true" | "True" | "TRUE" | "t" | "T" | "1"));
            let full = if external { name.clone() } else { format!("{project}_{name}") };
            set(resource, "name", Value::String(full));
        }
    }
}
