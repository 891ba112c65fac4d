//! Services by themselves: declared, changed, taken back, withdrawn.

use model::{PreviousSpec, Service, ServiceId, ServiceSpec, UpdateState, UpdateStatus};

use super::{Draft, Refusal};
use crate::state::IdSource;

impl Draft<'_> {
    pub(super) fn create_service(&mut self, spec: &ServiceSpec, mut ids: IdSource) -> Result<(), Refusal> {
        model::check_object_name("service", &spec.name)?;
        if self.state.service_named(&spec.name).is_some() {
            return Err(Refusal::Exists { kind: "service", name: spec.name.clone() });
        }
        if let Some(member) = &spec.stack {
            let (name, stack) = (spec.name.clone(), member.stack.clone());
            return Err(Refusal::NotOfStack { kind: "service", name, stack });
        }
        let mut spec = spec.clone();
        self.pin_contents(&mut spec)?;
        self.check_service(&spec)?;
        let is_taken = |bits| self.state.services.contains_key(&ServiceId::from_random(bits));
        let id = ServiceId::from_random(ids.draw_fresh(is_taken));
        let name = spec.name.clone();
        self.put_service(Service::new(id, self.born(), spec, false));
        self.check_claims(&name)
    }

    pub(super) fn update_service(&mut self, id: ServiceId, spec: &ServiceSpec, seen: u64) -> Result<(), Refusal> {
        let before = self.seen_service(id, seen)?;
        let fixed = |what| Refusal::Fixed { service: before.spec.name.clone(), what };
        if before.removing {
            return Err(Refusal::NotFound { kind: "service", name: before.spec.name });
        }
        if spec.name != before.spec.name || spec.stack != before.spec.stack {
            return Err(fixed("name and stack"));
        }
        if spec.mode.word() != before.spec.mode.word() {
            return Err(fixed("mode"));
        }
        let mut spec = spec.clone();
        self.pin_contents(&mut spec)?;
        self.check_service(&spec)?;
        let (name, recreate) = (spec.name.clone(), before.spec.is_made_anew_by(&spec));
        let after = self.renewed(before, spec, recreate);
        self.put_service(after);
        self.check_claims(&name)
    }

    /// The service with another spec, and with `recreate` its tasks to give way to others.
    pub(super) fn renewed(&self, before: Service, spec: ServiceSpec, recreate: bool) -> Service {
        // No task may be taken for one of the new version, whatever came and went between.
        let newest = self.state.tasks_of(before.id).map(|task| task.spec_version).max().unwrap_or_default();
        let newest = newest.max(before.newest_version());
        let spec_version = if recreate { newest + 1 } else { before.spec_version };
        if !spec.rolls() {
            return Service { spec, spec_version, previous: None, update: None, ..before };
        }
        let is_paused =
            |update: &UpdateStatus| matches!(update.state, UpdateState::Paused | UpdateState::RollbackPaused);
        // Whoever touches it lets it go on.
        let begins = recreate || before.update.as_ref().is_some_and(is_paused);
        let begun = || UpdateStatus::begin(UpdateState::Updating, self.now);
        let update = if begins { Some(begun()) } else { before.update.clone() };
        let update = update.filter(|_| !spec.mode.is_job());
        // What has not been reached, or has failed, is nothing to go back to.
        let unproven = matches!(&before.update, Some(update) if matches!(update.state, UpdateState::Updating | UpdateState::Paused));
        let is_kept = unproven && before.previous.is_some() || before.spec == spec && !recreate;
        let previous = match is_kept {
            true => before.previous,
            false => Some(Box::new(PreviousSpec { spec: before.spec, spec_version: before.spec_version })),
        };
        Service { spec, spec_version, previous, update, ..before }
    }

    pub(super) fn rollback_service(&mut self, id: ServiceId, failed: Option<&str>, seen: u64) -> Result<(), Refusal> {
        let before = self.seen_service(id, seen)?;
        let name = before.spec.name.clone();
        let Some(previous) = before.previous.clone().filter(|_| !before.removing) else {
            return Err(Refusal::NoPrevious { service: name });
        };
        let backup = self.state.clone();
        let left = PreviousSpec { spec: before.spec.clone(), spec_version: before.spec_version };
        let mut update = UpdateStatus::begin(UpdateState::RollbackStarted, self.now);
        if let Some(reason) = failed {
            update.message = format!("rollback in progress: {reason}");
        }
        let PreviousSpec { spec, spec_version } = *previous;
        let checked = self.check_service(&spec);
        self.put_service(Service {
            spec,
            spec_version,
            previous: Some(Box::new(left)),
            update: Some(update).filter(|_| !before.spec.mode.is_job()),
            ..before.clone()
        });
        match (checked.and_then(|()| self.check_claims(&name)), failed) {
            (Ok(()), _) => Ok(()),
            (Err(refusal), None) => Err(refusal),
            // Nobody is there to be told: the update stays where it is, and says why.
            (Err(refusal), Some(reason)) => {
                self.state = backup;
                let message = format!("{reason}; the service cannot go back: {refusal}");
                let begun = before.update.clone();
                let begun = begun.unwrap_or_else(|| UpdateStatus::begin(UpdateState::Updating, self.now));
                let update = Some(UpdateStatus { state: UpdateState::Paused, message, ..begun });
                self.put_service(Service { update, ..before });
                Ok(())
            }
        }
    }

    pub(super) fn withdraw_service(&mut self, id: ServiceId, seen: u64) -> Result<(), Refusal> {
        let service = self.seen_service(id, seen)?;
        if !service.removing {
            self.put_service(Service { removing: true, ..service });
        }
        Ok(())
    }

    pub(super) fn set_update(&mut self, id: ServiceId, status: &UpdateStatus, seen: u64) -> Result<(), Refusal> {
        let service = self.seen_service(id, seen)?;
        if service.update.as_ref() != Some(status) {
            self.put_service(Service { update: Some(status.clone()), ..service });
        }
        Ok(())
    }
}
