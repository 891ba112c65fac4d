//! Secrets and configs. What one holds never changes: with another content comes another object, which takes the name over, and
//! the one before stays for those that were made with it.

use model::{Config, ConfigId, ConfigSpec, Secret, SecretId, SecretSpec, ServiceSpec};

use super::stack::check_owner;
use super::{Draft, Refusal, check_seen};
use crate::state::{Event, IdSource, Recreate};

fn check_size(kind: &'static str, name: &str, size: usize, limit: usize) -> Result<(), Refusal> {
    if size > limit {
        return Err(Refusal::Size { kind, name: name.to_owned(), size, limit });
    }
    Ok(())
}

/// The same for secrets and for configs.
macro_rules! contents {
    ($kind:literal, $field:ident, $object:ident, $spec:ident, $id:ident, $all:ident, $named:ident, $put:ident, $drop:ident,
     $apply:ident, $create:ident, $withdraw:ident, $remove:ident, $users:ident) => {
        impl Draft<'_> {
            fn $put(&mut self, object: $object) {
                self.events.insert(Event::$object(object.id));
                self.state.$put(object);
            }

            /// Declares one of a stack; whether what its name means has changed.
            pub(super) fn $apply(
                &mut self,
                spec: &$spec,
                recreate: Recreate,
                ids: &mut IdSource,
            ) -> Result<bool, Refusal> {
                model::check_object_name($kind, &spec.name)?;
                check_size($kind, &spec.name, spec.size(), $spec::LIMIT)?;
                let mut changed = false;
                if let Some(before) = self.state.$named(&spec.name).cloned() {
                    check_owner($kind, &spec.name, before.spec.stack.as_deref(), spec.stack.as_deref())?;
                    if before.spec == *spec || recreate == Recreate::Never {
                        return Ok(false);
                    }
                    changed = before.spec.data != spec.data || before.spec.template != spec.template;
                    if !changed {
                        self.$put($object { meta: self.touched(before.meta), spec: spec.clone(), ..before });
                        return Ok(false);
                    }
                    self.$put($object { meta: self.touched(before.meta), superseded: true, ..before });
                }
                let is_taken = |bits| self.state.$all.contains_key(&$id::from_random(bits));
                let id = $id::from_random(ids.draw_fresh(is_taken));
                self.$put($object { id, meta: self.born(), spec: spec.clone(), superseded: false });
                Ok(changed)
            }

            /// One of no stack.
            pub(super) fn $create(&mut self, spec: &$spec, mut ids: IdSource) -> Result<(), Refusal> {
                let name = || spec.name.clone();
                if let Some(stack) = spec.stack.clone() {
                    return Err(Refusal::NotOfStack { kind: $kind, name: name(), stack });
                }
                if spec.size() == 0 {
                    return Err(Refusal::Empty { kind: $kind, name: name() });
                }
                if self.state.$named(&spec.name).is_some() {
                    return Err(Refusal::Exists { kind: $kind, name: name() });
                }
                self.$apply(spec, Recreate::Changed, &mut ids).map(|_| ())
            }

            /// The services that have it, but for those that are being removed.
            fn $users(&self, object: &$object) -> Vec<String> {
                let id = Some(object.id);
                let uses = |spec: &ServiceSpec| {
                    let mut files = spec.container.$all.iter();
                    files.any(|file| file.id == id || file.id.is_none() && file.$field == object.spec.name)
                };
                let services = self.state.services.values();
                let services = services.filter(|service| !service.removing && uses(&service.spec));
                services.map(|service| service.spec.name.clone()).collect()
            }

            /// A user wants it no more. It goes when nothing can go back to it.
            pub(super) fn $withdraw(&mut self, id: $id, seen: u64) -> Result<(), Refusal> {
                let object = self.state.$all.get(&id).filter(|object| !object.superseded).cloned();
                let object = object.ok_or_else(|| Refusal::NotFound { kind: $kind, name: id.to_string() })?;
                check_seen($kind, id, object.meta, seen, self.version)?;
                let users = self.$users(&object);
                if !users.is_empty() {
                    return Err(Refusal::InUse { kind: $kind, name: object.spec.name, users: users.join(", ") });
                }
                self.$put($object { meta: self.touched(object.meta), superseded: true, ..object });
                Ok(())
            }

            pub(super) fn $remove(&mut self, id: $id, seen: u64) -> Result<(), Refusal> {
                let object = self.state.$all.get(&id);
                let object = object.ok_or_else(|| Refusal::NotFound { kind: $kind, name: id.to_string() })?;
                check_seen($kind, id, object.meta, seen, self.version)?;
                let (named, id_of) = (object.spec.name.as_str(), Some(id));
                let is_named = !object.superseded;
                let uses = |spec: &ServiceSpec| {
                    let mut files = spec.container.$all.iter();
                    files.any(|file| file.id == id_of || file.id.is_none() && is_named && file.$field == named)
                };
                self.check_unused($kind, id, seen, uses)?;
                self.events.insert(Event::$object(id));
                self.state.$drop(id);
                Ok(())
            }
        }
    };
}

contents!(
    "secret",
    secret,
    Secret,
    SecretSpec,
    SecretId,
    secrets,
    secret_named,
    put_secret,
    drop_secret,
    apply_secret,
    create_secret,
    withdraw_secret,
    remove_secret,
    users_of_secret
);
contents!(
    "config",
    config,
    Config,
    ConfigSpec,
    ConfigId,
    configs,
    config_named,
    put_config,
    drop_config,
    apply_config,
    create_config,
    withdraw_config,
    remove_config,
    users_of_config
);

impl Draft<'_> {
    /// Has a service mean the secrets and configs that have the names in it now. One whose name nothing has any more keeps what it
    /// means, if that is still there.
    pub(super) fn pin_contents(&self, spec: &mut ServiceSpec) -> Result<(), Refusal> {
        for file in &mut spec.container.secrets {
            if let Some(secret) = self.state.secret_named(&file.secret) {
                (file.id, file.template) = (Some(secret.id), secret.spec.template);
            }
        }
        for file in &mut spec.container.configs {
            if let Some(config) = self.state.config_named(&file.config) {
                (file.id, file.template) = (Some(config.id), config.spec.template);
            }
        }
        self.check_contents(spec)
    }

    /// Everything that a service means is there, under the name that it says.
    pub(super) fn check_contents(&self, spec: &ServiceSpec) -> Result<(), Refusal> {
        let missing = |kind, name: &str| Err(Refusal::NotFound { kind, name: name.to_owned() });
        for file in &spec.container.secrets {
            let found = file.id.and_then(|id| self.state.secrets.get(&id)).or(self.state.secret_named(&file.secret));
            if found.is_none_or(|secret| secret.spec.name != file.secret) {
                return missing("secret", &file.secret);
            }
        }
        for file in &spec.container.configs {
            let found = file.id.and_then(|id| self.state.configs.get(&id)).or(self.state.config_named(&file.config));
            if found.is_none_or(|config| config.spec.name != file.config) {
                return missing("config", &file.config);
            }
        }
        Ok(())
    }
}
