//! `!reset` and `!override`: the paths that a later document takes out of what earlier ones said.

use crate::node::{Directive, Node, Value};

/// Keys of each tagged node, from the root down.
#[derive(Debug, Default, Clone)]
pub struct Resets(Vec<Vec<String>>);

impl Resets {
    /// Collects the tagged paths of a document and removes what is tagged `!reset`.
    pub fn take(document: &mut Node) -> Self {
        let mut resets = Self::default();
        resets.collect(document, &mut Vec::new());
        resets
    }

    fn collect(&mut self, node: &mut Node, path: &mut Vec<String>) {
        match &mut node.value {
            Value::Map(map) => map.retain(|key, child| {
                path.push(key.clone());
                let keep = self.visit(child, path);
                path.pop();
                keep
            }),
            Value::List(items) => {
                let mut index = 0usize;
                items.retain_mut(|child| {
                    path.push(index.to_string());
                    let keep = self.visit(child, path);
                    path.pop();
                    index += 1;
                    keep
                });
            }
            _ => {}
        }
    }

    /// Records a tagged child; whether it stays.
    fn visit(&mut self, child: &mut Node, path: &mut Vec<String>) -> bool {
        match child.directive {
            Some(Directive::Reset) => {
                self.0.push(path.clone());
                false
            }
            Some(Directive::Override) => {
                self.0.push(path.clone());
                true
            }
            None => {
                self.collect(child, path);
                true
            }
        }
    }

    /// Removes the recorded paths from `model`.
    pub fn apply(&self, model: &mut Node) {
        for path in &self.0 {
            remove(model, path);
        }
    }

    /// Removes the recorded paths from one entry of a section, such as service `name` of `services`.
    pub fn apply_to_entry(&self, section: &str, name: &str, entry: &mut Node) {
        for path in &self.0 {
            if let [first, second, rest @ ..] = path.as_slice()
                && first == section
                && second == name
                && !rest.is_empty()
            {
                remove(entry, rest);
            }
        }
    }
}

fn remove(node: &mut Node, path: &[String]) {
    let (Some((first, rest)), Value::Map(map)) = (path.split_first(), &mut node.value) else { return };
    if rest.is_empty() {
        map.shift_remove(first);
    } else if let Some(child) = map.get_mut(first) {
        remove(child, rest);
    }
}
