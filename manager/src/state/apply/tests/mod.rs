//! What each command does, and what it refuses.

mod claims;
mod objects;
mod random;
mod stack;
mod tasks;
