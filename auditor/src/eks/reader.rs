//! Reads all associations of a cluster: their list each time, their descriptions now and then.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::{Client, Error};
use crate::association::{Association, Reading};

/// 100,000 associations: a server that goes on giving tokens is not believed for ever.
const MAX_PAGES: usize = 1000;

/// What is known of the cluster's associations. A list has no roles, so that each one is described besides: new ones at
/// once, old ones in turn, each of them within [`super::Pace::describe_again_within`].
#[derive(Debug)]
pub struct Reader {
    client: Client,
    interval: Duration,
    known: BTreeMap<Arc<str>, Known>,
}

#[derive(Clone, Debug)]
struct Known {
    association: Association,
    /// Null before it was described by us.
    described: Option<Instant>,
}

impl Known {
    /// Neither did we describe it, nor anybody before.
    fn is_new(&self) -> bool {
        self.association.role_arn.is_none() && self.described.is_none()
    }
}

impl Reader {
    /// Reads nothing yet. `interval` is how often it will be called: by that the descriptions are spread over time.
    #[must_use]
    pub fn new(client: Client, interval: Duration) -> Self {
        Self {
            client,
            interval,
            known: BTreeMap::new(),
        }
    }

    /// What was read by another before us: it need not be described before the rest is known.
    pub fn seed<'a>(&mut self, associations: impl IntoIterator<Item = &'a Association>) {
        for association in associations {
            self.known
                .entry(association.id.clone())
                .or_insert_with(|| Known {
                    association: association.clone(),
                    described: None,
                });
        }
    }

    /// Reads. Where describing takes long, `interim` is told before it of what is known by then, so that the list's news (and
    /// its time, by which absence is judged) need not wait. Takes no longer than [`super::Pace::describe_for`] after the
    /// list; what is left is for the next call.
    pub async fn read(&mut self, mut interim: impl FnMut(Reading)) -> Reading {
        let started_at = Timestamp::now();
        if let Err(error) = self.list().await {
            let trouble = format!(
                "cannot list all associations of cluster {}: {error}",
                self.client.cluster()
            );
            return self.reading(started_at, false, Some(trouble));
        }
        let now = Instant::now();
        let until = now + self.client.pace().describe_for;
        let (new, old) = (self.new_ones(), self.old_ones(now));
        if self.takes_long(&new) {
            let trouble = format!(
                "{} associations are yet to be described: their roles are unknown",
                new.len()
            );
            interim(self.reading(started_at, true, Some(trouble)));
        }
        let mut failed = self.describe(new, until).await;
        if !failed.as_ref().is_some_and(Error::concerns_all) {
            if self.takes_long(&old) {
                let trouble = self.trouble(failed.as_ref());
                interim(self.reading(started_at, true, trouble));
            }
            failed = self.describe(old, until).await.or(failed);
        }
        self.reading(started_at, true, self.trouble(failed.as_ref()))
    }

    fn reading(&self, started_at: Timestamp, complete: bool, trouble: Option<String>) -> Reading {
        let known = self.known.values();
        Reading {
            started_at,
            associations: known.map(|known| known.association.clone()).collect(),
            complete,
            trouble,
        }
    }

    fn takes_long(&self, due: &[Arc<str>]) -> bool {
        let pace = self.client.pace();
        let count = u32::try_from(due.len()).unwrap_or(u32::MAX);
        pace.describe_every.saturating_mul(count) > pace.tell_first
    }

    /// Goes through all pages. What is no longer there is forgotten only when there was a last page.
    async fn list(&mut self) -> Result<(), Error> {
        let mut token: Option<String> = None;
        let mut ids = HashSet::new();
        for page in 1..=MAX_PAGES {
            let listed = self.client.list(token.as_deref()).await?;
            for association in listed.associations {
                ids.insert(association.id.clone());
                self.known.entry(association.id.clone()).or_insert(Known {
                    association,
                    described: None,
                });
            }
            match listed.next_token {
                None => {
                    self.known.retain(|id, _| ids.contains(id));
                    return Ok(());
                }
                next if next == token => {
                    let problem = format!("page {page} gives the token that led to it");
                    return Err(self.client.malformed_list(&problem));
                }
                next => token = next,
            }
        }
        let problem = format!("there is no end after {MAX_PAGES} pages");
        Err(self.client.malformed_list(&problem))
    }

    /// Returns the last error.
    async fn describe(&mut self, due: Vec<Arc<str>>, until: Instant) -> Option<Error> {
        let pace = self.client.pace().clone();
        let total = due.len();
        let mut next = Instant::now();
        let client = &self.client;
        let paced = stream::iter(due).then(move |id| {
            let at = next.max(Instant::now());
            next = at + pace.describe_every;
            async move {
                sleep_until(at).await;
                id
            }
        });
        let answers = paced
            .map(|id| async move {
                let answer = client.describe(&id).await;
                (id, answer)
            })
            .buffer_unordered(pace.concurrency.max(1))
            .take_until(sleep_until(until));
        let mut answers = std::pin::pin!(answers);
        let mut failed = None;
        let mut done = 0_usize;
        while let Some((id, answer)) = answers.next().await {
            done += 1;
            if done.is_multiple_of(100) {
                tracing::info!("described {done} of {total} associations");
            }
            match answer {
                Ok(association) => {
                    let described = Some(Instant::now());
                    self.known.insert(
                        id,
                        Known {
                            association,
                            described,
                        },
                    );
                }
                // Deleted meanwhile, which the next list will say; or so new that not all of EKS knows of it.
                Err(Error::NoAssociation { .. }) => {}
                Err(error) => {
                    tracing::debug!(%error, id = &*id, "EKS: cannot describe");
                    let concerns_all = error.concerns_all();
                    failed = Some(error);
                    if concerns_all {
                        break;
                    }
                }
            }
        }
        failed
    }

    fn new_ones(&self) -> Vec<Arc<str>> {
        let new = self.known.iter().filter(|(_, known)| known.is_new());
        new.map(|(id, _)| id.clone()).collect()
    }

    /// As many of those that were described before as keep the promise, the longest not described first.
    fn old_ones(&self, now: Instant) -> Vec<Arc<str>> {
        let within = self.client.pace().describe_again_within;
        let mut old: Vec<_> = self
            .known
            .iter()
            .filter(|(_, known)| !known.is_new())
            .collect();
        old.sort_by_key(|(_, known)| known.described);
        // The share that keeps the load even; and whatever would be too old by the next call, such as after a pause.
        let rounds = within.as_millis() / self.interval.as_millis().max(1);
        let share = old
            .len()
            .div_ceil(usize::try_from(rounds.max(1)).unwrap_or(usize::MAX));
        let too_old = |known: &Known| {
            known
                .described
                .is_none_or(|described| now.duration_since(described) + self.interval >= within)
        };
        old.into_iter()
            .enumerate()
            .filter(|(index, (_, known))| *index < share || too_old(known))
            .map(|(_, (id, _))| id.clone())
            .collect()
    }

    fn trouble(&self, failed: Option<&Error>) -> Option<String> {
        let unknown = self.known.values().filter(|known| known.is_new()).count();
        let unknown =
            (unknown > 0).then(|| format!("the roles of {unknown} associations are unknown"));
        let failed = failed.map(|error| format!("cannot describe all associations: {error}"));
        match (failed, unknown) {
            (Some(failed), Some(unknown)) => Some(format!("{failed}; {unknown}")),
            (failed, unknown) => failed.or(unknown),
        }
    }
}
