//! Templates in values of a task's environment, as `docker service create` has them: `{{.Task.Name}}`. Pure.

use model::Task;

/// What the templates mean for one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholders {
    /// `{{.Node.ID}}`
    pub node_id: String,
    /// `{{.Node.Hostname}}`
    pub node_hostname: String,
    /// `{{.Service.ID}}`
    pub service_id: String,
    /// `{{.Service.Name}}`
    pub service_name: String,
    /// `{{.Task.ID}}`
    pub task_id: String,
    /// `{{.Task.Name}}`
    pub task_name: String,
    /// `{{.Task.Slot}}`
    pub task_slot: String,
}

impl Placeholders {
    /// What they mean for a task of the service of this name on the node of that one.
    pub fn of(task: &Task, service: &str, hostname: &str) -> Self {
        Self {
            node_id: task.node.map(|node| node.to_string()).unwrap_or_default(),
            node_hostname: hostname.to_owned(),
            service_id: task.service.to_string(),
            service_name: service.to_owned(),
            task_id: task.id.to_string(),
            task_name: task.name.clone(),
            task_slot: task.slot.to_string(),
        }
    }

    /// Replaces what is known; other text in braces stays as it is, for programs with templates of their own.
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(begin) = rest.find("{{") {
            expanded.push_str(&rest[..begin]);
            rest = &rest[begin..];
            let known = rest.find("}}").and_then(|end| Some((end + 2, self.value(rest[2..end].trim())?)));
            // One brace at a time: the next may begin a template.
            let (length, value) = known.unwrap_or((1, "{"));
            expanded.push_str(value);
            rest = &rest[length..];
        }
        expanded + rest
    }

    fn value(&self, name: &str) -> Option<&str> {
        Some(match name {
            ".Node.ID" => &self.node_id,
            ".Node.Hostname" => &self.node_hostname,
            ".Service.ID" => &self.service_id,
            ".Service.Name" => &self.service_name,
            ".Task.ID" => &self.task_id,
            ".Task.Name" => &self.task_name,
            ".Task.Slot" => &self.task_slot,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_templates_are_replaced() {
        let names = Placeholders { task_name: "web-1".into(), task_slot: "1".into(), ..Placeholders::default() };
        assert_eq!(names.expand("a {{.Task.Name}} b {{ .Task.Slot }}"), "a web-1 b 1");
        assert_eq!(names.expand("{{ $labels.x }} {{{.Task.Slot}}} {{"), "{{ $labels.x }} {1} {{");
    }

    proptest! {
        #[test]
        fn other_text_stays(text in "[^{]*\\{?[^{]*") {
            prop_assert_eq!(Placeholders::default().expand(&text), text);
        }

        #[test]
        fn no_text_panics(text: String) {
            Placeholders::default().expand(&text);
        }
    }
}
