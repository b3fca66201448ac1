//! What is remembered of each pod: whether it opened its own token lately, and since when that would have been seen.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use crate::event::{Relation, TokenKind, TokenRef};

/// Far more pods than fit on a node.
const CAPACITY: usize = 4096;

/// What the API server sets where the spec says nothing (`serviceAccountToken.expirationSeconds`).
const DEFAULT_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// One pod's, as [`History::of`] tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PodHistory {
    opens: Option<Opens>,
    /// No open since then was missed.
    pub observed_since: Timestamp,
    watched_from_start: bool,
}

/// Opens that followed each other within the token's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opens {
    first: Timestamp,
    last: Timestamp,
    life: SignedDuration,
}

/// All pods', bounded.
#[derive(Debug)]
pub struct History {
    observed_since: Timestamp,
    pods: HashMap<Arc<str>, Opens>,
    capacity: usize,
}

impl History {
    /// `started`: when the probes became live.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        Self {
            observed_since: started,
            pods: HashMap::new(),
            capacity: CAPACITY,
        }
    }

    /// Takes note of an open, where it is a pod's of its own token for the agent. A file whose kind is not known might be that.
    pub fn note_open(&mut self, token: &TokenRef, relation: Relation, time: Timestamp) {
        let Some(owner) = &token.owner else { return };
        let is_for_agent = matches!(token.kind, TokenKind::PodIdentity | TokenKind::Unknown);
        if relation != Relation::Own || !is_for_agent {
            return;
        }
        let life = token.expiration_seconds.map_or(DEFAULT_LIFE, |seconds| {
            SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX))
        });
        match self.pods.get_mut(&owner.uid) {
            Some(opens) => opens.add(time, life),
            None => {
                self.make_room();
                let opens = Opens {
                    first: time,
                    last: time,
                    life,
                };
                self.pods.insert(owner.uid.clone(), opens);
            }
        }
    }

    /// Events up to `time` were lost, an open perhaps among them.
    pub fn note_loss(&mut self, time: Timestamp) {
        self.observed_since = self.observed_since.max(time);
    }

    /// The pod is gone for good.
    pub fn forget(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    #[must_use]
    pub fn of(&self, uid: &str, created: Option<Timestamp>) -> PodHistory {
        PodHistory {
            opens: self.pods.get(uid).copied(),
            observed_since: self.observed_since,
            watched_from_start: created.is_some_and(|created| created >= self.observed_since),
        }
    }

    fn make_room(&mut self) {
        if self.pods.len() < self.capacity {
            return;
        }
        let oldest = self.pods.iter().min_by_key(|(_, opens)| opens.last);
        if let Some((uid, last)) = oldest.map(|(uid, opens)| (uid.clone(), opens.last)) {
            self.pods.remove(&uid);
            // What is forgotten was as good as never seen.
            self.note_loss(
                last.saturating_add(SignedDuration::from_nanos(1))
                    .unwrap_or(last),
            );
        }
    }
}

impl Opens {
    fn add(&mut self, time: Timestamp, life: SignedDuration) {
        if time.duration_since(self.last) > self.life {
            self.first = time;
        }
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.life = life;
    }
}

impl PodHistory {
    /// As a line tells of it: `opened` while the token was still good, and whether an open before `observed_since` would have
    /// been seen.
    #[must_use]
    pub fn recorded(
        opened: Option<Timestamp>,
        observed_since: Timestamp,
        would_have_seen: bool,
    ) -> Self {
        Self {
            opens: opened.map(|at| Opens {
                first: at,
                last: at,
                life: SignedDuration::MAX,
            }),
            observed_since,
            watched_from_start: would_have_seen,
        }
    }

    /// A process of the pod had opened its own token, and that token was still good.
    #[must_use]
    pub fn had_token_at(&self, time: Timestamp) -> bool {
        self.opens.is_some_and(|opens| {
            opens.first <= time && time.duration_since(opens.last) <= opens.life
        })
    }

    /// The last of the pod's own opens up to `time` that is remembered.
    #[must_use]
    pub fn opened_at(&self, time: Timestamp) -> Option<Timestamp> {
        let opens = self.opens?;
        [opens.last, opens.first]
            .into_iter()
            .find(|opened| *opened <= time)
    }

