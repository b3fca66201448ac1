//! A source that reads by itself, in a task of its own.

use std::sync::Arc;

use tokio::sync::watch;

use super::Snapshot;

/// What the task last said.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Null before the first reading.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Why the last reading failed, and what is in force meanwhile; null while all is well.
    pub trouble: Option<String>,
}

/// The judgement's end of it.
#[derive(Debug)]
pub struct LiveSource {
    receiver: watch::Receiver<Heard>,
    heard: Heard,
}

impl LiveSource {
    #[must_use]
    pub fn new(receiver: watch::Receiver<Heard>) -> Self {
        let heard = receiver.borrow().clone();
        Self { receiver, heard }
    }

    /// Takes in what was last said. Returns what is wrong, if anything.
    pub fn refresh(&mut self) -> Option<String> {
        match self.receiver.has_changed() {
            Ok(true) => self.heard = self.receiver.borrow_and_update().clone(),
            Ok(false) => {}
            Err(_) => return Some("its reader has ended".to_owned()),
        }
        self.heard.trouble.clone()
    }

    #[must_use]
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.heard.snapshot.as_deref()
    }
}
