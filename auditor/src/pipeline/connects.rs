//! Connects to the credential endpoints: one line when the outcome is known, one when the connection has ended. One that went
//! out as pending gets a line of its own for a handshake that ends after all: a filter on the socket can hold that back.

mod ended;

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use auditor_common::{CANARY_ENDPOINT, ConnectKey, ConnectRecord, OutcomeRecord};
use uuid::Uuid;

use self::ended::Closing;
use super::{
    Pipeline,
    actor::{Attributed, Who, doubt},
    fair::{Fair, in_turn, largest},
    forgotten::Forgotten,
    held::{Attempt, NextLook, lacks_service_account},
    knowledge,
    tuple::{describe_outcome, socket},
};
use crate::{
    audit::{ConnectCase, CredentialUse, judge_connect},
    event::{Attribution, Body, Connection, CredentialConnect, EndpointKind, Outcome, Process},
    node::Clock,
};

/// A connect without an outcome by then is written as pending.
const PATIENCE: Duration = Duration::from_secs(10);
/// Connects that wait, for their outcome or for their pod: 8 MB of records. When one more comes, the oldest but one of whoever has
/// most go out as they are.
const WAITING: usize = 4096;
/// As many at once: who they are is not looked up for each.
const OUT_AT_ONCE: usize = 64;
/// Connections that are remembered for their end. Of more, the oldest of whoever has most lose their end's line, and where that might
/// have accused somebody they get one now.
const OPEN: usize = 8192;

/// A watched address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    pub name: Arc<str>,
    pub kind: EndpointKind,
    pub address: SocketAddr,
}

#[derive(Debug)]
pub struct Connects {
    waiting: HashMap<ConnectKey, Box<Waiting>>,
    /// In the order of their times; keys of what has gone out meanwhile stay until they come to the front.
    order: VecDeque<ConnectKey>,
    open: HashMap<ConnectKey, Open>,
    open_order: VecDeque<ConnectKey>,
    forgotten: Forgotten,
    /// Ended, and waiting for what their verdict lacks.
    closing: Fair<Closing>,
}

impl Default for Connects {
    fn default() -> Self {
        Self {
            waiting: HashMap::new(),
            order: VecDeque::new(),
            open: HashMap::new(),
            open_order: VecDeque::new(),
            forgotten: Forgotten::default(),
            closing: Fair::new(WAITING),
        }
    }
}

#[derive(Debug)]
struct Waiting {
    record: ConnectRecord,
    /// As [`Pipeline::party_id`] names it.
    party: u64,
    latency_us: u64,
    attributed: Option<Attributed>,
    next_look: Option<NextLook>,
    outcome: Option<OutcomeRecord>,
    closed: Option<OutcomeRecord>,
    /// It went out as pending before its outcome came.
    is_late: bool,
}

#[derive(Debug)]
struct Open {
    id: Uuid,
    boot_ns: u64,
    /// As [`Pipeline::party_id`] names it.
    party: u64,
    endpoint: Endpoint,
    who: Who,
    process: Process,
    connection: Connection,
    /// What its outcome is judged by, where it went out without.
    pending: Option<Box<Waiting>>,
}

impl Pipeline {
    pub(super) fn on_connect(&mut self, record: &ConnectRecord) {
        if record.endpoint == CANARY_ENDPOINT {
            return;
        }
        let Some(endpoint) = self.endpoint(record.endpoint) else {
            self.undecodable(&"a connect to an endpoint that was never registered");
            return;
        };
        self.refresh_sources();
        // Now, not with the outcome: who waits for it may be gone by then.
        let attributed = self.attribute(&record.task);
        // The agent connects to its own addresses for its probes, every few seconds.
        if endpoint.kind == EndpointKind::PodIdentityAgent
            && let Some(pod) = attributed.who.pod()
            && self.sources.policy().is_agent(pod)
        {
            self.count_only();
            return;
        }
        let latency_us =
            u64::try_from(Clock::since(record.header.time).as_micros()).unwrap_or(u64::MAX);
        let waiting = Waiting {
            record: *record,
            party: self.party_id(record.task.cgroup_id),
            latency_us,
            attributed: Some(attributed),
            next_look: None,
            outcome: None,
            closed: None,
            is_late: false,
        };
        self.await_connect(Box::new(waiting));
    }