    /// An open would have been seen: the pod was watched from its start, or one was seen.
    #[must_use]
    pub fn would_have_seen(&self) -> bool {
        let seen = |opens: Opens| opens.last >= self.observed_since;
        self.watched_from_start || self.opens.is_some_and(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::testing::pod;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn token(kind: TokenKind, name: &str, expiration_seconds: Option<u64>) -> TokenRef {
        TokenRef {
            kind,
            volume: None,
            file: "token".into(),
            audience: None,
            expiration_seconds,
            owner: Some(pod("shop", name).owner_ref()),
        }
    }

    #[test]
    fn a_token_is_good_for_its_life_and_not_before_it_was_opened() {
        let mut history = History::new(at(0));
        let token = token(TokenKind::PodIdentity, "web", Some(100));
        for opened in [1000, 1090, 1180, 2000, 2050] {
            history.note_open(&token, Relation::Own, at(opened));
        }
        let web = history.of("uid-web", None);
        for (time, expected) in [
            (1999, false),
            (2000, true),
            (2050, true),
            (2150, true),
            (2151, false),
        ] {
            assert_eq!(web.had_token_at(at(time)), expected, "{time}");
        }
    }

    #[test]
    fn a_gap_longer_than_the_life_breaks_the_chain_and_order_does_not_matter() {
        let mut history = History::new(at(0));
        let token = token(TokenKind::PodIdentity, "web", Some(100));
        for opened in [1000, 1170, 1160] {
            history.note_open(&token, Relation::Own, at(opened));
        }
        let web = history.of("uid-web", None);
        assert!(!web.had_token_at(at(1150)));
        assert!(web.had_token_at(at(1165)), "told late of an earlier open");
        assert!(web.had_token_at(at(1270)));
    }

    #[test]
    fn only_own_opens_of_tokens_for_the_agent_count() {
        for (kind, relation, expected) in [
            (TokenKind::PodIdentity, Relation::Own, true),
            (TokenKind::Unknown, Relation::Own, true),
            (TokenKind::Irsa, Relation::Own, false),
            (TokenKind::ServiceAccount, Relation::Own, false),
            (TokenKind::PodIdentity, Relation::OtherPod, false),
            (TokenKind::PodIdentity, Relation::Host, false),
        ] {
            let mut history = History::new(at(0));
            history.note_open(&token(kind, "web", None), relation, at(10));
            let web = history.of("uid-web", None);
            assert_eq!(
                web.had_token_at(at(10 + 3600)),
                expected,
                "{kind:?} {relation:?}"
            );
            assert!(!web.had_token_at(at(10 + 3601)), "an hour by default");
            assert!(!history.of("uid-api", None).had_token_at(at(10)));
        }
    }

    #[test]
    fn says_whether_an_open_would_have_been_seen() {
        let mut history = History::new(at(100));
        let token = token(TokenKind::PodIdentity, "web", Some(10));
        let seen = |history: &History, created| {
            let web = history.of("uid-web", Some(at(created)));
            (web.would_have_seen(), web.observed_since)
        };
        assert_eq!(seen(&history, 99), (false, at(100)));
        assert_eq!(seen(&history, 100), (true, at(100)));
        history.note_open(&token, Relation::Own, at(150));
        assert_eq!(seen(&history, 99), (true, at(100)));
        history.note_loss(at(200));
        assert_eq!(seen(&history, 99), (false, at(200)));
        assert_eq!(seen(&history, 199), (false, at(200)));
        history.note_open(&token, Relation::Own, at(201));
        assert_eq!(seen(&history, 99), (true, at(200)));
    }

    #[test]
    fn is_bounded_and_says_what_it_forgot() {
        let mut history = History::new(at(0));
        history.capacity = 2;
        for (name, second) in [("a", 10), ("b", 20), ("a", 30), ("c", 40)] {
            let token = token(TokenKind::PodIdentity, name, None);
            history.note_open(&token, Relation::Own, at(second));
        }
        assert_eq!(history.pods.len(), 2);
        let (a, b) = (history.of("uid-a", None), history.of("uid-b", Some(at(15))));
        assert!(a.had_token_at(at(50)));
        assert!(!b.had_token_at(at(50)));
        assert!(!b.would_have_seen(), "its open was seen and forgotten");
        history.forget("uid-a");
        assert!(!history.of("uid-a", None).had_token_at(at(50)));
    }
}
