use super::*;

#[test]
fn docker_configs_with_nulls_are_read() {
    let text = br#"{"architecture":"amd64","os":"linux","created":"2024-01-02T03:04:05Z",
        "config":{"User":"","Env":null,"Cmd":["sh"],"Entrypoint":null,"Labels":null,"Volumes":{"/data":{}},
                  "ExposedPorts":{"80/tcp":{}},"Healthcheck":{"Test":["CMD-SHELL","true"],"Interval":5000000000},
                  "Shell":["/bin/bash","-c"],"ArgsEscaped":true},
        "rootfs":{"type":"layers","diff_ids":null},"history":null,"docker_version":"20.10"}"#;
    let config = ImageConfig::parse("config", text).unwrap();
    assert_eq!(config.config.cmd, Some(vec!["sh".to_owned()]));
    assert!(config.config.exposed_ports.contains_key("80/tcp"));
    assert_eq!(config.config.healthcheck.unwrap().interval, 5_000_000_000);
    assert_eq!(config.config.shell.unwrap(), ["/bin/bash", "-c"]);
    let no_run_config =
        br#"{"architecture":"amd64","os":"linux","config":null,"rootfs":{"type":"layers","diff_ids":[]}}"#;
    assert_eq!(ImageConfig::parse("config", no_run_config).unwrap().config, RunConfig::default());
}

/// The image specification: readers must not fail on properties that they do not know.
#[test]
fn unknown_properties_are_skipped() {
    let descriptor = r#"{"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"odd":[1],"urls":["https://x"],
        "data":"e30=","artifactType":"x","annotations":{"a":"b"},
        "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}"#;
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}],"odd":{{}},"subject":{descriptor},"annotations":{{"a":"b"}}}}"#
    );
    let manifest = Manifest::parse("m", manifest.as_bytes()).unwrap();
    assert!(manifest.is_image() && manifest.layers[0].size == 2 && manifest.layers[0].annotation("a") == Some("b"));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{descriptor}],"odd":1,"artifactType":"x"}}"#);
    assert_eq!(Index::parse("i", index.as_bytes()).unwrap().manifests.len(), 1);
    let config = br#"{"architecture":"amd64","os":"linux","os.features":["x"],"variant":"v2","odd":1,
        "config":{"Odd":{"x":1},"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":[],"odd":1},"history":[{"odd":1}]}"#;
    assert_eq!(ImageConfig::parse("c", config).unwrap().config.cmd, Some(vec!["sh".to_owned()]));
}

/// What a document must have, each left out once.
#[test]
fn what_must_be_there_is_demanded() {
    let whole = serde_json::json!({"schemaVersion": 2, "layers": [], "config": {"size": 2,
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"}});
    let reads = |document: &serde_json::Value| Manifest::parse("m", document.to_string().as_bytes()).is_ok();
    assert!(reads(&whole));
    for (parent, key) in [
        ("", "schemaVersion"),
        ("", "config"),
        ("", "layers"),
        ("/config", "mediaType"),
        ("/config", "digest"),
        ("/config", "size"),
    ] {
        let mut part = whole.clone();
        part.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
        assert!(!reads(&part), "without {parent}/{key}");
    }
    for (pointer, value) in [("/config/digest", "sha256:44"), ("/config/digest", "odd"), ("/config/size", "2")] {
        let mut odd = whole.clone();
        *odd.pointer_mut(pointer).unwrap() = value.into();
        assert!(!reads(&odd), "{pointer} {value}");
    }
    assert!(
        Index::parse("i", br#"{"schemaVersion":2}"#).is_err() && Index::parse("i", br#"{"manifests":[]}"#).is_err()
    );
}

#[test]
fn documents_of_other_shapes_are_refused_by_name() {
    assert!(Manifest::parse("m", br#"{"schemaVersion":1}"#).unwrap_err().to_string().contains("invalid m"));
    let windows = br#"{"rootfs":{"type":"layers+base","diff_ids":[]}}"#;
    assert!(ImageConfig::parse("c", windows).unwrap_err().to_string().contains("layers+base"));
}

#[test]
fn platforms_match_by_variant() {
    let p = |text: &str| text.parse::<Platform>().unwrap();
    assert!(p("linux/arm64").runs(&p("linux/arm64/v8")));
    assert!(p("linux/x86_64").runs(&p("linux/amd64")));
    assert!(!p("linux/amd64").runs(&p("linux/amd64/v3")));
    assert!(!p("linux/amd64").runs(&p("linux/arm64")));
    assert!(!p("linux/amd64").runs(&p("windows/amd64")));
    for bad in ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "li nux/amd64"] {
        assert!(bad.parse::<Platform>().is_err(), "{bad}");
    }
}

#[test]
fn env_is_set_in_place() {
    let mut config = RunConfig::default();
    config.set_env("A", "1");
    config.set_env("AB", "2");
    config.set_env("A", "3=3");
    assert_eq!(config.env, ["A=3=3", "AB=2"]);
    assert_eq!(config.env_value("A"), Some("3=3"));
    assert_eq!(config.env_value("B"), None);
}
