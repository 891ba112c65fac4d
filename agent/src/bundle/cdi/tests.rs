use super::*;

const GPU: &str = r#"
cdiVersion: 0.6.0
kind: nvidia.com/gpu
containerEdits:
  env: [NVIDIA_VISIBLE_DEVICES=void]
  mounts:
  - {hostPath: /usr/lib/libcuda.so, containerPath: /usr/lib/libcuda.so, options: [ro, nosuid]}
  hooks:
  - {hookName: createContainer, path: /usr/bin/nvidia-cdi-hook, args: [nvidia-cdi-hook, update-ldcache]}
devices:
- name: 0
  containerEdits:
    deviceNodes: [{path: /dev/nvidia0}]
- name: "1"
  containerEdits:
    deviceNodes: [{path: /dev/nvidia1, permissions: rw}]
    additionalGids: [0, 44]
"#;

fn registry(files: &[(usize, &str, &str)]) -> Registry {
    let mut registry = Registry::default();
    for (directory, path, text) in files {
        registry.add(*directory, (*path).to_owned(), text);
    }
    registry
}

fn gpu(count: i64, ids: &[&str]) -> DeviceRequest {
    DeviceRequest {
        count,
        device_ids: ids.iter().map(ToString::to_string).collect(),
        capabilities: vec!["gpu".into()],
        ..DeviceRequest::default()
    }
}

fn paths(edits: &Edits) -> Vec<&str> {
    edits.devices.iter().map(|device| device.path.as_str()).collect()
}

#[test]
fn gpus_are_counted_named_or_all() {
    let registry = registry(&[(0, "/etc/cdi/nvidia.yaml", GPU)]);
    let all = registry.edits(&[gpu(-1, &[])]).unwrap();
    assert_eq!(paths(&all), ["/dev/nvidia0", "/dev/nvidia1"]);
    assert_eq!((all.env.len(), all.mounts.len(), all.hooks.len()), (1, 1, 1), "what is common comes once");
    assert_eq!(all.groups, [44], "root's group is left out");
    assert_eq!(paths(&registry.edits(&[gpu(1, &[])]).unwrap()), ["/dev/nvidia0"]);
    assert_eq!(paths(&registry.edits(&[gpu(0, &["1"])]).unwrap()), ["/dev/nvidia1"]);
    let by_name = DeviceRequest::cdi("nvidia.com/gpu=1").unwrap();
    assert_eq!(paths(&registry.edits(&[by_name]).unwrap()), ["/dev/nvidia1"]);
    assert_eq!(registry.edits(&[]).unwrap(), Edits::default());
}

#[test]
fn what_cannot_be_had_is_named() {
    let files = registry(&[(0, "/etc/cdi/nvidia.yaml", GPU), (0, "/etc/cdi/bad.json", "{")]);
    let fails = |registry: &Registry, request: DeviceRequest, words: &[&str]| {
        let error = registry.edits(&[request]).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    fails(&files, gpu(3, &[]), &["the node has 2"]);
    fails(&files, gpu(0, &["7"]), &["nvidia.com/gpu=7", "the node has 0, 1", "/etc/cdi/bad.json"]);
    fails(&files, DeviceRequest::cdi("v.com/c=x").unwrap(), &["v.com/c", "/etc/cdi/bad.json"]);
    fails(&Registry::default(), gpu(-1, &[]), &["gpus", "all", "nvidia-ctk cdi generate"]);
    fails(&files, DeviceRequest { driver: "amd".into(), ..gpu(1, &[]) }, &["amd"]);
    fails(&files, DeviceRequest { capabilities: vec!["tpu".into()], ..gpu(1, &[]) }, &["tpu"]);
    fails(&files, DeviceRequest { options: [("a".into(), "b".into())].into(), ..gpu(1, &[]) }, &["device option"]);
    let twice = registry(&[(0, "/a.yaml", GPU), (0, "/b.yaml", GPU)]);
    fails(&twice, gpu(0, &["0"]), &["both /a.yaml and /b.yaml"]);
    // A directory that stands above has the last word.
    let above = registry(&[(0, "/a.yaml", GPU), (1, "/b.yaml", &GPU.replace("nvidia0", "other"))]);
    assert_eq!(paths(&above.edits(&[gpu(0, &["0"])]).unwrap()), ["/dev/other"]);
}

#[test]
fn files_of_no_use_say_why() {
    let with = |edits: &str| {
        let text = format!(
            r#"{{"cdiVersion": "1.0.0", "kind": "v.com/c", "devices": [{{"name": "x", "containerEdits": {edits}}}]}}"#
        );
        let error = registry(&[(0, "/x.json", &text)]).edits(&[DeviceRequest::cdi("v.com/c=x").unwrap()]);
        error.map_or_else(|error| error.to_string(), |edits| format!("{edits:?}"))
    };
    for (edits, words) in [
        (r#"{"unheard": 1}"#, "unheard"),
        (r#"{"intelRdt": {}}"#, "intelRdt"),
        (r#"{"netDevices": [1]}"#, "netDevices"),
        (r#"{"env": ["A"]}"#, "NAME=VALUE"),
        (r#"{"mounts": [{"hostPath": "a", "containerPath": "/b"}]}"#, "absolute"),
        (r#"{"mounts": [{"hostPath": "/a", "containerPath": "/b", "type": "tmpfs"}]}"#, "only bind"),
        (r#"{"deviceNodes": [{"path": "/etc/passwd"}]}"#, "/etc/passwd"),
        (r#"{"deviceNodes": [{"path": "/dev/x", "permissions": "z"}]}"#, "makes no sense"),
        (r#"{"hooks": [{"hookName": "poststop", "path": "/x"}]}"#, "poststop"),
        (r#"{"hooks": [{"hookName": "later", "path": "/x"}]}"#, "later"),
        (r#"{"hooks": [{"hookName": "prestart", "path": "x"}]}"#, "absolute path"),
    ] {
        assert!(with(edits).contains(words), "{edits}: {}", with(edits));
    }
    for text in [r#"{"cdiVersion": "9.0", "kind": "a", "devices": []}"#, "{}", "[]"] {
        assert!(Document::parse("x.json", text).is_err(), "{text}");
    }
}
