//! When each binding of this node's pods was last used, and how long it was watched since.

use std::{collections::HashMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::event::{Binding, BindingKind};

/// Far more than a node has. One more, and the one that was not seen for the longest time is forgotten.
const CAPACITY: usize = 4096;

/// A ServiceAccount has at most one binding of each kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct UseKey {
    pub namespace: Arc<str>,
    pub service_account: Arc<str>,
    pub kind: BindingKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    #[serde(flatten)]
    pub key: UseKey,
    /// Id of the association, or the role's ARN: another one is another binding.
    pub binding: Arc<str>,
    /// Null: never, as far as seen.
    pub last_used: Option<Timestamp>,
    /// How long a pod that has it ran under the auditor's eyes since its last use.
    pub watched: SignedDuration,
    /// When such a pod was last there.
    pub seen: Timestamp,
}

/// Every binding's, bounded. Lives on in the state directory.
#[derive(Debug, Default)]
pub struct Uses {
    uses: HashMap<UseKey, Use>,
}

impl Uses {
    /// As an earlier run left them.
    #[must_use]
    pub fn new(kept: Vec<Use>) -> Self {
        let mut uses = Self::default();
        for kept in kept {
            if !uses.uses.contains_key(&kept.key) {
                uses.make_room();
            }
            uses.uses.insert(kept.key.clone(), kept);
        }
        uses
    }

    /// To be kept for the next run.
    pub fn iter(&self) -> impl Iterator<Item = &Use> {
        self.uses.values()
    }

    /// A pod opened its own token of this binding's kind.
    pub fn note(&mut self, key: UseKey, binding: &Binding, time: Timestamp) {
        let usage = self.entry(key, binding, time);
        usage.last_used = usage.last_used.max(Some(time));
        usage.watched = SignedDuration::ZERO;
    }

    /// A pod with this binding ran during the last `elapsed`.
    pub fn watch(
        &mut self,
        key: UseKey,
        binding: &Binding,
        elapsed: SignedDuration,
        now: Timestamp,
    ) -> &Use {
        let usage = self.entry(key, binding, now);
        usage.watched = usage.watched.saturating_add(elapsed);
        usage.seen = now;
        usage
    }

    fn entry(&mut self, key: UseKey, binding: &Binding, now: Timestamp) -> &mut Use {
        let id = id(binding);
        if self
            .uses
            .get(&key)
            .is_none_or(|known| *known.binding != *id)
        {
            self.uses.remove(&key);
            self.make_room();
        }
        self.uses.entry(key.clone()).or_insert_with(|| Use {
            key,
            binding: id.into(),
            last_used: None,
            watched: SignedDuration::ZERO,
            seen: now,
        })
    }

    fn make_room(&mut self) {
        while self.uses.len() >= CAPACITY {
            let oldest = self.uses.values().min_by_key(|usage| usage.seen);
            let Some(oldest) = oldest.map(|usage| usage.key.clone()) else {
                return;
            };
            self.uses.remove(&oldest);
        }
    }
}

fn id(binding: &Binding) -> &str {
    let role = binding.role_arn.as_deref();
    binding
        .association_id
        .as_deref()
        .or(role)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{event_time, seconds_later};

    const HOUR: SignedDuration = SignedDuration::from_hours(1);

    fn key(name: &str) -> UseKey {
        UseKey {
            namespace: "shop".into(),
            service_account: name.into(),
            kind: BindingKind::Irsa,
        }
    }

    fn role(arn: &str) -> Binding {
        Binding {
            source: "serviceaccount".into(),
            generation: None,
            hash: None,
            kind: BindingKind::Irsa,
            association_id: None,
            association_arn: None,
            role_arn: Some(arn.into()),
            target_role_arn: None,
            external_id: None,
            session_tags: None,
            session_name_prefix: None,
        }
    }

    #[test]
    fn only_time_under_watch_adds_up_and_a_use_ends_it() {
        let mut uses = Uses::default();
        uses.watch(key("web"), &role("a"), HOUR, event_time());
        let usage = uses.watch(key("web"), &role("a"), HOUR, seconds_later(86_400));
        assert_eq!((usage.watched, usage.last_used), (HOUR + HOUR, None));
        uses.note(key("web"), &role("a"), seconds_later(90_000));
        let usage = uses.watch(key("web"), &role("a"), HOUR, seconds_later(93_600));
        assert_eq!(usage.watched, HOUR);
        assert_eq!(usage.last_used, Some(seconds_later(90_000)));
        // One that was held back.
        uses.note(key("web"), &role("a"), event_time());
        let last = uses.iter().next().and_then(|usage| usage.last_used);
        assert_eq!(last, Some(seconds_later(90_000)));
    }

    #[test]
    fn another_role_is_another_binding() {
        let mut uses = Uses::default();
        uses.note(key("web"), &role("a"), event_time());
        uses.watch(key("web"), &role("a"), HOUR, event_time());
        let usage = uses.watch(key("web"), &role("b"), HOUR, event_time());
        assert_eq!((usage.watched, usage.last_used), (HOUR, None));
        assert_eq!(uses.iter().count(), 1);
    }

    #[test]
    fn it_goes_on_where_an_earlier_run_left_off() {
        let mut uses = Uses::default();
        uses.watch(key("web"), &role("a"), HOUR, event_time());
        let kept: Vec<Use> = uses.iter().cloned().collect();
        let text = serde_json::to_string(&kept).unwrap();
        let mut uses = Uses::new(serde_json::from_str(&text).unwrap());
        let usage = uses.watch(key("web"), &role("a"), HOUR, event_time());
        assert_eq!(usage.watched, HOUR + HOUR);
    }

    #[test]
    fn it_is_bounded() {
        let mut uses = Uses::default();
        for second in 0..2 * CAPACITY {
            let now = seconds_later(i64::try_from(second).unwrap());
            uses.watch(key(&second.to_string()), &role("a"), HOUR, now);
        }
        assert_eq!(uses.iter().count(), CAPACITY);
        let oldest = uses.iter().map(|usage| usage.seen).min();
        let kept = i64::try_from(CAPACITY).unwrap();
        assert_eq!(oldest, Some(seconds_later(kept)));
        let kept: Vec<Use> = uses.iter().cloned().chain(uses.iter().cloned()).collect();
        assert_eq!(Uses::new(kept).iter().count(), CAPACITY);
    }
}
