//! What listings and `inspect` print: Go templates, filters, Docker's JSON.

use serde_json::Value;

use crate::support::Node;

#[test]
fn templates_filters_and_whole_objects() {
    let node = Node::start().with_busybox();
    let run = |args: &[&str]| node.ok(&[&["run", "-d"], args].concat()).trim().to_owned();
    let web =
        run(&["--name", "web", "-l", "tier=front", "-p", "8080:80", "-v", "data:/data", "busybox", "sleep", "1000"]);
    run(&["--name", "job", "-l", "tier=back", "-l", "com.example.owner=ann,bob", "busybox", "sh", "-c", "exit 3"]);
    node.wait_for("the job has ended", || node.ok(&["ps", "-aq", "-f", "status=exited"]).lines().count() == 1);

    listings(&node, &web);
    filters(&node);
    objects(&node, &web);
    refusals(&node);
    node.ok(&["rm", "-f", "web", "job"]);
}

fn listings(node: &Node, web: &str) {
    assert_eq!(node.ok(&["ps", "--format", "{{.Names}} {{.Image}} {{.State}}"]), "web busybox running\n");
    assert_eq!(node.ok(&["ps", "-q", "--no-trunc"]).trim(), web);
    let table = node.ok(&["ps", "-a", "--format", r#"table {{.Names}}\t{{.Ports}}\t{{.Label "tier"}}"#]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "NAMES     PORTS                                     TIER");
    assert_eq!(lines[2], "web       0.0.0.0:8080->80/tcp, [::]:8080->80/tcp   front");
    let owner = node.ok(&["ps", "-a", "-f", "name=job", "--format", "{{.Label \"com.example.owner\"}}"]);
    assert_eq!(owner, "ann,bob\n", "a label's commas do not end it");
    let row: Value = serde_json::from_str(node.ok(&["ps", "--format", "json"]).trim()).unwrap();
    assert_eq!((row["LocalVolumes"].as_str(), row["Mounts"].as_str()), (Some("1"), Some("data")));
    node.ok(&["exec", "web", "sh", "-c", "head -c 5000 /dev/zero > /written"]);
    let size = node.ok(&["ps", "-s", "--format", "{{.Size}}"]);
    assert!(size.starts_with("5kB (virtual "), "{size}");
    let images = node.ok(&["images", "--format", "{{.Repository}}:{{.Tag}} {{json .Size}}"]);
    assert!(images.contains("busybox:latest \""), "{images}");
    assert_eq!(node.ok(&["volume", "ls", "--format", "{{.Name}} {{.Driver}}"]), "data local\n");
}

fn filters(node: &Node) {
    let names = |args: &[&str]| node.ok(&[&["ps", "--format", "{{.Names}}"], args].concat());
    assert_eq!(names(&["-a", "-f", "label=tier"]), "job\nweb\n");
    assert_eq!(names(&["-f", "label=tier=back", "-f", "status=exited"]), "job\n");
    assert_eq!(names(&["-a", "-f", "exited=3"]), "job\n");
    assert_eq!(names(&["-l"]), "job\n");
    assert_eq!(names(&["-n", "2"]), "job\nweb\n");
    assert_eq!(names(&["-a", "-f", "before=job"]), "web\n");
    assert_eq!(names(&["-a", "-f", "ancestor=busybox", "-f", "volume=data"]), "web\n");
    assert_eq!(names(&["-a", "-f", "publish=8080"]), "web\n");
    assert_eq!(node.ok(&["volume", "ls", "-q", "-f", "dangling=true"]), "");
    assert_eq!(node.ok(&["images", "-f", "reference=busy*", "--format", "{{.Repository}}"]), "busybox\n");
}

fn objects(node: &Node, web: &str) {
    let get = |template: &str| node.ok(&["inspect", "-f", template, "web"]).trim_end().to_owned();
    assert_eq!(get("{{.Id}} {{.Name}} {{.State.Status}}"), format!("{web} /web running"));
    assert_eq!(get("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}}{{end}}"), "tier=front");
    assert_eq!(get("{{(index (index .HostConfig.PortBindings \"80/tcp\") 0).HostPort}}"), "8080");
    assert_eq!(get("{{json .HostConfig.RestartPolicy}}"), r#"{"Name":"no","MaximumRetryCount":0}"#);
    assert_eq!(get("{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}"), "volume data /data true");
    assert_eq!(get("{{.Config.Cmd}} {{.Config.Entrypoint}} {{.HostConfig.CapAdd}}"), "[sleep 1000] [] []");
    assert!(get("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").contains('.'));
    let object: Value = serde_json::from_str(&node.ok(&["inspect", "-s", "web"])).unwrap();
    let keys: Vec<&str> = object[0].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "Id Created Path Args State Image ResolvConfPath HostnamePath HostsPath LogPath Name RestartCount Driver \
                    Platform MountLabel ProcessLabel AppArmorProfile ExecIDs HostConfig GraphDriver SizeRw SizeRootFs Mounts \
                    Config NetworkSettings";
    assert_eq!(keys, expected.split_whitespace().collect::<Vec<_>>());
    assert!(object[0]["SizeRootFs"].as_u64() > object[0]["SizeRw"].as_u64());
    assert_eq!(node.ok(&["inspect", "-f", "{{.Name}}", "data"]), "data\n", "a volume's name");
    assert_eq!(node.ok(&["inspect", "-f", "{{.Os}} {{.RootFS.Type}}", "busybox"]), "linux layers\n");
    assert!(node.ok(&["inspect", "--type", "image", "-f", "json", "busybox"]).starts_with("[{\"Id\":\"sha256:"));
}

fn refusals(node: &Node) {
    let error = node.fails(1, &["inspect", "-f", "{{.Nope}}", "web"]);
    let expected =
        "template parsing error: template: :1:2: executing \"\" at <.Nope>: map has no entry for key \"Nope\"";
    assert!(error.contains(expected), "{error}");
    let error = node.fails(64, &["inspect", "-f", "{{.Nope", "web"]);
    assert!(error.contains("template parsing error: template: :1: unclosed action"), "{error}");
    let error = node.fails(1, &["ps", "--format", "{{.Nope}}"]);
    assert!(error.contains("can't evaluate field Nope in type *formatter.ContainerContext"), "{error}");
    let error = node.fails(1, &["ps", "-f", "colour=red"]);
    assert!(error.contains("invalid filter 'colour'"), "{error}");
    let error = node.fails(1, &["inspect", "no-such-thing"]);
    assert!(error.contains("No such object: no-such-thing"), "{error}");
    let error = node.fails(125, &["images", "--tree"]);
    assert!(error.contains("`orca images --tree` is not supported: "), "{error}");
}

#[test]
fn the_node_and_its_contexts() {
    let node = Node::start();
    let get = |args: &[&str]| node.ok(args).trim_end().to_owned();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(get(&["version", "-f", "{{.Client.Version}} {{.Server.Version}}"]), format!("{version} {version}"));
    assert_eq!(get(&["version", "-f", "{{.Server.APIVersion}} {{.Server.Os}}"]), "1 linux");
    assert!(get(&["version"]).contains("Server: Orca"));
    assert_eq!(get(&["-v"]), format!("orca {version}"));
    let info = get(&["info", "--format", "{{.ContainersRunning}} {{.Driver}} {{.OSType}}"]);
    assert_eq!(info, "0 overlay2 linux");
    assert!(get(&["system", "info"]).contains("Storage Driver: overlay2"));
    let usage = get(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"]);
    assert!(usage.starts_with("Images ") && usage.contains("Local Volumes 0"), "{usage}");
    let table = get(&["system", "df", "-v"]);
    let headers = "SHARED SIZE   UNIQUE SIZE   CONTAINERS";
    assert!(table.contains("Containers space usage:") && table.contains(headers), "{table}");
    assert!(table.contains("VOLUME NAME   LINKS     SIZE") && table.contains("Build cache usage: 0B"), "{table}");
    let registries = "{{json .RegistryConfig.InsecureRegistryCIDRs}} {{.IndexServerAddress}} {{.DefaultRuntime}}";
    let expected = "[\"::1/128\",\"127.0.0.0/8\"] https://index.docker.io/v1/ orca";
    assert_eq!(get(&["info", "-f", registries]), expected);
    assert!(get(&["info"]).contains(" Insecure Registries:\n  ::1/128\n  127.0.0.0/8\n Live Restore Enabled: true"));

    let config = node.files().join("contexts").display().to_string();
    let orca = |args: &[&str]| get(&[&["--config", &config], args].concat());
    let address = format!("host={}", node.address());
    orca(&["context", "create", "near", "--docker", &address, "--description", "this one"]);
    assert_eq!(orca(&["context", "ls", "--format", "{{.Name}} {{.Current}}"]), "default true\nnear false");
    assert_eq!(orca(&["context", "inspect", "near", "-f", "{{.Metadata.Description}}"]), "this one");
    let file = node.files().join("near.tar").display().to_string();
    orca(&["context", "export", "near", &file]);
    orca(&["context", "import", "copy", &file]);
    orca(&["context", "use", "copy"]);
    let in_use = node.orca_command(&["--config", &config, "context", "show"]).env_remove("ORCA_HOST").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&in_use.stdout), "copy\n");
    let mut asked = node.orca_command(&["--config", &config, "version", "-f", "{{.Client.Context}} {{.Server.Os}}"]);
    let ps = asked.env_remove("ORCA_HOST").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ps.stdout), "copy linux\n", "{}", String::from_utf8_lossy(&ps.stderr));
    orca(&["context", "rm", "-f", "near", "copy"]);
    assert_eq!(orca(&["context", "ls", "-q"]), "default");
    let error = node.fails(1, &["context", "create", "x1", "--docker", "host=tcp://a:1,ca=b"]);
    assert!(error.contains("needs ca=FILE, cert=FILE and key=FILE"), "{error}");
}

#[test]
fn another_machine_is_reached_through_ssh() {
    let node = Node::start();
    // A stand-in for the ssh client, which runs what it is asked to run on this machine.
    let bin = node.files().join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let script = "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\necho \"$2\" > \"$(dirname \"$0\")/host\"; shift 2; exec \"$@\"\n";
    let ssh = bin.join("ssh");
    std::fs::write(&ssh, script).unwrap();
    std::fs::set_permissions(&ssh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_orca"), bin.join("orca")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let socket = node.address().replace("unix://", "");
    let far = format!("ssh://ann@far.example:2222{socket}");
    let output = node.orca_command(&["-H", &far, "info", "-f", "{{.OSType}}"]).env("PATH", path).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "linux\n", "{error}");
    assert_eq!(std::fs::read_to_string(bin.join("host")).unwrap(), "far.example\n");
}
