//! Commands at turns of a container's life.

use model::Hook;

use super::fields::Fields;
use crate::error::Error;

/// `post_start` or `pre_stop`.
pub fn of(fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (index, node) in fields.list(key).iter().enumerate() {
        let hook = Fields::new(node, format!("{}[{index}]", fields.path(key)));
        let command = hook.texts("command");
        if command.first().is_none_or(String::is_empty) {
            hook.invalid("command", "a hook needs a command", errors);
        }
        hooks.push(Hook {
            command,
            user: hook.text("user"),
            privileged: hook.flag("privileged"),
            working_dir: hook.text("working_dir"),
            env: hook.strings("environment"),
        });
        hook.finish(errors);
    }
    hooks
}
