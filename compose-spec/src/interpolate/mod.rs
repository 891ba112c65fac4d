//! Substitution of variables in every string value, then the casts that Compose does at known paths.

mod cast;
pub mod template;
pub mod variables;

use crate::error::{Error, Errors, Warning};
use crate::node::{Node, Value};
use crate::path::Path;
use template::TemplateError;

/// Where variables come from.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Interpolates every value under `root`; keys are left alone.
///
/// # Errors
/// All [`Error::InvalidTemplate`] and [`Error::Interpolation`], sorted by path.
pub fn interpolate(root: &mut Node, lookup: &Lookup, warnings: &mut Vec<Warning>) -> Result<(), Errors> {
    let mut pass = Pass { lookup, warnings, errors: Vec::new() };
    pass.node(root, &Path::ROOT);
    let mut errors = pass.errors;
    errors.sort_by(|a, b| a.0.cmp(&b.0));
    Errors(errors.into_iter().map(|(_, error)| error).collect()).into_result()
}

struct Pass<'a> {
    lookup: &'a Lookup<'a>,
    warnings: &'a mut Vec<Warning>,
    errors: Vec<(String, Error)>,
}

impl Pass<'_> {
    fn node(&mut self, node: &mut Node, path: &Path) {
        match &mut node.value {
            Value::Map(map) => {
                for (key, child) in map {
                    self.node(child, &path.key(key));
                }
            }
            Value::List(items) => {
                for (index, child) in items.iter_mut().enumerate() {
                    self.node(child, &path.index(index));
                }
            }
            Value::String(_) => self.string(node, path),
            _ => {}
        }
    }

    fn string(&mut self, node: &mut Node, path: &Path) {
        let Value::String(text) = &node.value else { return };
        let target = path.matches(cast::target);
        if target.is_none() && !text.contains('$') {
            return;
        }
        let mut missing = Vec::new();
        let result =
            if text.contains('$') { template::substitute(text, self.lookup, &mut missing) } else { Ok(text.clone()) };
        for name in missing {
            let message = format!("The {name:?} variable is not set. Defaulting to a blank string.");
            if !self.warnings.iter().any(|warning| warning.message == message) {
                self.warnings.push(Warning::new(node.span, message));
            }
        }
        let (at, place) = (node.span.into(), path.to_string());
        let is_plain = !text.contains('$');
        let cast = match result {
            Ok(text) => match target {
                None => Ok(Value::String(text)),
                Some(target) => cast::apply(target, &text, node.span, self.warnings).map_err(|reason| match is_plain {
                    true => Error::invalid(node.span, &place, reason),
                    false => Error::Interpolation { at, path: place.clone(), reason },
                }),
            },
            Err(TemplateError::Invalid) => {
                Err(Error::InvalidTemplate { at, path: place.clone(), template: text.clone() })
            }
            Err(error) => Err(Error::Interpolation { at, path: place.clone(), reason: error.to_string() }),
        };
        match cast {
            Ok(value) => node.value = value,
            Err(error) => self.errors.push((place, error)),
        }
    }
}
