//! Findings about states: looked for every few seconds, raised once, and cleared when they no longer hold.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Pipeline, knowledge};
use crate::{
    audit::{StateFound, Use, UseKey, Uses, judge_bindings, judge_pod, use_key},
    cluster::{Pod, ServiceAccounts},
    event::{Binding, Body, Posture, PostureState, PostureSubject, Relation, TokenKind, TokenRef},
};

/// From one look to the next.
const INTERVAL: SignedDuration = SignedDuration::from_secs(2);
/// A state is raised once it has held for so long: pods and bindings come from two sources, and one may be ahead of the other.
const SETTLE: SignedDuration = SignedDuration::from_secs(4);
/// The auditor itself may have stood still: that time was not watched.
const LONGEST_STEP: SignedDuration = SignedDuration::from_mins(1);
/// From one ServiceAccount that is asked for without an event to the next.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(20);
/// States that are remembered as raised; far more than a node has pods.
const CAPACITY: usize = 4096;

/// What a state is told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Pod(Arc<str>),
    Binding(UseKey),
}

#[derive(Debug)]
struct State {
    since: Timestamp,
    raised: bool,
    posture: Posture,
}

#[derive(Debug, Default)]
pub struct Postures {
    states: HashMap<Key, State>,
    uses: Uses,
    last_look: Option<Timestamp>,
    next_ask: Option<Timestamp>,
    asked: usize,
}

impl Postures {
    /// `kept`: what an earlier run knew of uses.
    pub fn new(kept: Vec<Use>) -> Self {
        Self {
            uses: Uses::new(kept),
            ..Self::default()
        }
    }

    /// A pod's process opened a token: its binding is in use, where it is the pod's own.
    pub(super) fn note_open(
        &mut self,
        pod: &Pod,
        token: &TokenRef,
        relation: Relation,
        binding: Option<&Binding>,
        time: Timestamp,
    ) {
        let is_credential = matches!(token.kind, TokenKind::Irsa | TokenKind::PodIdentity);
        if relation != Relation::Own || !is_credential {
            return;
        }
        if let Some(binding) = binding {
            self.uses.note(use_key(pod, binding.kind), binding, time);
        }
    }

    /// Null where it is not yet time for a look; else how long ago the last one was.
    fn due(&mut self, now: Timestamp) -> Option<SignedDuration> {
        let elapsed = match self.last_look {
            None => SignedDuration::ZERO,
            Some(last) => now.duration_since(last),
        };
        if self.last_look.is_some() && elapsed.abs() < INTERVAL {
            return None;
        }
        self.last_look = Some(now);
        // A clock that was set back, or an auditor that stood still.
        Some(elapsed.clamp(SignedDuration::ZERO, LONGEST_STEP))
    }

    /// Takes over what holds now; returns what is to be written, `most` at once. The rest is told at the next look.
    fn update(
        &mut self,
        mut holding: HashMap<Key, Posture>,
        now: Timestamp,
        most: usize,
    ) -> Vec<Posture> {
        let mut lines = Vec::new();
        self.states.retain(|key, state| match holding.remove(key) {
            Some(posture) => {
                let is_settled = now.duration_since(state.since) >= SETTLE;
                if !state.raised && is_settled && lines.len() < most {
                    state.raised = true;
                    state.posture = posture;
                    lines.push(state.posture.clone());
                }
                true
            }
            None if state.raised && lines.len() >= most => true,
            None => {
                if state.raised {
                    let mut posture = state.posture.clone();
                    posture.state = PostureState::Cleared;
                    lines.push(posture);
                }
                false
            }
        });
        for (key, posture) in holding {
            if self.states.len() >= CAPACITY {
                break;
            }
            let state = State {
                since: now,
                raised: false,
                posture,
            };
            self.states.insert(key, state);
        }
        lines
    }
}

