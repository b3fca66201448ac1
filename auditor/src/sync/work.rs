//! Becoming the leader, and reading and writing each interval while leading.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    leadership::Leadership,
    origin::Origin,
    writer::{WriteError, Writer},
};
use crate::{cli::Failure, event::BindingKind, metrics::Metrics};

/// To get hold of what was written before.
const LOAD_RETRY: Duration = Duration::from_secs(5);
/// A Lease of one that died is free after 15 s.
const ONCE_WAITS_FOR: Duration = Duration::from_secs(40);

/// Everything that goes on while we run.
pub struct Work {
    pub origin: Origin,
    pub writer: Writer,
    pub interval: Duration,
    pub once: bool,
    pub metrics: Arc<Metrics>,
    /// The trouble that was last logged.
    pub said: Option<String>,
}

impl Work {
    /// Returns only with `once`, or on what time does not mend.
    pub async fn go_on(&mut self, mut leadership: Option<&mut Leadership>) -> Result<(), Failure> {
        loop {
            let Some(leadership) = leadership.as_deref_mut() else {
                return self.rounds().await;
            };
            if self.once {
                let acquired = leadership.acquire_within(ONCE_WAITS_FOR).await;
                acquired.map_err(|why| Failure::environment(anyhow::anyhow!(why)))?;
            } else {
                leadership.acquire().await;
            }
            tracing::info!("leading");
            // The rounds end in mid-write when the leadership does; what they wrote meanwhile names the version it replaces.
            tokio::select! {
                lost = leadership.hold() => tracing::warn!("no longer leading: {lost}"),
                result = self.rounds() => return result,
            }
        }
    }

    async fn rounds(&mut self) -> Result<(), Failure> {
        self.take_over().await?;
        loop {
            let begun = Instant::now();
            let result = self.round().await;
            if self.once {
                return result;
            }
            sleep(self.interval.saturating_sub(begun.elapsed())).await;
        }
    }

    /// What was written before is where we go on from.
    async fn take_over(&mut self) -> Result<(), Failure> {
        loop {
            match self.writer.load().await {
                Ok(()) => break,
                Err(error) if self.once || error.is_final() => {
                    return Err(Failure::environment(error));
                }
                Err(error) => self.say(Some(error.to_string())),
            }
            sleep(LOAD_RETRY).await;
        }
        self.origin.seed(self.writer.associations());
        Ok(())
    }

    /// Reads, and writes meanwhile what is known already.
    pub async fn round(&mut self) -> Result<(), Failure> {
        let (sender, mut readings) = mpsc::channel(4);
        let (origin, writer) = (&mut self.origin, &mut self.writer);
        let read = async move {
            let last = origin
                .read(|reading| {
                    // With no room the next one will do.
                    let _ = sender.try_send(reading);
                })
                .await;
            // The receiver is there until we are gone.
            let _ = sender.send(last).await;
        };
        let write = async move {
            let mut result: Result<(), WriteError> = Ok(());
            while let Some(reading) = readings.recv().await {
                result = writer.take(reading).await;
            }
            result
        };
        let ((), written) = tokio::join!(read, write);
        let ledger = self.writer.ledger();
        let source = self.writer.source();
        self.metrics
            .set_bindings(source, BindingKind::PodIdentity, ledger.len());
        if ledger.complete && written.is_ok() {
            self.metrics.set_bindings_sync(ledger.started_at);
        }
        let trouble = written
            .err()
            .map(|error| error.to_string())
            .or_else(|| ledger.trouble.clone());
        self.say(trouble.clone());
        match trouble {
            Some(trouble) => Err(Failure::environment(anyhow::anyhow!(trouble))),
            None => Ok(()),
        }
    }

    /// Each trouble once, and its end.
    fn say(&mut self, trouble: Option<String>) {
        if self.said == trouble {
            return;
        }
        match &trouble {
            // With --once it is the last word anyhow.
            Some(_) if self.once => {}
            Some(trouble) => tracing::error!("{trouble}"),
            None => tracing::info!("all is well again"),
        }
        self.said = trouble;
    }
}
