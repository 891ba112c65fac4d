use super::*;
use crate::node::{Directive, Value};

fn one(text: &str) -> Node {
    parse(text.as_bytes(), SourceId::default()).unwrap().remove(0)
}

fn fails(text: &str) -> String {
    parse(text.as_bytes(), SourceId::default()).unwrap_err().to_string()
}

#[test]
fn scalars_follow_go_yaml() {
    let node = one(
        "a: 0440\nb: 0o440\nc: yes\nd: 22:22\ne: 1_000\nf: 0x10\ng: ~\nh: 1e3\ni: '1'\nj: True\nk: !!str 5\nl: 08\nm: 1.10\nn: -7\no: 2024-01-02\np: 1.2.3\n",
    );
    let expected = [
        ("a", Value::Int(288)),
        ("b", Value::Int(288)),
        ("c", Value::String("yes".into())),
        ("d", Value::String("22:22".into())),
        ("e", Value::Int(1000)),
        ("f", Value::Int(16)),
        ("g", Value::Null),
        ("h", Value::Float(1000.0)),
        ("i", Value::String("1".into())),
        ("j", Value::Bool(true)),
        ("k", Value::String("5".into())),
        ("l", Value::Float(8.0)),
        ("m", Value::Float(1.1)),
        ("n", Value::Int(-7)),
        ("o", timestamp::parse("2024-01-02").unwrap()),
        ("p", Value::String("1.2.3".into())),
    ];
    for (key, value) in expected {
        assert_eq!(node.get(key).unwrap().value, value, "{key}");
    }
}

#[test]
fn keys_and_values_know_their_place() {
    let node = one("services:\n  web:\n    image: nginx\n");
    let image = node.at(&["services", "web", "image"]).unwrap();
    assert_eq!((image.key.line, image.key.column, image.span.column), (3, 5, 12));
}

#[test]
fn merge_keys() {
    let node = one("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc: {y: 3, <<: [*a, *b]}\n");
    let c = node.get("c").unwrap();
    assert_eq!(["x", "y", "z"].map(|key| c.get(key).unwrap().as_int().unwrap()), [1, 3, 2]);
}

#[test]
fn refusals_name_the_place() {
    assert_eq!(fails("a: 1\nb: 2\na: 3\n"), "line 3:1: mapping key \"a\" already defined at line 1");
    assert_eq!(fails("services:\n  a:\n    1: x\n"), "line 3:5: non-string key in services.a: 1");
    assert_eq!(fails("123: x\n"), "line 1:1: non-string key at top level: 123");
    assert!(fails("a: &a [*a]\n").contains("cycle"));
    assert!(fails("a: [1,\n").contains("not valid YAML"));
    assert!(fails("a: {<<: 1}\n").contains("<< needs"));
    assert!(fails(&"[".repeat(5000)).contains("line 1"));
}

#[test]
fn alias_bombs_are_bounded() {
    let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 9].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{row}]\n"));
    }
    assert!(fails(&bomb).contains("excessive aliasing"));
}

#[test]
fn aliases_cannot_nest_deeper_than_text() {
    let mut chain = format!("a0: &a0 {}1{}\n", "[".repeat(90), "]".repeat(90));
    for level in 1..60 {
        chain.push_str(&format!("a{level}: &a{level} {}*a{}{}\n", "[".repeat(90), level - 1, " ]".repeat(90)));
    }
    assert!(fails(&chain).contains("aliases nest deeper"));
}

#[test]
fn directives_travel_with_aliases() {
    let node = one("a: &a !reset\nb: *a\nc: !override [1]\n");
    assert_eq!(node.get("b").unwrap().directive, Some(Directive::Reset));
    assert_eq!(node.get("c").unwrap().directive, Some(Directive::Override));
}

#[test]
fn documents_and_emptiness() {
    assert!(parse(b"", SourceId::default()).unwrap().is_empty());
    assert!(parse(b"# only a comment\n", SourceId::default()).unwrap().is_empty());
    assert_eq!(parse(b"a: 1\n---\nb: 2\n", SourceId::default()).unwrap().len(), 2);
    assert!(parse(&[b'a', 0xff], SourceId::default()).is_err());
}