impl Pipeline {
    /// What the next run should know of uses.
    pub fn uses(&self) -> impl Iterator<Item = &Use> {
        self.postures.uses.iter()
    }

    pub(super) fn look_at_postures(&mut self, now: Timestamp) {
        let Some(elapsed) = self.postures.due(now) else {
            return;
        };
        let pods: Vec<Arc<Pod>> = self.sources.cluster().pods().cloned().collect();
        self.ask_for_an_account(&pods, now);
        let knowledge = knowledge(&self.sources, &self.settings);
        let mut holding = HashMap::new();
        let mut accounts = HashSet::new();
        for pod in pods.iter().filter(|pod| pod.active) {
            if let Some(found) = judge_pod(pod, &knowledge) {
                let key = Key::Pod(pod.uid.clone());
                holding.insert(key, posture(of_pod(pod), found));
            }
            if accounts.insert((&pod.namespace, &pod.service_account)) {
                let uses = &mut self.postures.uses;
                for (key, found) in judge_bindings(pod, elapsed, uses, &knowledge) {
                    let subject = of_account(pod, &self.sources);
                    holding.insert(Key::Binding(key), posture(subject, found));
                }
            }
        }
        let most = self.room_for_retries(false);
        for posture in self.postures.update(holding, now, most) {
            self.emit(now, Uuid::now_v7(), Body::Posture(Box::new(posture)));
        }
    }

    fn ask_for_an_account(&mut self, pods: &[Arc<Pod>], now: Timestamp) {
        if self.postures.next_ask.is_some_and(|next| now < next) {
            return;
        }
        let accounts = self.sources.cluster().service_accounts();
        let Some(pod) = next_untold(pods, accounts, self.postures.asked).cloned() else {
            return;
        };
        self.postures.asked = self.postures.asked.wrapping_add(1);
        self.postures.next_ask = now.checked_add(ASK_EVERY).ok();
        self.want_service_account(&pod, None);
    }
}

/// A pod whose ServiceAccount is to be asked for, the `turn`th of those of which nothing is known.
///
/// Where ServiceAccounts are read one by one, nobody else may ask for those of pods that do nothing. One at a time, and in turn, so that
/// 5,000 nodes that start do not ask for all at once. Each is asked for until it is told of and then no more: what is known of one is
/// read again when an event needs it.
fn next_untold<'a>(
    pods: &'a [Arc<Pod>],
    accounts: &ServiceAccounts,
    turn: usize,
) -> Option<&'a Arc<Pod>> {
    let of = |pod: &Pod| (pod.namespace.clone(), pod.service_account.clone());
    let mut untold: Vec<&Arc<Pod>> = pods
        .iter()
        // A static pod has none.
        .filter(|pod| pod.active && !pod.service_account.is_empty())
        .filter(|pod| !accounts.tells_of(&pod.namespace, &pod.service_account))
        .collect();
    untold.sort_by_key(|pod| of(pod));
    // Pods that share one would give it several turns.
    untold.dedup_by_key(|pod| of(pod));
    untold.get(turn.checked_rem(untold.len())?).copied()
}

fn posture(subject: PostureSubject, found: StateFound) -> Posture {
    Posture {
        state: PostureState::Raised,
        subject,
        findings: vec![found.finding],
        binding: found.binding,
        evidence: found.evidence,
    }
}

fn of_pod(pod: &Pod) -> PostureSubject {
    PostureSubject {
        kind: "pod".to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        uid: Some(pod.uid.clone()),
        service_account: pod.service_account.clone(),
    }
}

fn of_account(pod: &Pod, sources: &super::Sources) -> PostureSubject {
    let accounts = sources.cluster().service_accounts();
    let account = accounts.get(&pod.namespace, &pod.service_account);
    PostureSubject {
        kind: "service-account".to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.service_account.clone(),
        uid: account.and_then(|account| account.uid.clone()),
        service_account: pod.service_account.clone(),
    }
}

#[cfg(test)]
mod tests;
