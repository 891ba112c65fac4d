//! What each command does, and what it refuses.

mod claims;
mod contents;
mod objects;
mod random;
mod refound;
mod stack;
mod tasks;
