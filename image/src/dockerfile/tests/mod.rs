mod expanding;
mod files;
mod ignoring;
mod planning;

use proptest::prelude::*;

use super::*;

fn changed(changes: &[&str]) -> RunConfig {
    let mut config = RunConfig::default();
    for change in changes {
        apply_change(&mut config, change).unwrap();
    }
    config
}

fn refusal(change: &str) -> String {
    apply_change(&mut RunConfig::default(), change).unwrap_err().to_string()
}

#[test]
fn commands_have_json_and_shell_forms() {
    let config = changed(&[r#"CMD ["redis-server", "--port", "1"]"#, "entrypoint exec  top -b"]);
    assert_eq!(config.cmd.unwrap(), ["redis-server", "--port", "1"]);
    assert_eq!(config.entrypoint.unwrap(), ["/bin/sh", "-c", "exec  top -b"]);
    assert_eq!(changed(&["CMD [not json"]).cmd.unwrap(), ["/bin/sh", "-c", "[not json"]);
}

#[test]
fn env_and_labels_have_pairs_quotes_and_the_legacy_form() {
    let config = changed(&[
        r#"ENV A=1 B="two words" C=it\ is D='$A'"#,
        "ENV LEGACY the  whole rest",
        "ENV PATH=/bin:$A:${B}:${X:-none}:${A:+set}:\\$A",
        r#"LABEL maintainer="me <me@example.com>" x.y=z"#,
        "LABEL single some words",
    ]);
    assert_eq!(
        config.env,
        ["A=1", "B=two words", "C=it is", "D=$A", "LEGACY=the  whole rest", "PATH=/bin:1:two words:none:set:$A"]
    );
    assert_eq!(config.labels["maintainer"], "me <me@example.com>");
    assert_eq!(config.labels["x.y"], "z");
    assert_eq!(config.labels["single"], "some words");
}

#[test]
fn the_small_ones() {
    let config = changed(&[
        "EXPOSE 80 53/udp 8000-8002",
        "VOLUME /a /b",
        r#"VOLUME ["/c d"]"#,
        "USER www:data",
        "WORKDIR /srv/",
        "WORKDIR app/../web",
        "STOPSIGNAL SIGQUIT",
        "ONBUILD RUN make",
    ]);
    let ports: Vec<&str> = config.exposed_ports.keys().map(String::as_str).collect();
    assert_eq!(ports, ["53/udp", "80/tcp", "8000/tcp", "8001/tcp", "8002/tcp"]);
    assert_eq!(config.volumes.keys().collect::<Vec<_>>(), ["/a", "/b", "/c d"]);
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("www:data", "/srv/web"));
    assert_eq!(config.stop_signal.as_deref(), Some("SIGQUIT"));
    assert_eq!(config.on_build, ["RUN make"]);
}

#[test]
fn health_checks() {
    let check = changed(&["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=3 CMD curl -f localhost"])
        .healthcheck
        .unwrap();
    assert_eq!((check.interval, check.timeout, check.retries), (90_000_000_000, 500_000_000, 3));
    assert_eq!(check.test, ["CMD-SHELL", "curl -f localhost"]);
    assert_eq!(changed(&[r#"HEALTHCHECK CMD ["a","b"]"#]).healthcheck.unwrap().test, ["CMD", "a", "b"]);
    assert_eq!(changed(&["HEALTHCHECK NONE"]).healthcheck.unwrap().test, ["NONE"]);
}

#[test]
fn refusals_name_the_reason() {
    for (change, part) in [
        ("", "empty"),
        ("RUN make", "RUN is not a valid change command"),
        ("COPY a b", "COPY is not"),
        ("CMD", "CMD needs an argument"),
        ("ENV A", "two arguments"),
        ("ENV A=1 B", "must be of the form"),
        ("ENV =1", "blank"),
        ("ENV A=\"x", "not closed"),
        ("EXPOSE 0", "not a port"),
        ("EXPOSE 9-3", "not a port"),
        ("EXPOSE 80/icmp", "protocol"),
        ("STOPSIGNAL SIGFOO", "not a signal"),
        ("STOPSIGNAL 65", "not a signal"),
        ("USER a b", "exactly one"),
        ("VOLUME [\"\"]", "empty string"),
        ("ONBUILD ONBUILD RUN x", "chaining"),
        ("HEALTHCHECK --interval=1 CMD x", "duration"),
        ("HEALTHCHECK --interval=1us CMD x", "shorter"),
        ("HEALTHCHECK --what=1 CMD x", "unknown flag"),
        ("HEALTHCHECK MAYBE", "unknown type"),
        ("ENV A=${B:?x}", "B: x"),
        ("ENV A=${B!x}", "modifier"),
    ] {
        let message = refusal(change);
        assert!(message.contains(part), "{change:?} gave {message:?}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(name in "(CMD|ENV|LABEL|EXPOSE|HEALTHCHECK|VOLUME|WORKDIR|STOPSIGNAL|USER)", rest in "[ -~é]{0,60}") {
        let _ = apply_change(&mut RunConfig::default(), &format!("{name} {rest}"));
    }

    #[test]
    fn a_quoted_value_comes_back_as_it_was(value in "[a-zA-Z0-9 =:/]{0,30}") {
        let mut config = RunConfig::default();
        apply_change(&mut config, &format!("ENV K=\"{value}\"")).unwrap();
        prop_assert_eq!(config.env_value("K"), Some(value.as_str()));
    }
}
