//! Pods and ServiceAccounts from the API server (`--cluster kube`): pods by a list-watch of this node's, ServiceAccounts one
//! by one when they are wanted.

mod accounts;
mod pod;

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::mpsc::{self, error::TryRecvError},
    task::AbortHandle,
};

pub use self::accounts::AccountTiming;
use self::{accounts::Accounts, pod::WatchedPod};
use super::Store;
use crate::kube::{Api, Change, ListWatch, Resource};

/// Changes that wait for the judgement; the reader waits beyond.
const CAPACITY: usize = 256;
/// Between looks for what may be forgotten.
const EXPIRE_EVERY: SignedDuration = SignedDuration::from_secs(1);

#[derive(Debug)]
pub struct KubeSource {
    node: Arc<str>,
    store: Store,
    changes: mpsc::Receiver<Change<WatchedPod>>,
    accounts: Accounts,
    heard_at: Option<Timestamp>,
    is_told: bool,
    /// The most that the first listing waits for before it is asked for.
    start_jitter: Duration,
    /// What is wrong with the pods' list-watch.
    trouble: Option<String>,
    news: Option<News>,
    expired_at: Option<Timestamp>,
    reader: AbortHandle,
}

/// Said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// False where it is as it was probably not meant.
    pub is_good: bool,
    pub message: String,
}

impl KubeSource {
    /// Begins to read, in a task of this tokio runtime.
    #[must_use]
    pub fn start(api: Api, node: &Arc<str>, timing: AccountTiming) -> Self {
        let (sink, changes) = mpsc::channel(CAPACITY);
        let resource = Resource {
            api: "/api/v1",
            plural: "pods",
            namespace: None,
            field_selector: Some(format!("spec.nodeName={node}")),
            // Nothing is concluded from a pod that is not in a first listing; the watch brings it a moment later.
            from_cache: true,
        };
        let start_jitter = api.timing().start_jitter;
        let reader = tokio::spawn(ListWatch::new(api.clone(), resource, sink).run());
        Self {
            node: node.clone(),
            store: Store::new(node),
            changes,
            accounts: Accounts::new(api, timing),
            heard_at: None,
            is_told: false,
            start_jitter,
            trouble: None,
            news: None,
            expired_at: None,
            reader: reader.abort_handle(),
        }
    }

    /// How long the first listing may still be held back on purpose; nothing once it is in.
    #[must_use]
    pub fn start_delay(&self) -> Duration {
        if self.is_told {
            Duration::ZERO
        } else {
            self.start_jitter
        }
    }

    /// Takes in what came. Returns what is wrong, if anything.
    pub fn refresh(&mut self, now: Timestamp) -> Option<String> {
        loop {
            match self.changes.try_recv() {
                Ok(change) => self.take(change, now),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.trouble = Some("the reader of pods has ended: restart the auditor".into());
                    break;
                }
            }
        }
        self.accounts.refresh(&mut self.store);
        self.expire(now);
        let troubles: Vec<&str> = [self.trouble.as_deref(), self.accounts.trouble()]
            .into_iter()
            .flatten()
            .collect();
        (!troubles.is_empty()).then(|| {
            format!(
                "{}; what was known before stays in force",
                troubles.join("; ")
            )
        })
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How long ago the API server was last heard about pods; null before the first time.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<Duration> {
        // The clock may have been set back.
        let age = now.duration_since(self.heard_at?);
        Some(Duration::try_from(age).unwrap_or_default())
    }

    /// Whether the first listing is in.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.is_told
    }

    /// What has happened that is worth a line, once.
    pub fn take_news(&mut self) -> Option<News> {
        self.news.take()
    }

    /// See [`super::Source::want_service_account`].
    pub fn want_service_account(&mut self, namespace: &str, name: &str, after: Option<Timestamp>) {
        let told_at = self.store.service_accounts().told_at(namespace, name);
        self.accounts.want(namespace, name, told_at, after);
    }

    fn take(&mut self, change: Change<WatchedPod>, now: Timestamp) {
        match change {
            Change::Listed { items, begun_at } => {
                let pods = items.into_iter().map(|WatchedPod(pod)| pod).collect();
                self.store.list(pods, begun_at);
                if !self.is_told {
                    self.is_told = true;
                    self.news = Some(self.first_listing());
                }
            }
            Change::Applied(WatchedPod(pod)) => self.store.apply(pod),
            Change::Deleted(WatchedPod(pod)) => self.store.delete(pod, now),
            Change::Heard(at) => self.heard_at = Some(at),
            Change::Trouble(trouble) => self.trouble = trouble,
        }
    }

    fn first_listing(&self) -> News {
        match self.store.pod_count() {
            0 => News {
                is_good: false,
                message: format!(
                    "the API server has no pod of node {}: is --node-name right?",
                    self.node
                ),
            },
            1 => News {
                is_good: true,
                message: "1 pod of this node listed".to_owned(),
            },
            count => News {
                is_good: true,
                message: format!("{count} pods of this node listed"),
            },
        }
    }

    fn expire(&mut self, now: Timestamp) {
        if self
            .expired_at
            .is_some_and(|at| now.duration_since(at).abs() < EXPIRE_EVERY)
        {
            return;
        }
        self.expired_at = Some(now);
        self.store.expire(now);
        // Before the first listing nobody knows what is used.
        if self.is_told {
            let used = self.store.used_service_accounts();
            self.accounts.retain(&used);
            let kept =
                |namespace: &str, name: &str| used.contains(&(namespace.into(), name.into()));
            self.store.service_accounts_mut().retain(kept);
        }
    }
}

impl Drop for KubeSource {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests;
