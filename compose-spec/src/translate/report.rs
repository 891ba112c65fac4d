//! What becomes of each attribute of a project: `orca compose config --report`.

use std::collections::BTreeMap;
use std::fmt;

use super::{TranslateOptions, stack};
use crate::error::{Error, Errors};
use crate::files::Files;
use crate::node::{Map, Node};
use crate::project::Project;

/// Attributes of a service that its containers aren't made from, and what reads them.
pub const ELSEWHERE: [(&str, &str); 10] = [
    ("attach", "whose output up shows"),
    ("build", "the image that compose build, up, create and run make"),
    ("depends_on", "the order in which services start and stop"),
    ("develop", "what compose watch does when files change"),
    ("label_file", "its labels are among the labels"),
    (
        "models",
        "by the model runner's program, docker-model: up has it pull and configure them, and tells the service where they answer",
    ),
    ("platform", "the image that is pulled"),
    ("profiles", "whether the service takes part"),
    (
        "provider",
        "up, stop and down run its program, docker-TYPE or TYPE, and dependents get the variables that it sets",
    ),
    ("scale", "the number of containers"),
];

/// What becomes of one attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out.
    Carried,
    /// Carried out elsewhere than in containers.
    Elsewhere(&'static str),
    /// Refused, with the error's words.
    Refused(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carried => f.write_str("carried"),
            Self::Elsewhere(what) => write!(f, "carried: {what}"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

/// One attribute of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key path, such as `services.web.ports`.
    pub path: String,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// Every attribute of every service and resource in use, in the order of the canonical form, and what [`super::translate`] makes
/// of it. What is refused below an attribute has rows of its own.
pub fn report(project: &Project, options: &TranslateOptions, files: &dyn Files) -> Vec<Row> {
    let mut selected = project.clone();
    let errors = match stack(&mut selected, options, files) {
        Ok(_) => Errors::default(),
        Err(errors) => errors,
    };
    let mut refused: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut rows = Vec::new();
    for error in errors.locate(&project.sources).0 {
        match path(&error) {
            Some(path) => refused.entry(path).or_default().push(error.to_string()),
            None => rows.push(Row { path: project.name.clone(), outcome: Outcome::Refused(error.to_string()) }),
        }
    }
    let sections = [
        ("services", &selected.services),
        ("networks", &selected.networks),
        ("volumes", &selected.volumes),
        ("secrets", &selected.secrets),
        ("configs", &selected.configs),
        ("models", &selected.models),
    ];
    for (section, resources) in sections {
        for (name, resource) in resources {
            rows.extend(of_resource(section, name, resource, &mut refused));
        }
    }
    let left =
        refused.into_iter().flat_map(|(path, reasons)| reasons.into_iter().map(move |reason| (path.clone(), reason)));
    rows.extend(left.map(|(path, reason)| Row { path, outcome: Outcome::Refused(reason) }));
    rows
}

fn of_resource(section: &str, name: &str, node: &Node, refused: &mut BTreeMap<String, Vec<String>>) -> Vec<Row> {
    let own = format!("{section}.{name}");
    let mut rows = Vec::new();
    let mut take = |path: &str, below: bool| -> Vec<Row> {
        let hit = |key: &str| {
            key == path || (below && key.strip_prefix(path).is_some_and(|rest| rest.starts_with(['.', '['])))
        };
        let keys: Vec<String> = refused.keys().filter(|key| hit(key)).cloned().collect();
        let taken = keys.into_iter().flat_map(|key| {
            let reasons = refused.remove(&key).unwrap_or_default();
            reasons.into_iter().map(move |reason| Row { path: key.clone(), outcome: Outcome::Refused(reason) })
        });
        taken.collect()
    };
    rows.extend(take(&own, false));
    for (key, value) in node.as_map().into_iter().flat_map(Map::iter) {
        if key.starts_with("x-") || value.is_null() {
            continue;
        }
        let path = format!("{own}.{key}");
        let found = take(&path, true);
        if found.is_empty() {
            let elsewhere = ELSEWHERE.iter().find(|(name, _)| section == "services" && name == key);
            let outcome = elsewhere.map_or(Outcome::Carried, |(_, what)| Outcome::Elsewhere(what));
            rows.push(Row { path, outcome });
        }
        rows.extend(found);
    }
    rows
}

/// The key path that an error is about.
fn path(error: &Error) -> Option<String> {
    match error {
        Error::Unsupported { path, .. } | Error::Invalid { path, .. } | Error::Type { path, .. } => Some(path.clone()),
        _ => None,
    }
}
