//! Devices by their vendors' files (CDI), and GPUs by way of them.

use crate::support::Node;

/// /dev/null stands for a vendor's device, and so does /dev/kmsg, which no container may open unasked.
fn node() -> Node {
    let mut node = Node::prepare(&[]);
    let hook = node.file("hook.sh", "#!/bin/sh\nset -e\ncat > \"$0.state\"\necho \"$1 $WORD\" > \"$0.ran\"\n");
    let library = node.file("lib.so", "a library");
    let spec = format!(
        "cdiVersion: 0.6.0\nkind: nvidia.com/gpu\ncontainerEdits:\n  env: [VENDOR=yes]\n  mounts:\n  - {{hostPath: {library}, \
         containerPath: /usr/lib/lib.so, options: [ro, nosuid, nodev, bind]}}\n  hooks:\n  - {{hookName: createContainer, path: \
         /bin/sh, args: [sh, {hook}, arg], env: ['WORD=word'], timeout: 20}}\ndevices:\n- name: 0\n  containerEdits:\n    \
         deviceNodes: [{{path: /dev/gpu0, hostPath: /dev/null, permissions: rw}}]\n    env: [GPU0=yes]\n- name: 1\n  \
         containerEdits:\n    deviceNodes: [{{path: /dev/gpu1, hostPath: /dev/kmsg, permissions: r, fileMode: 0640, uid: 3, gid: \
         4}}]\n    additionalGids: [77]\n",
        library = library.display(),
        hook = hook.display(),
    );
    node.file("cdi/nvidia.yaml", &spec);
    let lower = node.file("cdi/below/vendor.json", &vendor("/dev/null")).parent().unwrap().to_owned();
    let upper = node.file("cdi/above/vendor.json", &vendor("/dev/zero")).parent().unwrap().to_owned();
    let directory = node.files().join("cdi");
    for dir in [&directory, &lower, &upper] {
        node.add_args(&["--cdi-spec-dir", dir.to_str().unwrap()]);
    }
    node.start_daemon();
    node.with_busybox()
}

fn vendor(path: &str) -> String {
    format!(
        r#"{{"cdiVersion": "1.0.0", "kind": "vendor.test/class", "devices": [{{"name": "one", "containerEdits":
        {{"deviceNodes": [{{"path": "/dev/vendor", "hostPath": "{path}"}}]}}}}]}}"#
    )
}

#[test]
fn devices_are_made_ready_as_their_vendor_says() {
    let node = node();
    let run = |args: &[&str]| node.ok(&[&["run", "--rm"], args].concat());
    let look = "echo $VENDOR $GPU0; ls /dev | grep gpu; cat /usr/lib/lib.so; echo x > /dev/gpu0";
    let whole = run(&["--device", "nvidia.com/gpu=0", "busybox", "sh", "-c", look]);
    assert_eq!(whole, "yes yes\ngpu0\na library");
    let hook = std::fs::read_to_string(node.files().join("hook.sh.ran"));
    // `sh hook.sh arg`: the script's own name is in $0.
    assert_eq!(hook.unwrap(), "arg word\n", "the hook ran with its arguments and variables");
    let state = std::fs::read_to_string(node.files().join("hook.sh.state")).unwrap();
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    let bundle = state["bundle"].as_str().unwrap();
    assert!(bundle.ends_with(state["id"].as_str().unwrap()) && state["status"] == "creating", "{state}");

    let all = run(&["--gpus", "all", "busybox", "sh", "-c", "ls /dev | grep gpu; stat -c '%a %u:%g' /dev/gpu1; id -G"]);
    assert_eq!(all, "gpu0\ngpu1\n640 3:4\n0 77\n");
    assert_eq!(run(&["--gpus", "1", "busybox", "sh", "-c", "ls /dev | grep gpu"]), "gpu0\n");
    assert_eq!(
        run(&["--gpus", "\"device=1\",capabilities=utility", "busybox", "sh", "-c", "ls /dev | grep gpu"]),
        "gpu1\n"
    );
    // The device filter knows them: what may only be read is not written.
    let open = "(true < /dev/gpu1) && echo read; (true > /dev/gpu1) 2>/dev/null || echo denied";
    let whole = ["--cap-add=SYSLOG", "--device", "nvidia.com/gpu=1", "busybox", "sh", "-c", open];
    assert_eq!(run(&whole), "read\ndenied\n");
    // Of two directories the last one counts: /dev/zero has something to read.
    assert_eq!(
        run(&["--device", "vendor.test/class=one", "busybox", "sh", "-c", "head -c 2 /dev/vendor | wc -c"]),
        "2\n"
    );
    node.ok(&["create", "--name", "web", "--gpus", "2", "--device", "vendor.test/class=one", "busybox", "true"]);
    let requests = node.ok(&["inspect", "-f", "{{json .HostConfig.DeviceRequests}}", "web"]);
    assert!(requests.contains(r#""Count":2"#) && requests.contains(r#"[["gpu"]]"#), "{requests}");
    assert!(requests.contains(r#""Driver":"cdi""#) && requests.contains("vendor.test/class=one"), "{requests}");

    for (flags, words) in [
        (&["--gpus", "3"][..], "the node has 2"),
        (&["--gpus", "device=7"], "the node has 0, 1"),
        (&["--gpus", "many"], "neither a number nor all"),
        (&["--gpus", "all,driver=other"], "device driver"),
        (&["--device", "vendor.test/class=two"], "the node has one"),
        (&["--device", "other.test/class=one"], "CDI directories"),
    ] {
        let error = node.fails(125, &[&["run", "--rm"], flags, &["busybox", "true"]].concat());
        assert!(error.contains(words), "{flags:?}: {error}");
    }
    // A file that is of no use is named by who needs it, and harms nobody else.
    node.file("cdi/broken.yaml", "kind: [");
    run(&["--device", "nvidia.com/gpu=0", "busybox", "true"]);
    let error = node.fails(125, &["run", "--rm", "--device", "other.test/class=one", "busybox", "true"]);
    assert!(error.contains("broken.yaml"), "{error}");

    let compose = "name: p\nservices:\n  a:\n    image: busybox\n    command: sh -c 'ls /dev | grep -E \"gpu|vendor\"; sleep 1000'\n    \
        devices: ['vendor.test/class=one']\n    deploy: {resources: {reservations: {devices: [{capabilities: [gpu], device_ids: \
        ['1']}]}}}\n  b: {image: busybox, command: sh -c 'ls /dev | grep gpu; sleep 1000', gpus: all}\n";
    let file = node.file("compose.yml", compose);
    node.ok(&["compose", "-f", file.to_str().unwrap(), "up", "-d"]);
    let logs = |name: &str| node.ok(&["logs", name]);
    node.wait_for("both have looked", || logs("p-a-1").lines().count() == 2 && logs("p-b-1").lines().count() == 2);
    assert_eq!((logs("p-a-1").as_str(), logs("p-b-1").as_str()), ("gpu1\nvendor\n", "gpu0\ngpu1\n"));
    node.ok(&["compose", "-f", file.to_str().unwrap(), "down"]);
}
