//! From readings to what is written.

use std::{sync::Arc, time::Duration};

use super::target::{Before, Target, TargetError};
use crate::association::{
    Association, Ledger, Reading,
    config_map::{EncodeError, Sheet},
};

/// Writes where something is new: other associations, a later time, or another trouble.
pub struct Writer {
    target: Target,
    ledger: Ledger,
    interval: Duration,
    cluster: Option<Arc<str>>,
    source: Arc<str>,
    written: Option<Sheet>,
    /// What stands there cannot be read: only all associations may take its place.
    unreadable: Option<String>,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("{0}; it is left as it is until all associations can be read")]
    Unreadable(String),
    #[error(
        "the target holds the associations of cluster {theirs}, and these are of {ours}: name another --to, or delete it"
    )]
    Foreign { theirs: Arc<str>, ours: Arc<str> },
}

impl WriteError {
    /// Time does not mend it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Target(error) => error.is_final(),
            Self::Foreign { .. } => true,
            Self::Unreadable(_) => false,
        }
    }
}

impl Writer {
    /// Knows nothing yet: call [`Self::load`].
    #[must_use]
    pub fn new(
        target: Target,
        interval: Duration,
        cluster: Option<Arc<str>>,
        source: Arc<str>,
    ) -> Self {
        Self {
            target,
            ledger: Ledger::default(),
            interval,
            cluster,
            source,
            written: None,
            unreadable: None,
        }
    }

    /// Takes up what was written before, by us or another.
    ///
    /// # Errors
    /// When it cannot be read, or is not ours to write.
    pub async fn load(&mut self) -> Result<(), WriteError> {
        self.ledger = Ledger::default();
        self.written = None;
        self.unreadable = None;
        match self.target.load().await? {
            Before::Nothing => {}
            Before::Unreadable(why) => {
                tracing::warn!("{why}");
                self.unreadable = Some(why);
            }
            Before::Sheet(sheet) => {
                let theirs = sheet.cluster.clone().zip(self.cluster.clone());
                if let Some((theirs, ours)) = theirs.filter(|(theirs, ours)| theirs != ours) {
                    return Err(WriteError::Foreign { theirs, ours });
                }
                self.ledger = sheet.ledger.clone();
                self.written = Some(*sheet);
            }
        }
        Ok(())
    }

    /// # Errors
    /// When it could not be written; what was read is kept for the next time.
    pub async fn take(&mut self, reading: Reading) -> Result<(), WriteError> {
        let changed = self.ledger.take(reading);
        if let Some(why) = &self.unreadable
            && !self.ledger.complete
        {
            return Err(WriteError::Unreadable(why.clone()));
        }
        // An empty file would tell nobody why.
        if self.ledger.is_empty() && !self.ledger.complete && !self.target.tells_trouble() {
            return Ok(());
        }
        let sheet = Sheet {
            ledger: self.ledger.clone(),
            interval: Some(self.interval),
            cluster: self.cluster.clone(),
            source: self.source.clone(),
        };
        if self.written.as_ref() == Some(&sheet) {
            return Ok(());
        }
        match self.target.store(&sheet).await {
            Ok(()) => {}
            Err(TargetError::Encode { object, error }) => {
                self.tell_too_large(&error).await?;
                return Err(TargetError::Encode { object, error }.into());
            }
            Err(error) => return Err(error.into()),
        }
        let (count, generation) = (sheet.ledger.len(), sheet.ledger.generation);
        if !sheet.ledger.complete {
            tracing::warn!(generation, "wrote {count} associations, incomplete");
        } else if changed {
            tracing::info!(generation, "wrote {count} associations");
        } else {
            tracing::debug!(generation, "wrote {count} associations: no others");
        }
        self.unreadable = None;
        self.written = Some(sheet);
        Ok(())
    }

    /// The old associations stay; that they do is told to those who read them.
    async fn tell_too_large(&mut self, error: &EncodeError) -> Result<(), WriteError> {
        let Some(mut before) = self.written.clone() else {
            return Ok(());
        };
        before.ledger.trouble = Some(error.to_string());
        if self.written.as_ref() != Some(&before) {
            self.target.store(&before).await?;
            self.written = Some(before);
        }
        Ok(())
    }

    pub fn associations(&self) -> impl ExactSizeIterator<Item = &Association> {
        self.ledger.associations()
    }

    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}
