use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::{Base, Dockerfile, Graph, Options};
use crate::manifest::{Platform, RunConfig};

fn options(target: Option<&str>, args: &[(&str, &str)], contexts: &[&str]) -> Options {
    let platform = || Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    Options {
        target: target.map(str::to_owned),
        args: args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>(),
        contexts: contexts.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(),
        platform: platform(),
        host: platform(),
    }
}

fn plan(text: &str, options: &Options) -> Result<Graph, String> {
    Graph::plan(&Dockerfile::parse(text).unwrap(), options).map_err(|error| error.to_string())
}

const FILE: &str = "ARG V=12\nFROM debian:$V AS base\nRUN a\nFROM base AS one\nRUN b\nFROM base AS unused\nRUN c\n\
    FROM alpine AS tool\nFROM scratch\nCOPY --from=one /x /x\nCOPY --from=3 /y /y\nCOPY --from=busybox:1 /z /z\n";

#[test]
fn only_what_the_target_needs_is_planned() {
    let graph = plan(FILE, &options(None, &[], &[])).unwrap();
    assert_eq!((graph.target, graph.order.as_slice()), (4, &[0, 1, 3, 4][..]));
    assert!(graph.stages[2].is_none());
    let last = graph.stages[4].as_ref().unwrap();
    assert_eq!((last.base.clone(), last.needs.clone()), (Base::Scratch, BTreeSet::from([1, 3])));
    assert_eq!(last.images, BTreeSet::from(["busybox:1".to_owned()]));
    assert_eq!(graph.stages[0].as_ref().unwrap().base, Base::Image("debian:12".into()));
    assert_eq!(plan(FILE, &options(Some("ONE"), &[], &[])).unwrap().order, [0, 1]);
    assert_eq!(plan(FILE, &options(Some("2"), &[], &[])).unwrap().order, [0, 2]);
    let other = plan(FILE, &options(Some("base"), &[("V", "13")], &[])).unwrap();
    assert_eq!(other.stages[0].as_ref().unwrap().base, Base::Image("debian:13".into()));
}

#[test]
fn contexts_take_the_place_of_stages_and_images() {
    let graph = plan(FILE, &options(None, &[], &["base", "busybox:1"])).unwrap();
    assert!(graph.stages[0].is_none());
    assert_eq!(graph.stages[1].as_ref().unwrap().base, Base::Context("base".into()));
    assert!(graph.stages[4].as_ref().unwrap().images.is_empty());
}

#[test]
fn what_cannot_be_planned_is_refused_with_its_line() {
    for (text, target, part) in [
        ("FROM a AS x\nCOPY --from=y . .\nFROM x AS y\n", None, "line 3: circular dependency detected on stage: y"),
        ("FROM a AS x\nRUN --mount=from=y,target=/a b\nFROM x AS y\n", None, "circular"),
        ("FROM a AS x\nCOPY --from=x . .\n", None, "circular"),
        ("FROM $x\n", None, "line 1: base name ($x) should not be blank"),
        ("FROM a\nCOPY --from=7 a b\n", None, "line 2: invalid --from=7"),
        ("FROM a\nCOPY --from=$x a b\n", None, "not expanded"),
        ("FROM a AS builder\n", Some("bilder"), "target stage \"bilder\" could not be found (did you mean builder?)"),
        ("FROM --platform=moon a\n", None, "invalid platform"),
    ] {
        let error = plan(text, &options(target, &[], &[])).unwrap_err();
        assert!(error.contains(part), "{text:?} gave {error}");
    }
}

#[test]
fn arguments_before_from_reach_a_stage_that_asks_for_them() {
    let file = Dockerfile::parse("ARG A=1\nARG B=$A-2\nFROM a\nARG B\nARG C=c$B\nARG TARGETARCH\nARG D\n").unwrap();
    let options = options(None, &[("D", "given")], &[]);
    let graph = Graph::plan(&file, &options).unwrap();
    let (mut scope, mut config) = (super::super::Scope::default(), RunConfig::default());
    for own in &file.stages[0].instructions {
        if let super::super::Kind::Arg(args) = &own.kind {
            scope.declare(args, &options.args, &graph.global, &config, '\\').unwrap();
        }
    }
    let values: Vec<_> = scope.values().collect();
    assert_eq!(values, [("B", "1-2"), ("C", "c1-2"), ("TARGETARCH", "amd64"), ("D", "given")]);
    config.set_env("B", "env");
    assert_eq!(scope.value(&config, "B").as_deref(), Some("env"));
    assert_eq!(scope.value(&config, "A"), None);
}

proptest! {
    #[test]
    fn an_order_has_each_stage_once_and_after_its_needs(edges in proptest::collection::vec(0usize..8, 1..8)) {
        let mut text = String::new();
        for (index, edge) in edges.iter().enumerate() {
            text.push_str(&format!("FROM image AS s{index}\n"));
            if *edge < edges.len() {
                text.push_str(&format!("COPY --from=s{edge} /a /b\n"));
            }
        }
        if let Ok(graph) = plan(&text, &options(None, &[], &[])) {
            for (at, stage) in graph.order.iter().enumerate() {
                let planned = graph.stages[*stage].as_ref().unwrap();
                prop_assert!(planned.needs.iter().all(|need| graph.order[..at].contains(need)));
            }
            let unique: BTreeSet<usize> = graph.order.iter().copied().collect();
            prop_assert_eq!(unique.len(), graph.order.len());
            prop_assert!(unique.contains(&graph.target));
        }
    }
}
