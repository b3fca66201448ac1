//! `--associations kube:NAMESPACE/NAME`: the ConfigMap that `auditor sync-associations` writes, watched.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use super::{
    Heard, LiveSource, Snapshot,
    config_map::{Sheet, decode},
};
use crate::kube::{Api, Change, ListWatch, Resource};

/// How many times its interval a reading may be old before somebody should look.
const STALE_AFTER: u32 = 3;
/// Clocks that are kept by NTP differ by less.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(10);
/// No sooner than that, however short the interval.
const STALE_AFTER_AT_LEAST: Duration = Duration::from_secs(30);
/// Of a sync that does not say.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

/// Watches in tasks of their own, which end when nobody listens. Associations of another cluster than `cluster` are refused.
#[must_use]
pub fn watch_config_map(
    api: Api,
    namespace: &str,
    name: &str,
    cluster: Option<Arc<str>>,
) -> LiveSource {
    let (sender, receiver) = watch::channel(Heard::default());
    let (sink, changes) = mpsc::channel(4);
    let resource = Resource {
        api: "/api/v1",
        plural: "configmaps",
        namespace: Some(namespace.to_owned()),
        // So a Role with resourceNames allows list and watch (Kubernetes docs, "Using RBAC Authorization", Referring to
        // resources).
        field_selector: Some(format!("metadata.name={name}")),
        from_cache: false,
    };
    tokio::spawn(ListWatch::new(api, resource, sink).run());
    let state = State {
        object: format!("{namespace}/{name}"),
        name: name.to_owned(),
        cluster,
        sheet: None,
        snapshot: None,
        api: None,
        object_trouble: None,
    };
    tokio::spawn(follow(state, changes, sender));
    LiveSource::new(receiver)
}

async fn follow(
    mut state: State,
    mut changes: mpsc::Receiver<Change<ConfigMap>>,
    sender: watch::Sender<Heard>,
) {
    loop {
        let until_stale = state.until_stale(Timestamp::now());
        tokio::select! {
            change = changes.recv() => match change {
                Some(change) => state.take(change),
                None => return,
            },
            () = sleep(until_stale.unwrap_or_default()), if until_stale.is_some() => {}
            () = sender.closed() => return,
        }
        sender.send_replace(state.heard(Timestamp::now()));
    }
}

/// What is known of the object.
#[derive(Debug)]
struct State {
    /// `NAMESPACE/NAME`
    object: String,
    name: String,
    cluster: Option<Arc<str>>,
    /// The last one that could be read, without its associations.
    sheet: Option<Facts>,
    snapshot: Option<Arc<Snapshot>>,
    /// What the API server's trouble is.
    api: Option<String>,
    /// What is wrong with the object as it is now.
    object_trouble: Option<String>,
}

#[derive(Debug)]
struct Facts {
    started_at: Timestamp,
    /// False where no reading was ever complete: then `started_at` is only when the first one was begun.
    complete: bool,
    interval: Duration,
    trouble: Option<String>,
}

/// What to say of a reading that seems to be of the future.
fn ahead(started_at: Timestamp) -> Option<String> {
    let ahead = started_at.duration_since(Timestamp::now());
    (ahead > CLOCKS_DIFFER).then(|| {
        format!("it was read {ahead:#} in the future: the clocks of the sync's node and of this one differ")
    })
}

impl State {
    fn take(&mut self, change: Change<ConfigMap>) {
        match change {
            Change::Listed { items, .. } => {
                match items.into_iter().find(|object| self.is_it(object)) {
                    Some(object) => self.read(&object),
                    None => self.absent(),
                }
            }
            Change::Applied(object) if self.is_it(&object) => self.read(&object),
            Change::Deleted(object) if self.is_it(&object) => self.absent(),
            Change::Applied(_) | Change::Deleted(_) | Change::Heard(_) => {}
            Change::Trouble(trouble) => self.api = trouble,
        }
    }

    fn is_it(&self, object: &ConfigMap) -> bool {
        object.metadata.name.as_deref() == Some(&self.name)
    }

