//! Against what Go makes of the same templates.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Functions, Missing, Template, Value};

const GOLDEN: &str = include_str!("golden.txt");

fn data() -> Value {
    Value::from(&json!({
        "ID": "0123456789abcdef",
        "Names": "web",
        "Size": 42,
        "Ratio": 0.5,
        "Ready": true,
        "Env": ["A=b", "C=d"],
        "Cmd": null,
        "Labels": { "b": "two", "a": "one", "com.x/y": "z" },
        "Networks": {},
        "Mounts": [
            { "Type": "bind", "Source": "/src", "RW": true },
            { "Type": "volume", "Source": "data", "RW": false },
        ],
        "State": { "Status": "running", "Running": true, "Pid": 7, "Health": null },
        "Html": "<a href=\"x\">'&'</a>",
    }))
}

fn run(text: &str, data: &Value, missing: Missing) -> String {
    let done = Template::parse(text).and_then(|template| template.execute(data, missing, Functions::Values));
    done.unwrap_or_else(|error| format!("ERROR {error}"))
}

#[test]
fn templates_do_what_they_do_in_go() {
    let data = data();
    let mut lines = GOLDEN.lines().filter(|line| !line.starts_with("# ") && !line.is_empty());
    let mut wrong = Vec::new();
    let mut count = 0;
    while let (Some(template), Some(expected)) = (lines.next(), lines.next()) {
        let text = template.replace('⏎', "\n").replace('⇥', "\t");
        let found = run(&text, &data, Missing::Field("main.Data")).replace('\n', "⏎").replace('\t', "⇥");
        let expected = expected.strip_prefix("    ").unwrap();
        if found != expected {
            wrong.push(format!("{template}\n  Go:   {expected}\n  Orca: {found}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 200, "{count}");
}

#[test]
fn what_inspect_says_of_missing_fields() {
    let say = |text| run(text, &data(), Missing::Key);
    assert_eq!(say("{{.Nope}}"), r#"ERROR template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope""#);
    assert_eq!(
        say("{{.State.Nope}}"),
        r#"ERROR template: :1:8: executing "" at <.State.Nope>: map has no entry for key "Nope""#
    );
    assert_eq!(say("{{.Labels.nope}}"), "<no value>");
    assert_eq!(say("{{.Id}}"), say("{{.ID}}"), "Go's name of a field and that in JSON");
    assert!(say("{{.ID.More}}").ends_with("can't evaluate field More in type interface {}"));
}

#[test]
fn rows_have_labels_as_a_method_and_headers_keep_their_words() {
    let labels = BTreeMap::from([("a.b".to_owned(), "c,d".to_owned())]);
    let row = Value::row(&json!({ "ID": "abc", "Labels": "a.b=c,d" }), labels);
    let missing = Missing::Field("*formatter.ContainerContext");
    assert_eq!(run(r#"{{.Label "a.b"}}|{{.Label "x"}}|{{"a.b" | .Label}}"#, &row, missing), "c,d||c,d");
    assert!(run("{{.Label}}", &row, missing).contains("wrong number of args for Label: want 1 got 0"));
    let header = Value::header(BTreeMap::from([("ID".to_owned(), Value::Text("CONTAINER ID".into()))]));
    let template = Template::parse(r#"{{truncate (lower .ID) 3}}|{{json .ID}}|{{.OtherThing}}|{{.Label "a.my-team"}}"#);
    let header = template.unwrap().execute(&header, missing, Functions::Headers);
    assert_eq!(header.unwrap(), "CONTAINER ID|CONTAINER ID|OTHER THING|MY TEAM");
}

#[test]
fn newer_than_the_golden_file() {
    let say = |text| run(text, &data(), Missing::Key);
    assert_eq!(say("{{range $i := 3}}{{$i}}{{else}}x{{end}}"), "012");
    assert_eq!(say("{{range 0}}a{{else}}x{{end}}"), "x");
    assert_eq!(say("{{with .Cmd}}a{{else with .Names}}{{.}}{{else}}c{{end}}"), "web");
}

#[test]
fn nothing_that_is_typed_overturns_it() {
    let deep = format!("{}1{}", "{{(", ")}}");
    assert_eq!(run(&deep, &data(), Missing::Key), "1");
    for text in [
        "(".repeat(10_000),
        "{{if 1}}".repeat(10_000),
        format!("{{{{{}1{}}}}}", "(".repeat(10_000), ")".repeat(10_000)),
    ] {
        let _ = run(&text, &data(), Missing::Key);
    }
    let endless = r#"{{define "T"}}{{template "T" .}}{{end}}{{template "T" .}}"#;
    assert!(run(endless, &data(), Missing::Key).contains("exceeded maximum template depth"));
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in r#"(\{\{|\}\}|-| |\.|\$x|:=|=|"|'|`|\(|\)|\||if|end|else|range|len|.ID|printf|%d|1|é|/\*|\*/){0,24}"#) {
        let _ = run(&text, &data(), Missing::Key);
    }
}

#[test]
fn further_functions_find_what_they_are_told() {
    let find = |name: &str, text: &str| match (name, text) {
        ("secret", "key") => Ok("hunter2".to_owned()),
        (name, text) => Err(format!("no {name} {text:?}")),
    };
    let run = |text: &str| {
        let template = Template::parse_with(text, &["secret", "env"])?;
        template.execute(&data(), Missing::Key, Functions::Lookup(&find))
    };
    assert_eq!(run("{{ secret \"key\" | upper }} {{ .Names | printf \"%s-%s\" \"a\" }}").unwrap(), "HUNTER2 a-web");
    assert!(run("{{ env \"X\" }}").unwrap_err().to_string().contains("error calling env: no env \"X\""));
    assert!(run("{{ secret }}").unwrap_err().to_string().contains("wrong number of args for secret: want 1 got 0"));
    assert!(run("{{ secret 1 }}").unwrap_err().to_string().contains("expected string; found 1"));
    assert!(run("{{ config \"x\" }}").unwrap_err().to_string().contains("function \"config\" not defined"));
    assert!(Template::parse("{{ secret \"key\" }}").is_err());
}

#[test]
fn templates_that_call_each_other_come_to_an_end() {
    let twice = "{{define \"a\"}}{{template \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}";
    assert!(run(twice, &data(), Missing::Key).starts_with("ERROR"));
    let wide = "{{define \"b\"}}x{{end}}{{range $i, $e := .Mounts}}{{template \"b\"}}{{end}}";
    assert_eq!(run(wide, &data(), Missing::Key), "xx");
    let mut doubling = String::from("{{define \"t0\"}}x{{end}}");
    for level in 1..60 {
        let below = level - 1;
        doubling += &format!(
            "{{{{define \"t{level}\"}}}}{{{{template \"t{below}\"}}}}{{{{template \"t{below}\"}}}}{{{{end}}}}"
        );
    }
    let error = run(&(doubling + "{{template \"t59\"}}"), &data(), Missing::Key);
    assert!(error.contains("exceeded maximum work"), "{error}");
}
