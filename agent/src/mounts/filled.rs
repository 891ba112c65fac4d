//! Secrets and configs that are templates, filled in for one container. Pure.
//!
//! As Docker's: `{{.Service.Name}}`, `{{.Node.Hostname}}`, `{{.Task.Slot}}`, and the functions `env`, `secret` and `config`, which find
//! variables of the container and what its other files hold.

use model::{ContainerSpec, FileTarget};
use serde_json::json;
use template::{Functions, Missing, Template, Value};

use crate::placeholders::Placeholders;
use crate::{Error, Result};

/// What templates of one container may name.
pub struct Facts<'a> {
    /// The container.
    pub spec: &'a ContainerSpec,
    /// What it is a task of, and where.
    pub names: &'a Placeholders,
    /// `x86_64` or `aarch64`.
    pub architecture: &'a str,
    /// What its secret of this number holds.
    pub secret: &'a dyn Fn(usize) -> Option<&'a [u8]>,
    /// What its config of this number holds.
    pub config: &'a dyn Fn(usize) -> Option<&'a [u8]>,
}

/// Fills a template in. What its files hold is taken as it is, if they are templates, too.
///
/// # Errors
/// [`Error::Template`] with the name of the file, and nothing of what secrets hold.
pub fn fill(kind: &'static str, name: &str, text: &[u8], facts: &Facts<'_>) -> Result<Vec<u8>> {
    let failed = |reason: String| Error::Template { kind, name: name.to_owned(), reason };
    let text = std::str::from_utf8(text).map_err(|_| failed("it is not text".into()))?;
    let template = Template::parse_with(text, &["env", "secret", "config"]);
    let template = template.map_err(|error| failed(error.to_string()))?;
    let find = |function: &str, wanted: &str| find(function, wanted, facts);
    let filled = template.execute(&data(facts), Missing::Key, Functions::Lookup(&find));
    filled.map(String::into_bytes).map_err(|error| failed(error.to_string()))
}

fn data(facts: &Facts<'_>) -> Value {
    let Placeholders { node_id, node_hostname, service_id, service_name, task_id, task_name, task_slot } = facts.names;
    Value::from(&json!({
        "Service": { "ID": service_id, "Name": service_name },
        "Node": { "ID": node_id, "Hostname": node_hostname, "Platform": { "Architecture": facts.architecture, "OS": "linux" } },
        "Task": { "ID": task_id, "Name": task_name, "Slot": task_slot },
    }))
}

fn find(function: &str, wanted: &str, facts: &Facts<'_>) -> Result<String, String> {
    let spec = facts.spec;
    let content = match function {
        // As Docker, nothing for a variable that there is not.
        "env" => return Ok(spec.env.get(wanted).cloned().unwrap_or_default()),
        "secret" => {
            let index = spec.secrets.iter().position(|file| is(&file.file, &file.secret, wanted));
            index.and_then(|index| (facts.secret)(index))
        }
        _ => {
            let index = spec.configs.iter().position(|file| is(&file.file, &file.config, wanted));
            index.and_then(|index| (facts.config)(index))
        }
    };
    let content = content.ok_or_else(|| format!("{function} target {wanted} not found"))?;
    String::from_utf8(content.to_vec()).map_err(|_| format!("{function} target {wanted} is not text"))
}

/// Whether a file is meant: by where it is in the container, whole or from the directory of its kind, or by what it is called.
fn is(file: &FileTarget, name: &str, wanted: &str) -> bool {
    let short = file.path.strip_prefix("/run/secrets/").unwrap_or_else(|| file.path.trim_start_matches('/'));
    file.path == wanted || short == wanted || name == wanted
}

#[cfg(test)]
mod tests {
    use model::{ConfigFile, SecretFile};

    use super::*;

    fn spec() -> ContainerSpec {
        let file = |path: &str| FileTarget { path: path.into(), uid: "0".into(), gid: "0".into(), mode: 0o400 };
        ContainerSpec {
            env: [("MODE".to_owned(), "fast".to_owned())].into(),
            secrets: vec![SecretFile {
                secret: "shop_key".into(),
                id: None,
                template: false,
                file: file("/run/secrets/key"),
            }],
            configs: vec![ConfigFile {
                config: "shop_conf".into(),
                id: None,
                template: true,
                file: file("/etc/app.conf"),
            }],
            ..ContainerSpec::default()
        }
    }

    fn filled(text: &str) -> Result<String, String> {
        let names = Placeholders {
            node_hostname: "one".into(),
            service_name: "shop_web".into(),
            task_slot: "3".into(),
            ..Placeholders::default()
        };
        let (secret, config) = (|_: usize| Some(&b"hunter2"[..]), |_: usize| Some(&b"{{ raw }}"[..]));
        let facts = Facts { spec: &spec(), names: &names, architecture: "x86_64", secret: &secret, config: &config };
        let bytes = fill("config", "shop_conf", text.as_bytes(), &facts).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn everything_that_docker_names_is_there() {
        let text =
            "{{.Service.Name}}.{{.Task.Slot}}@{{.Node.Hostname}} {{.Node.Platform.OS}}/{{.Node.Platform.Architecture}}";
        assert_eq!(filled(text).unwrap(), "shop_web.3@one linux/x86_64");
        assert_eq!(filled(r#"{{env "MODE"}}{{env "NONE"}}!"#).unwrap(), "fast!");
        assert_eq!(
            filled(r#"pass={{secret "key"}} {{secret "/run/secrets/key" | upper}}"#).unwrap(),
            "pass=hunter2 HUNTER2"
        );
        assert_eq!(filled(r#"{{config "etc/app.conf"}} {{config "shop_conf"}}"#).unwrap(), "{{ raw }} {{ raw }}");
        assert_eq!(filled(r#"{{if eq .Task.Slot "3"}}third{{end}}"#).unwrap(), "third");
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (text, reason) in [
            (r#"{{secret "other"}}"#, "secret target other not found"),
            ("{{.Service.Nme}}", "Nme"),
            ("{{", "template"),
            (r#"{{secret "key" | len | secret}}"#, "expected string"),
        ] {
            let error = filled(text).unwrap_err();
            assert!(error.contains(reason) && error.contains("config shop_conf"), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let facts = Placeholders::default();
        let none = |_: usize| None;
        let facts = Facts { spec: &spec(), names: &facts, architecture: "", secret: &none, config: &none };
        assert!(fill("config", "c", &[0xff], &facts).unwrap_err().to_string().contains("not text"));
    }
}