    fn absent(&mut self) {
        let object = &self.object;
        let cluster = self.cluster.as_deref().unwrap_or("NAME");
        self.object_trouble = Some(format!(
            "there is no ConfigMap {object}: keep one `auditor sync-associations --cluster-name {cluster} --to kube:{object}` \
             running in the cluster{}",
            self.in_force()
        ));
    }

    fn read(&mut self, object: &ConfigMap) {
        let refused = match decode(object) {
            Ok(sheet) => match self.foreign(&sheet) {
                None => return self.accept(sheet),
                Some(why) => why,
            },
            Err(error) => error.to_string(),
        };
        self.object_trouble = Some(format!(
            "the ConfigMap {} cannot be used: {refused}{}",
            self.object,
            self.in_force()
        ));
    }

    /// By another cluster's associations everything here would look unbound.
    fn foreign(&self, sheet: &Sheet) -> Option<String> {
        let (theirs, ours) = (sheet.cluster.as_deref()?, self.cluster.as_deref()?);
        (theirs != ours).then(|| {
            format!(
                "it holds the associations of cluster {theirs}, and this node is of {ours} by --cluster-name"
            )
        })
    }

    fn accept(&mut self, sheet: Sheet) {
        let source = format!("kube:{}", self.object);
        let interval = sheet.interval.unwrap_or(DEFAULT_INTERVAL);
        let mut snapshot = sheet.ledger.snapshot(source.into(), Some(interval));
        // It was begun before it came, whatever the writer's clock says.
        snapshot.started_at = snapshot.started_at.min(Timestamp::now());
        self.snapshot = Some(Arc::new(snapshot));
        self.object_trouble = None;
        self.sheet = Some(Facts {
            started_at: sheet.ledger.started_at,
            complete: sheet.ledger.complete,
            interval,
            trouble: sheet
                .ledger
                .trouble
                .or_else(|| ahead(sheet.ledger.started_at)),
        });
    }

    fn in_force(&self) -> String {
        match &self.sheet {
            Some(facts) if facts.complete => {
                format!("; what was read at {} stays in force", facts.started_at)
            }
            Some(_) => "; the part that was read before stays in force".to_owned(),
            None => String::new(),
        }
    }

    fn stale_at(&self) -> Option<Timestamp> {
        let facts = self.sheet.as_ref().filter(|facts| facts.complete)?;
        let after = (facts.interval.saturating_mul(STALE_AFTER)).max(STALE_AFTER_AT_LEAST);
        facts.started_at.checked_add(after).ok()
    }

    /// Null once it is, and where there is nothing that could be.
    fn until_stale(&self, now: Timestamp) -> Option<Duration> {
        let left = self.stale_at()?.duration_since(now);
        Duration::try_from(left).ok().filter(|left| !left.is_zero())
    }

    fn heard(&self, now: Timestamp) -> Heard {
        let sync = self.sheet.as_ref().and_then(|facts| {
            let trouble = facts.trouble.as_ref();
            let trouble = trouble.map(|trouble| format!("the sync says: {trouble}"));
            let is_stale = self.stale_at().is_some_and(|at| at <= now);
            // What the API server does not tell cannot be held against the sync.
            let stale = (is_stale && self.api.is_none()).then(|| {
                format!(
                    "the ConfigMap {} was last brought up to date at {}: is `auditor sync-associations` running?",
                    self.object, facts.started_at
                )
            });
            let never_whole = (!facts.complete).then(|| {
                format!(
                    "the associations in the ConfigMap {} were never read whole: of what is not in it nothing can be said",
                    self.object
                )
            });
            join(never_whole.or(stale), trouble)
        });
        Heard {
            snapshot: self.snapshot.clone(),
            trouble: join(self.api.clone(), self.object_trouble.clone().or(sync)),
        }
    }
}

fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first}; {second}")),
        (first, second) => first.or(second),
    }
}

#[cfg(test)]
mod tests;
