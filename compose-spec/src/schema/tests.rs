use super::check;
use crate::node::SourceId;
use crate::yaml;

fn errors(text: &str) -> Vec<String> {
    let model = yaml::parse(text.as_bytes(), SourceId::default()).unwrap().remove(0);
    check(&model).err().map(|errors| errors.0.iter().map(ToString::to_string).collect()).unwrap_or_default()
}

#[test]
fn several_errors_in_one_go_with_places_and_the_likely_key() {
    let found = errors("services:\n  web:\n    imgae: nginx\n    ports: 80\n    tty: [1]\nvolums: {}\n");
    assert_eq!(
        found,
        [
            "line 3:5: services.web additional properties 'imgae' not allowed, did you mean \"image\"?",
            "line 4:12: services.web.ports must be a list, not an integer: write [80]",
            "line 5:10: services.web.tty must be a string or a boolean, not a list",
            "line 6:1: additional properties 'volums' not allowed, did you mean \"volumes\"?",
        ]
    );
}

#[test]
fn words_ranges_and_patterns() {
    for (attribute, expected) in [
        ("depends_on: {a: {condition: healthy}}", "must be one of service_started"),
        ("depends_on: {a: {}}", "missing property 'condition'"),
        ("oom_score_adj: 2000", "from -1000 to 1000"),
        ("container_name: x", "does not match pattern"),
        ("pull_policy: sometimes", "is none of"),
        ("cap_add: [A, A]", "must be unique"),
        ("volumes: [{target: /x}]", "missing property 'type'"),
        ("environment: {A: [1]}", "services.web.environment.A must be"),
    ] {
        let found = errors(&format!("services:\n  web:\n    {attribute}\n"));
        assert!(found.len() == 1 && found[0].contains(expected), "{attribute}: {found:?}");
    }
    assert!(errors("services: {web: {x-any: [1], deploy: {x-y: 1}, container_name: bad name, pull_policy: every_12h}}\nx-top: 1\n").is_empty());
}
