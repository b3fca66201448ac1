//! ServiceAccounts, each read when it is wanted: a node needs a few of a cluster's thousands.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::{runtime::Handle, sync::mpsc, task::JoinSet};

use crate::{
    cluster::{ServiceAccount, Store, convert, raw},
    kube::{Api, Backoff, Failure, Resource, Trouble, jitter},
};

/// Namespace and name.
type Key = (Arc<str>, Arc<str>);

#[derive(Clone, Debug)]
pub struct AccountTiming {
    /// What was read is good for this long, and up to half as long again at random.
    pub ttl: Duration,
    /// Between two readings of one account, however new it must be.
    pub again: Duration,
    /// Requests at a time.
    pub concurrent: usize,
    /// Between two requests for an account that the server refuses to show.
    pub refused: Duration,
    /// Accounts that wait to be read; more are forgotten until they are wanted again.
    pub queue: usize,
}

impl Default for AccountTiming {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(10),
            again: Duration::from_secs(10),
            concurrent: 4,
            refused: Duration::from_mins(5),
            queue: 256,
        }
    }
}

#[derive(Debug)]
pub(super) struct Accounts {
    api: Api,
    timing: AccountTiming,
    /// In the queue, being read, or read.
    known: HashMap<Key, Known>,
    queue: VecDeque<Key>,
    reading: usize,
    tasks: JoinSet<()>,
    runtime: Handle,
    sink: mpsc::Sender<Reading>,
    readings: mpsc::Receiver<Reading>,
    backoff: Backoff,
    /// After a failure that would be the same for each of them.
    paused_until: Option<Instant>,
    trouble: Trouble,
    /// Why no account can be read.
    away: Option<String>,
    /// Why some cannot: those that are `Known::Refused`.
    refusal: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// In the queue or being read; how often in a row it was refused before.
    Wanted {
        refusals: u32,
    },
    Read {
        begun: Instant,
        stale_at: Instant,
    },
    Refused {
        until: Instant,
        refusals: u32,
    },
}

/// Beyond, the wait doubles no more.
const MOST_REFUSALS: u32 = 16;

impl Known {
    fn refusals(self) -> u32 {
        match self {
            Self::Wanted { refusals } | Self::Refused { refusals, .. } => refusals,
            Self::Read { .. } => 0,
        }
    }
}

#[derive(Debug)]
struct Reading {
    key: Key,
    begun: Instant,
    begun_at: Timestamp,
    result: Result<Option<ServiceAccount>, Failure>,
}

impl Accounts {
    pub fn new(api: Api, timing: AccountTiming) -> Self {
        // As many as are read at a time: none ever waits to hand over.
        let (sink, readings) = mpsc::channel(timing.concurrent.max(1));
        let patience = api.timing().patience;
        Self {
            backoff: Backoff::new(api.timing().backoff_least, api.timing().backoff_most),
            api,
            timing,
            known: HashMap::new(),
            queue: VecDeque::new(),
            reading: 0,
            tasks: JoinSet::new(),
            runtime: Handle::current(),
            sink,
            readings,
            paused_until: None,
            trouble: Trouble::new(patience),
            away: None,
            refusal: None,
        }
    }

    /// `told_at`: when the last reading was begun, if there was one; `after`: it must have been later.
    pub fn want(
        &mut self,
        namespace: &str,
        name: &str,
        told_at: Option<Timestamp>,
        after: Option<Timestamp>,
    ) {
        let key: Key = (namespace.into(), name.into());
        let is_too_old = after.is_some_and(|after| told_at.is_none_or(|told_at| told_at < after));
        let known = self.known.get(&key).copied();
        if !is_due(known, is_too_old, Instant::now(), self.timing.again) {
            return;
        }
        if self.queue.len() >= self.timing.queue {
            tracing::debug!(namespace, name, "too many ServiceAccounts wait to be read");
            return;
        }
        let refusals = known.map_or(0, Known::refusals);
        self.known.insert(key.clone(), Known::Wanted { refusals });
        self.queue.push_back(key);
        self.start();
    }

    /// Takes in what was read, and begins to read what waits.
    pub fn refresh(&mut self, store: &mut Store) {
        while let Ok(reading) = self.readings.try_recv() {
            self.take(reading, store);
        }
        // Those that are done.
        while self.tasks.try_join_next().is_some() {}
        self.start();
    }

    /// Why accounts cannot be read.
    pub fn trouble(&self) -> Option<&str> {
        self.refusal.as_deref().or(self.away.as_deref())
    }