    /// Puts it with those that wait; where they are too many, the oldest of whoever has most go out.
    fn await_connect(&mut self, waiting: Box<Waiting>) {
        if self.connects.waiting.len() >= WAITING {
            for key in self.connects.oldest_of_largest() {
                self.consider_connect(key, Attempt::Last);
            }
        }
        self.connects.tidy();
        let key = waiting.record.key;
        self.connects.waiting.insert(key, waiting);
        self.connects.order.push_back(key);
    }

    pub(super) fn on_outcome(&mut self, record: &OutcomeRecord) {
        if record.endpoint == CANARY_ENDPOINT {
            return;
        }
        if let Some(waiting) = self.connects.waiting.get_mut(&record.key) {
            self.totals.merged += 1;
            waiting.outcome = Some(*record);
            self.consider_connect(record.key, Attempt::First);
            return;
        }
        let open = self.connects.open.remove(&record.key);
        match open.and_then(|open| open.pending) {
            Some(mut waiting) if describe_outcome(record).0 == Outcome::Established => {
                waiting.outcome = Some(*record);
                waiting.next_look = None;
                waiting.is_late = true;
                self.await_connect(waiting);
                self.consider_connect(record.key, Attempt::First);
            }
            // Of a connect that is only counted, was lost, or came to nothing after it went out as pending: counted as merged
            // all the same.
            _ => self.totals.merged += 1,
        }
    }

    /// Looks at everything that waits once more; `last`: nothing may wait any longer.
    pub(super) fn retry_connects(&mut self, last: bool) {
        let now = Instant::now();
        let is_due = |key: &ConnectKey, waiting: &Waiting| {
            let overdue = waiting.outcome.is_some() || Clock::since(key.time) >= PATIENCE;
            (overdue && waiting.next_look.is_none_or(|look| look.is_due(now))) || last
        };
        let most = self.room_for_retries(last);
        for key in self.connects.due(most, is_due) {
            self.consider_connect(key, Attempt::again(last));
        }
    }

