//! What people see: tables, JSON, durations, sizes, progress.

pub mod format;
pub mod human;
pub mod manner;
pub mod progress;
pub mod table;
