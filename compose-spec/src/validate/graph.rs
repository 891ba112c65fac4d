//! The order that `depends_on` gives.

use std::collections::HashMap;

use crate::error::Error;
use crate::project::Project;

#[derive(Clone, Copy, PartialEq)]
enum Mark {
    Open,
    Done,
}

/// Refuses services that wait for each other.
///
/// # Errors
/// [`Error::DependencyCycle`] with the services in the order of waiting.
pub fn check_cycles(project: &Project) -> Result<(), Error> {
    dependency_order(project).map(|_| ())
}

/// Enabled services, each after those it depends on; otherwise sorted by name.
///
/// # Errors
/// [`Error::DependencyCycle`].
pub fn dependency_order(project: &Project) -> Result<Vec<&str>, Error> {
    let mut marks: HashMap<&str, Mark> = HashMap::new();
    let mut order = Vec::with_capacity(project.services.len());
    for name in project.service_names() {
        visit(project, name, &mut marks, &mut order)?;
    }
    Ok(order)
}

/// Depth first with a stack of its own: chains may be long.
fn visit<'a>(
    project: &'a Project,
    from: &'a str,
    marks: &mut HashMap<&'a str, Mark>,
    order: &mut Vec<&'a str>,
) -> Result<(), Error> {
    let next = |name: &'a str| -> Vec<&'a str> {
        let mut names: Vec<&str> = project
            .service(name)
            .into_iter()
            .flat_map(|service| service.dependencies())
            .map(|(name, _)| name)
            .collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        names.retain(|name| project.services.contains_key(*name));
        names
    };
    if marks.contains_key(from) {
        return Ok(());
    }
    marks.insert(from, Mark::Open);
    let mut stack = vec![(from, next(from))];
    while let Some((name, pending)) = stack.last_mut() {
        let Some(child) = pending.pop() else {
            marks.insert(name, Mark::Done);
            order.push(name);
            stack.pop();
            continue;
        };
        match marks.get(child) {
            Some(Mark::Done) => {}
            Some(Mark::Open) => {
                let name = *name;
                let begin = stack.iter().position(|(name, _)| *name == child).unwrap_or(0);
                let chain =
                    stack[begin..].iter().map(|(name, _)| (*name).to_owned()).chain([child.to_owned()]).collect();
                let at = project.service(name).and_then(|service| service.node.at(&["depends_on", child]));
                return Err(Error::DependencyCycle { at: at.map(|node| node.key).unwrap_or_default().into(), chain });
            }
            None => {
                marks.insert(child, Mark::Open);
                let children = next(child);
                stack.push((child, children));
            }
        }
    }
    Ok(())
}
