//! The hash of a service's configuration, byte for byte as Docker Compose computes it.

use ring::digest::{SHA256, digest};

use super::json;
use crate::node::{Map, Node, Span, Value};
use crate::typed;

/// What does not make another container of the same service.
const LEFT_OUT: [&str; 5] = ["build", "pull_policy", "scale", "depends_on", "profiles"];

/// SHA-256 of the service as Go writes it in JSON, in hex; `more` keys are left out, too.
pub fn of_service(service: &Node, more: &[&str]) -> String {
    hex(go_text(&service_json(service, more)).as_bytes())
}

/// The service as Compose's JSON has it, keys in its order.
fn service_json(service: &Node, more: &[&str]) -> serde_json::Value {
    let mut node = service.clone();
    if let Some(map) = node.as_map_mut() {
        map.retain(|key, _| {
            !LEFT_OUT.contains(&key.as_str()) && !more.contains(&key.as_str()) && !key.starts_with("x-")
        });
        if let Some(deploy) = map.get_mut("deploy").and_then(Node::as_map_mut) {
            deploy.shift_remove("replicas");
        }
    }
    let span = Span::default();
    let services = Node::new(Value::Map(Map::from_iter([("s".to_owned(), node)])), span);
    let project = Node::new(Value::Map(Map::from_iter([("services".to_owned(), services)])), span);
    let mut value = json::ordered(&typed::without_extensions(&project, &typed::PROJECT), &typed::PROJECT);
    json::docker_form(&mut value);
    value["services"]["s"].take()
}

/// JSON as Go's encoder writes it: what HTML would take for markup is escaped.
fn go_text(value: &serde_json::Value) -> String {
    let text = value.to_string();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out
}

/// SHA-256 in hex.
pub fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: &str) -> Node {
        crate::yaml::parse(text.as_bytes(), crate::node::SourceId::default()).unwrap().remove(0)
    }

    /// The service of the reference's own test of its hash, and what it demands there.
    #[test]
    fn the_hash_is_the_references() {
        let service = service(
            r#"
annotations: {note: x}
cap_add: [NET_ADMIN]
command: [nginx, -g, daemon off;]
deploy: {replicas: 3, resources: {}, placement: {}}
entrypoint: null
environment: {B: null, A: "1"}
extra_hosts: [alpha=10.0.0.1]
healthcheck: {test: [CMD, "true"]}
image: nginx:latest
labels: {com.example: v}
networks: {default: null}
ports: [{target: 80, published: "8080", protocol: tcp}]
restart: always
scale: 3
stdin_open: true
tty: true
user: nobody
volumes: [{type: volume, source: data, target: /data}]
x-note: not hashed
"#,
        );
        let expected = "75bc312132c71fac4971d123202631b6978ac9d796336621af744d46611b42a2";
        assert_eq!(of_service(&service, &[]), expected);
    }

    #[test]
    fn markup_is_escaped_as_go_escapes_it() {
        let service = service("{command: ['a<b>&c'], image: x}");
        assert_eq!(go_text(&service_json(&service, &["image"])), r#"{"command":["a\u003cb\u003e\u0026c"]}"#);
        assert_eq!(go_text(&serde_json::json!("\u{2028}")), r#""\u2028""#);
    }
}
