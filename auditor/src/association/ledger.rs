//! What is known of all associations, kept over readings that fail.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::{Association, Heading, Snapshot, encode};
use crate::watched_file::content_hash;

/// What one attempt at reading all associations gave.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Before the first request.
    pub started_at: Timestamp,
    /// All there are, or those that were read before it failed.
    pub associations: Vec<Association>,
    /// All of them were listed. A complete reading may have trouble nevertheless: roles that could not be read.
    pub complete: bool,
    /// What went wrong, and what to do about it.
    pub trouble: Option<String>,
}

type Account = (Arc<str>, Arc<str>);

/// All associations that are known, as of the last reading that was complete.
///
/// A reading that failed takes nothing away: what was read before stays in force and keeps its time, so that it grows old.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    associations: BTreeMap<Account, Association>,
    /// Counts the contents that differed, from 1; 0 before the first reading.
    pub generation: u64,
    /// Of the contents; see [`content_hash`].
    pub hash: String,
    /// When the last complete reading was begun; of the first reading, while none was complete.
    pub started_at: Timestamp,
    pub complete: bool,
    /// What is wrong with the last reading.
    pub trouble: Option<String>,
}

impl Ledger {
    /// As it was written down. The hash is made of the associations.
    #[must_use]
    pub fn restore(
        associations: impl IntoIterator<Item = Association>,
        generation: u64,
        started_at: Timestamp,
        complete: bool,
        trouble: Option<String>,
    ) -> Self {
        let mut ledger = Self {
            generation,
            started_at,
            complete,
            trouble,
            ..Self::default()
        };
        ledger.take_in(associations);
        ledger.hash = content_hash(&ledger.payload());
        ledger
    }

    /// Takes in a reading. Returns whether the associations are others now.
    pub fn take(&mut self, reading: Reading) -> bool {
        let Reading {
            started_at,
            associations,
            complete,
            trouble,
        } = reading;
        self.trouble = trouble;
        if complete {
            let before = std::mem::take(&mut self.associations);
            self.take_in(associations);
            for association in self.associations.values_mut() {
                keep_description(association, before.get(&account(association)));
            }
            self.started_at = started_at;
            self.complete = true;
        } else {
            // What is there now and what was there before: all that was there at the time of the last complete reading is
            // among them, so that time stays true.
            for mut association in associations {
                let account = account(&association);
                keep_description(&mut association, self.associations.get(&account));
                self.associations.insert(account, association);
            }
            if self.generation == 0 {
                self.started_at = started_at;
            }
        }
        let hash = content_hash(&self.payload());
        let changed = self.generation == 0 || hash != self.hash;
        if changed {
            self.generation += 1;
            self.hash = hash;
        }
        changed
    }

    /// By namespace, then by ServiceAccount.
    pub fn associations(&self) -> impl ExactSizeIterator<Item = &Association> {
        self.associations.values()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.associations.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.associations.is_empty()
    }

    /// The associations, as a document; the same ones give the same bytes.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        encode(Heading::default(), self.associations())
    }

    #[must_use]
    pub fn snapshot(&self, source: Arc<str>, interval: Option<Duration>) -> Snapshot {
        let mut snapshot = Snapshot::new(
            source,
            self.generation,
            self.hash.clone(),
            self.started_at,
            self.complete,
            self.associations().cloned(),
        );
        snapshot.interval = interval;
        snapshot
    }

    /// Lists are eventually consistent: one that was deleted and made anew may show twice. The younger one counts.
    fn take_in(&mut self, associations: impl IntoIterator<Item = Association>) {
        for association in associations {
            let account = account(&association);
            match self.associations.get(&account) {
                Some(other) if other.created > association.created => {}
                _ => {
                    self.associations.insert(account, association);
                }
            }
        }
    }
}

fn account(association: &Association) -> Account {
    (
        association.namespace.clone(),
        association.service_account.clone(),
    )
}

/// A list has no roles: where this one could not be described again, what was known of it stays.
fn keep_description(association: &mut Association, before: Option<&Association>) {
    if association.role_arn.is_none()
        && let Some(before) = before
        && before.id == association.id
    {
        *association = before.clone();
    }
}

#[cfg(test)]
mod tests;
