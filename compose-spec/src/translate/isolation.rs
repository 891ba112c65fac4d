//! Namespaces and security options, and the attributes of this kind that no Linux container has.

use std::str::FromStr;

use model::{SecurityOptions, UnknownMode};

use super::fields::Fields;
use crate::error::Error;
use crate::files::{Files, join};
use crate::project::Project;

/// One of the modes. `service:NAME` is the first container of that service, as in Compose.
pub fn mode<T>(project: &Project, fields: &Fields, key: &'static str, errors: &mut Vec<Error>) -> T
where
    T: FromStr<Err = UnknownMode> + Default,
{
    let Some(text) = fields.text(key) else { return T::default() };
    let named = match text.strip_prefix("service:") {
        None => text,
        Some(name) => match project.service(name) {
            Some(service) => {
                let first = project.made_name(&[name, "1"]);
                format!("container:{}", service.text("container_name").unwrap_or(&first))
            }
            None => {
                fields.invalid(key, format!("no such service: {name}"), errors);
                return T::default();
            }
        },
    };
    named.parse().unwrap_or_else(|error: UnknownMode| {
        fields.invalid(key, format!("{named:?}: {error}"), errors);
        T::default()
    })
}

/// `security_opt`; profiles are read relative to the project's directory.
pub fn security(project: &Project, fields: &Fields, files: &dyn Files, errors: &mut Vec<Error>) -> SecurityOptions {
    let mut security = SecurityOptions::default();
    for option in fields.texts("security_opt") {
        let read = |path: &str| {
            let path = join(&project.directory, path);
            let bytes = files.read(&path).map_err(|error| error.to_string())?;
            let bytes = bytes.ok_or_else(|| format!("{} does not exist", path.display()))?;
            String::from_utf8(bytes).map_err(|_| format!("{} is not text", path.display()))
        };
        if let Err(reason) = security.add(&option, read) {
            fields.invalid("security_opt", format!("{option:?}: {reason}"), errors);
        }
    }
    security
}

/// Refuses, with the reason, what belongs to Windows or to plug-ins that there are none of.
pub fn refuse_others(fields: &Fields, errors: &mut Vec<Error>) {
    if fields.text("isolation").is_some_and(|mode| mode != "default") {
        fields.refuse("isolation", Some("only default: the others are Windows'"), errors);
    }
    for key in ["cpu_count", "cpu_percent", "credential_spec"] {
        if fields.take(key).is_some() {
            fields.refuse(key, Some("it is for Windows containers"), errors);
        }
    }
    if fields.take("storage_opt").is_some() {
        fields.refuse("storage_opt", Some("containers are on overlayfs, which has no options to set"), errors);
    }
}