    /// Writes the line, unless a later attempt may know more.
    fn consider_connect(&mut self, key: ConnectKey, attempt: Attempt) {
        let Some(mut waiting) = self.connects.waiting.remove(&key) else {
            return;
        };
        let Some(endpoint) = self.endpoint(waiting.record.endpoint) else {
            return;
        };
        self.refresh_sources();
        let attributed = self.attribute_again(&waiting.record.task, waiting.attributed.take());
        waiting.attributed = Some(attributed.clone());
        let Attributed {
            who,
            by,
            mut process,
        } = attributed;
        let record = &waiting.record;
        let time = self.clock.wall(key.time);
        if let Some(pod) = who.pod() {
            self.want_service_account(pod, None);
        }
        let outcome = waiting.outcome.as_ref();
        let connection = connection(&endpoint, record, outcome);
        let familiarity = self.familiarity(&who, &process, CredentialUse::Connect, time);
        let mut judgement = judge_connect(&ConnectCase {
            time,
            actor: who.actor(),
            process: &process,
            endpoint: endpoint.kind,
            outcome: connection.outcome,
            duration_us: connection.duration_us,
            history: who.pod().map(|pod| self.history.of(&pod.uid, pod.created)),
            familiarity,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(by, &mut judgement);
        let since = match outcome {
            Some(outcome) if waiting.is_late => outcome.header.time,
            _ => key.time,
        };
        if attempt != Attempt::Last && self.may_become_clear(&judgement, since) {
            if let Some(pod) = who.pod()
                && lacks_service_account(&judgement)
            {
                self.want_service_account(pod, Some(time));
            }
            let now = Instant::now();
            waiting.next_look = Some(match waiting.next_look {
                Some(look) => look.later(now),
                None => NextLook::first(now),
            });
            self.connects.waiting.insert(key, waiting);
            return;
        }
        let party = waiting.party;
        self.count_unattributed(&who);
        if endpoint.kind == EndpointKind::PodIdentityAgent {
            self.learn(&who, &process, CredentialUse::Connect, time, &judgement);
        }
        process.args = self.settings.args.apply(process.args);
        let id = Uuid::now_v7();
        let line = CredentialConnect {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            relation: None,
            findings: judgement.findings,
            process: process.clone(),
            container: who.container(),
            pod: self.pod_ref(&who),
            connection: connection.clone(),
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution: Attribution {
                process: by.to_owned(),
                owner: None,
                latency_us: waiting.latency_us,
                cluster_age_ms: self.cluster_age_ms(),
                // For its pod: that for the outcome is the connection's own duration.
                waited_ms: outcome.and_then(|_| attempt.waited_ms(since)),
                reason: who.reason().map(str::to_owned),
            },
            repeats: 0,
        };
        let body = Body::CredentialConnect(Box::new(line));
        self.emit_of(Some(party), time, id, body);
        let closed = waiting.closed;
        let is_pending = connection.outcome == Outcome::Pending;
        let goes_on = is_pending || connection.outcome == Outcome::Established;
        let open = Open {
            id,
            boot_ns: key.time,
            endpoint,
            who,
            process,
            connection,
            pending: is_pending.then_some(waiting),
            party,
        };
        match closed {
            Some(closed) => {
                self.finish_connection(open, &closed, None, attempt == Attempt::Last);
            }
            None if goes_on => {
                for open in self.connects.remember(key, open) {
                    self.tell_of_forgotten(&open);
                }
            }
            None => {}
        }
    }

    pub(super) fn endpoint(&self, index: u32) -> Option<Endpoint> {
        self.settings.endpoints.get(index as usize).cloned()
    }
}

impl Connects {
    /// Id of the line that tells of this connect, while the connection lasts.
    pub fn id_of(&self, key: &ConnectKey) -> Option<Uuid> {
        self.open.get(key).map(|open| open.id)
    }

    /// Gives those that are forgotten for it.
    fn remember(&mut self, key: ConnectKey, open: Open) -> Vec<Open> {
        self.open.insert(key, open);
        self.open_order.push_back(key);
        if self.open_order.len() >= 2 * OPEN {
            let open = &self.open;
            self.open_order.retain(|key| open.contains_key(key));
        }
        if self.open.len() <= OPEN {
            return Vec::new();
        }
        let holder = largest(self.open.values().map(|open| open.party));
        let keys = self.open_order.iter().filter(|key| {
            let open = self.open.get(key);
            open.is_some_and(|open| Some(open.party) == holder)
        });
        let keys: Vec<_> = keys.take(OUT_AT_ONCE).copied().collect();
        let gone = keys.into_iter().filter_map(|key| {
            self.forgotten.note(key);
            self.open.remove(&key)
        });
        gone.collect()
    }

    /// A few of those that wait. Not the first: who floods does not choose what goes out before its time.
    fn oldest_of_largest(&self) -> Vec<ConnectKey> {
        let holder = largest(self.waiting.values().map(|waiting| waiting.party));
        let keys = self.order.iter().filter(|key| {
            let waiting = self.waiting.get(key);
            waiting.is_some_and(|waiting| Some(waiting.party) == holder)
        });
        let mut keys: Vec<_> = keys.take(OUT_AT_ONCE).copied().collect();
        if keys.len() > 1 {
            keys.remove(0);
        }
        keys
    }

    /// Those that are due, `most` at once and each party in its turn, in the order of their times.
    fn due(
        &mut self,
        most: usize,
        is_due: impl Fn(&ConnectKey, &Waiting) -> bool,
    ) -> Vec<ConnectKey> {
        let waiting = &self.waiting;
        self.order.retain(|key| waiting.contains_key(key));
        let due = self.order.iter().enumerate().filter_map(|(at, key)| {
            let waiting = waiting.get(key)?;
            is_due(key, waiting).then_some((waiting.party, at))
        });
        let due = in_turn(due, most).into_iter();
        due.filter_map(|at| self.order.get(at).copied()).collect()
    }

    /// Drops the keys of what has gone out meanwhile, where they are many.
    fn tidy(&mut self) {
        if self.order.len() >= 2 * WAITING {
            let waiting = &self.waiting;
            self.order.retain(|key| waiting.contains_key(key));
        }
    }
}

fn connection(
    endpoint: &Endpoint,
    record: &ConnectRecord,
    outcome: Option<&OutcomeRecord>,
) -> Connection {
    // The last-resort backend learns the source only with the outcome.
    let tuple = outcome.map_or(record.tuple, |outcome| outcome.tuple);
    let (name, errno) = outcome.map_or((Outcome::Pending, None), describe_outcome);
    Connection {
        endpoint: endpoint.name.to_string(),
        src: (tuple.src_port != 0).then(|| socket(tuple.src, tuple.src_port)),
        dst: socket(tuple.dst, tuple.dst_port),
        outcome: name,
        errno,
        duration_us: outcome
            .map(|outcome| outcome.header.time.saturating_sub(record.key.time) / 1000),
    }
}

#[cfg(test)]
mod tests;
