//! The life of one container, and of the task whose container it is. Pure: [`Machine::step`] takes an event and the time
//! and says what to do next; a shell does it and comes back with how it went.
//!
//! ```text
//! New -> Preparing -> Prepared -> Starting -> Running -> Waiting -> Starting …   (restart policy)
//!            |                       |           |
//!         Rejected                 Exited <------+--> Removing -> Removed
//! ```
//!
//! Every step ends in `settle`, which looks only at what is wanted and where the container is, so a step that
//! was lost with a daemon is taken again by the next one.

mod event;
mod hooks;
mod look;
mod machine;
mod policy;
mod stage;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, StopOptions};
pub use hooks::{HookEnd, Hooks, Turn};
pub use machine::Machine;
pub use policy::Policy;
pub use stage::{Exit, Goal, Now, Saved, Stage};
