//! Verbs for containers: `orca run|ps|logs|exec|attach|stop|start|restart|kill|pause|rm|inspect|wait|cp|diff|export|commit|…`.

pub mod attach;
mod cidfile;
mod cluster_events;
pub mod commit;
pub mod copy;
pub mod create;
pub mod diff;
pub mod events;
pub mod exec;
pub mod export;
pub mod flags;
pub mod inspect;
pub mod isolation;
pub mod lifecycle;
mod limits;
pub mod logs;
pub mod mounts;
pub mod prune;
pub mod ps;
pub mod run;
mod select;
pub mod stats;
pub mod update;
pub mod verbs;
