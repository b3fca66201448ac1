//! When a failure is worth telling: a cut that is mended at once is not.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::Failure;

#[derive(Debug)]
pub(crate) struct Trouble {
    patience: Duration,
    failing_since: Option<Instant>,
    last_heard: Option<Timestamp>,
    said: Option<String>,
}

impl Trouble {
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            failing_since: None,
            last_heard: None,
            said: None,
        }
    }

    /// What to tell, unless it is told already or too early.
    pub fn failed(&mut self, failure: &Failure, description: String) -> Option<String> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if !failure.is_refusal() && since.elapsed() < self.patience {
            return None;
        }
        let text = match self.last_heard {
            // To the second, as a human reads it.
            Some(heard) => format!("{description}; not heard since {heard:.0}"),
            None => format!("{description}; never heard yet"),
        };
        let is_new = self.said.as_ref() != Some(&text);
        is_new.then(|| self.said.insert(text).clone())
    }

    /// Whether that is to be told.
    pub fn over(&mut self, now: Timestamp) -> bool {
        self.heard(now);
        self.failing_since = None;
        self.said.take().is_some()
    }

    pub fn heard(&mut self, now: Timestamp) {
        self.last_heard = Some(now);
    }
}
