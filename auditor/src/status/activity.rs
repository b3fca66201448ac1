//! What is counted as it happens, for whoever asks: lines by type and verdict, and who causes them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::report::{Talker, Talkers};
use crate::{
    event::{Body, PodRef, Verdict},
    report::Observer,
};

/// A node has 250 pods at most; those that come and go push out the quietest.
const PODS: usize = 1024;
/// Told of.
const TOP: usize = 10;

#[derive(Debug, Default)]
pub struct Activity {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    lines: BTreeMap<(&'static str, &'static str), u64>,
    /// By uid; none: outside every pod, or not known whose.
    talkers: HashMap<Option<Arc<str>>, Talker>,
}

impl Activity {
    /// Lines by event type and verdict.
    #[must_use]
    pub fn lines(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        let mut lines = BTreeMap::<_, BTreeMap<_, _>>::new();
        for ((event, verdict), count) in &self.counts().lines {
            let of_event = lines.entry((*event).to_owned()).or_default();
            of_event.insert((*verdict).to_owned(), *count);
        }
        lines
    }

    #[must_use]
    pub fn talkers(&self) -> Talkers {
        let counts = self.counts();
        let top = |key: fn(&Talker) -> u64| {
            let mut talkers: Vec<&Talker> = counts
                .talkers
                .values()
                .filter(|talker| key(talker) > 0)
                .collect();
            talkers.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.pod.cmp(&b.pod)));
            talkers.into_iter().take(TOP).cloned().collect()
        };
        Talkers {
            by_events: top(|talker| talker.events),
            by_folded: top(|talker| talker.folded),
        }
    }

    /// Every update leaves it whole.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Activity {
    fn emitted(&self, body: &Body) {
        let (verdict, pod) = facts(body);
        let mut counts = self.counts();
        *counts
            .lines
            .entry((body.event(), word(verdict)))
            .or_default() += 1;
        if verdict.is_some() {
            let talker = counts.talker(pod);
            talker.events += 1;
            talker.violations += u64::from(verdict == Some(Verdict::Violation));
        } else if let Body::Summary(summary) = body {
            counts.talker(pod).folded += summary.count;
        }
    }

    fn written(&self, _: &Body, _: Duration) {}

    fn lost(&self, _: &Body) {}
}

impl Counts {
    fn talker(&mut self, pod: Option<&PodRef>) -> &mut Talker {
        let uid = pod.map(|pod| pod.uid.clone());
        if self.talkers.len() >= PODS && !self.talkers.contains_key(&uid) {
            let quietest = self
                .talkers
                .iter()
                .min_by_key(|(_, talker)| talker.events + talker.folded);
            if let Some(quietest) = quietest.map(|(uid, _)| uid.clone()) {
                self.talkers.remove(&quietest);
            }
        }
        self.talkers.entry(uid).or_insert_with(|| Talker {
            pod: pod.map(|pod| format!("{}/{}", pod.namespace, pod.name)),
            service_account: pod.map(|pod| pod.service_account.to_string()),
            ..Talker::default()
        })
    }
}

fn word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Allowed) => "allowed",
        Some(Verdict::Suspicious) => "suspicious",
        Some(Verdict::Undetermined) => "undetermined",
        Some(Verdict::Violation) => "violation",
        None => "-",
    }
}

/// Its verdict where it has one, and the pod that caused it.
fn facts(body: &Body) -> (Option<Verdict>, Option<&PodRef>) {
    match body {
        Body::TokenOpen(open) => (Some(open.verdict), open.pod.as_ref()),
        Body::TokenReceived(received) => (Some(received.verdict), received.pod.as_ref()),
        Body::CredentialConnect(connect) => (Some(connect.verdict), connect.pod.as_ref()),
        Body::ConnectionClosed(closed) => (Some(closed.verdict), closed.pod.as_ref()),
        Body::AgentAccept(accept) => (Some(accept.verdict), accept.pod.as_ref()),
        Body::Listen(listen) => (Some(listen.verdict), listen.pod.as_ref()),
        Body::MemoryAccess(access) => (Some(access.verdict), access.pod.as_ref()),
        Body::SocketCreate(create) => (Some(create.verdict), create.pod.as_ref()),
        Body::Summary(summary) => (None, summary.pod.as_ref()),
        Body::Posture(_) | Body::Ready(_) | Body::Stopped(_) | Body::Loss(_) | Body::Health(_) => {
            (None, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    fn open(uid: &str, verdict: Verdict) -> Body {
        let mut open = fixture::token_open(uid, 1);
        open.verdict = verdict;
        Body::TokenOpen(Box::new(open))
    }

    fn folded(uid: &str, count: u64) -> Body {
        let summary = fixture::bodies(uid, 1)
            .into_iter()
            .find_map(|body| match body {
                Body::Summary(summary) => Some(summary),
                _ => None,
            });
        let mut summary = summary.unwrap();
        summary.count = count;
        Body::Summary(summary)
    }

    #[test]
    fn the_loudest_stand_first() {
        let activity = Activity::default();
        for body in [
            open("a", Verdict::Allowed),
            open("b", Verdict::Allowed),
            open("b", Verdict::Violation),
            folded("c", 7),
            folded("a", 9),
            fixture::health("x"),
        ] {
            activity.emitted(&body);
        }
        let Talkers {
            by_events,
            by_folded,
        } = activity.talkers();
        let names = |talkers: &[Talker]| -> Vec<(String, u64, u64, u64)> {
            let told = talkers.iter().map(|talker| {
                let pod = talker.pod.clone().unwrap();
                (pod, talker.events, talker.violations, talker.folded)
            });
            told.collect()
        };
        let (a, b) = (("a/a".to_owned(), 1, 0, 9), ("b/b".to_owned(), 2, 1, 0));
        assert_eq!(names(&by_events), [b, a.clone()]);
        assert_eq!(names(&by_folded), [a, ("c/c".to_owned(), 0, 0, 7)]);
        let lines = activity.lines();
        assert_eq!(lines["token_open"]["allowed"], 2);
        assert_eq!(lines["token_open"]["violation"], 1);
        assert_eq!(lines["summary"]["-"], 2);
        assert_eq!(lines["health"]["-"], 1);
    }

    #[test]
    fn pods_that_come_and_go_push_out_the_quietest_alone() {
        let activity = Activity::default();
        for _ in 0..2 {
            activity.emitted(&open("loud", Verdict::Allowed));
        }
        for n in 0..2 * PODS {
            activity.emitted(&open(&n.to_string(), Verdict::Allowed));
        }
        assert_eq!(activity.counts().talkers.len(), PODS);
        let talkers = activity.talkers().by_events;
        assert_eq!(talkers[0].pod.as_deref(), Some("loud/loud"));
        assert_eq!(talkers.len(), TOP);
    }
}
