//! Whether the daemon does its work, for /readyz.

use std::sync::{Mutex, PoisonError};

/// Not ready until it is said to be.
#[derive(Debug)]
pub struct Readiness {
    /// None: ready.
    reason: Mutex<Option<String>>,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            reason: Mutex::new(Some("starting: the probes are not attached yet".to_owned())),
        }
    }
}

impl Readiness {
    pub fn set_ready(&self) {
        self.set(None);
    }

    pub fn set_not_ready(&self, reason: impl Into<String>) {
        self.set(Some(reason.into()));
    }

    /// Why not, unless it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        self.reason
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// None: ready. Why not, otherwise.
    pub fn set(&self, reason: Option<String>) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
