//! Verbs for containers: `orca run|ps|logs|exec|stop|start|restart|kill|rm|inspect|wait|cp|diff|export|commit`.

pub mod commit;
pub mod copy;
pub mod create;
pub mod diff;
pub mod events;
pub mod exec;
pub mod export;
pub mod flags;
pub mod inspect;
pub mod lifecycle;
pub mod logs;
pub mod ps;
pub mod run;
pub mod stats;
pub mod verbs;