    /// Forgets all but these.
    pub fn retain(&mut self, used: &HashSet<Key>) {
        self.known.retain(|key, _| used.contains(key));
        self.queue.retain(|key| used.contains(key));
        self.forget_refusal();
    }

    fn take(&mut self, reading: Reading, store: &mut Store) {
        self.reading = self.reading.saturating_sub(1);
        let Reading {
            key,
            begun,
            begun_at,
            result,
        } = reading;
        if !self.known.contains_key(&key) {
            // No pod uses it any longer.
            return;
        }
        match result {
            Ok(account) => {
                self.backoff.reset();
                self.trouble.over(Timestamp::now());
                self.away = None;
                let accounts = store.service_accounts_mut();
                accounts.learn(&key.0, &key.1, account, begun_at);
                let stale_at = begun + self.timing.ttl + jitter(self.timing.ttl / 2);
                self.known.insert(key, Known::Read { begun, stale_at });
                self.forget_refusal();
            }
            // Of this one: rights may differ by namespace.
            Err(
                failure @ (Failure::Garbled(_)
                | Failure::Status {
                    code: 400 | 403..=428,
                    ..
                }),
            ) => {
                // kube-apiserver forbids everything for a moment after its start: soon again, and later only if it lasts.
                let before = self.known.get(&key).copied().map_or(0, Known::refusals);
                let most = self.api.timing().backoff_least * 2_u32.saturating_pow(before);
                let most = most.min(self.timing.refused);
                let until = Instant::now() + most / 2 + jitter(most / 2);
                let refusals = before.saturating_add(1).min(MOST_REFUSALS);
                self.refusal = Some(failure.describe(&resource(None), "get"));
                self.known.insert(key, Known::Refused { until, refusals });
            }
            Err(failure) => {
                let description = failure.describe(&resource(None), "get");
                if let Some(text) = self.trouble.failed(&failure, description) {
                    self.away = Some(text);
                }
                let now = Instant::now();
                // Others that were under way together fail together.
                if self.paused_until.is_none_or(|until| until <= now) {
                    let wait = self.backoff.wait_after(&failure, self.api.timing());
                    self.paused_until = Some(now + wait);
                }
                self.queue.push_front(key);
            }
        }
    }

    fn forget_refusal(&mut self) {
        let is_refused = |known: &Known| matches!(known, Known::Refused { .. });
        if !self.known.values().any(is_refused) {
            self.refusal = None;
        }
    }

    fn start(&mut self) {
        if self
            .paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return;
        }
        self.paused_until = None;
        while self.reading < self.timing.concurrent
            && let Some(key) = self.queue.pop_front()
        {
            self.reading += 1;
            let (api, sink) = (self.api.clone(), self.sink.clone());
            let read = async move {
                let (begun, begun_at) = (Instant::now(), Timestamp::now());
                let result = read(&api, &key).await;
                let reading = Reading {
                    key,
                    begun,
                    begun_at,
                    result,
                };
                // Fails only when nobody wants it any longer.
                let _ = sink.send(reading).await;
            };
            self.tasks.spawn_on(read, &self.runtime);
        }
    }
}

/// Whether to read an account now. Single flight: not one that is wanted already.
fn is_due(known: Option<Known>, is_too_old: bool, now: Instant, again: Duration) -> bool {
    match known {
        None => true,
        Some(Known::Wanted { .. }) => false,
        Some(Known::Read { begun, stale_at }) => {
            now >= stale_at || is_too_old && now >= begun + again
        }
        Some(Known::Refused { until, .. }) => now >= until,
    }
}

fn resource(namespace: Option<&str>) -> Resource {
    Resource {
        api: "/api/v1",
        plural: "serviceaccounts",
        namespace: namespace.map(ToOwned::to_owned),
        field_selector: None,
        // From etcd: an event is judged by what holds after it, and by what is absent, as of when the request was sent. A server's
        // cache may be behind that by any time (resourceVersion=0), and such a reading would have to be made again for the event.
        from_cache: false,
    }
}

async fn read(api: &Api, key: &Key) -> Result<Option<ServiceAccount>, Failure> {
    #[derive(Deserialize)]
    struct Object {
        metadata: raw::Metadata,
    }
    let object: Option<Object> = api.get(&resource(Some(&key.0)), &key.1).await?;
    object
        .map(|object| convert::service_account(object.metadata))
        .transpose()
        .map_err(|missing| Failure::Garbled(format!("{}: missing or empty", missing.0)))
}
