//! Sinks that are slow or broken, on a real node with a real auditor: nobody who opens a token waits for them, what is grave comes
//! through, everything else is counted, and nothing needs a restart.

#[path = "../support/mod.rs"]
mod support;

mod blocked;
mod disk;
mod fifo;
mod hung;
mod rotated;
mod slow;
#[path = "../support/stage.rs"]
mod stage;
