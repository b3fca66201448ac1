//! `auditor check`: what it says, and that it says 0 exactly where `auditor run` works.

#[path = "../support/mod.rs"]
mod support;

mod node;
mod parity;
mod place;
mod privileges;
mod report;
mod sources;
