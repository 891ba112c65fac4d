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
