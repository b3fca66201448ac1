//! What each ServiceAccount's pods run: learned of what is judged, and judged by what was learned.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Pipeline, actor::Who};
use crate::{
    audit::{
        ACCOUNTS, Baselines, CredentialUse, EXECUTABLES, Familiarity, Judgement, Learned, Limit,
        teaches,
    },
    event::{Health, Process},
    policy::Policy,
    status::Learning,
};

/// Named one by one at the start.
const NAMED: usize = 20;

impl Pipeline {
    /// What the next run should know of what is run.
    pub fn learned(&self) -> impl Iterator<Item = &Learned> {
        self.baselines.iter()
    }

    /// Another number: [`Self::learned`] gives something new.
    pub fn learned_revision(&self) -> u64 {
        self.baselines.revision()
    }

    /// What is to be told at the start, so that a restart makes nobody forget it: see [`full_accounts`].
    pub fn full_accounts(&self) -> Vec<Health> {
        full_accounts(&self.baselines, self.sources.policy())
    }

    pub fn learning_status(&self) -> Learning {
        let policy = self.sources.policy();
        let full = unlisted_full(&self.baselines, policy);
        Learning {
            service_accounts: match policy.learn {
                Some(_) => self.baselines.count() as u64,
                None => 0,
            },
            full: full.map(named).collect(),
        }
    }

    pub(super) fn familiarity(
        &self,
        who: &Who,
        process: &Process,
        used: CredentialUse,
        time: Timestamp,
    ) -> Familiarity {
        let learn_for = self.sources.policy().learn_for();
        who.pod().map_or(Familiarity::Unjudged, |pod| {
            let baselines = &self.baselines;
            baselines.familiarity(pod, process, used, time, learn_for)
        })
    }

    /// A pod used its own credentials.
    pub(super) fn learn(
        &mut self,
        who: &Who,
        process: &Process,
        used: CredentialUse,
        time: Timestamp,
        judgement: &Judgement,
    ) {
        let (Some(pod), Some(learn_for)) = (who.pod(), self.sources.policy().learn_for()) else {
            return;
        };
        if !teaches(&judgement.findings, &judgement.undetermined) {
            return;
        }
        match self.baselines.note(pod, process, used, time, learn_for) {
            None => {}
            Some(Limit::Programs) => {
                self.health(full(&format!("{}/{}", pod.namespace, pod.service_account)));
            }
            Some(Limit::Accounts { namespace }) => self.health(forgotten(&namespace)),
        }
    }
}

/// Those that run more programs than are learned, where that decides: policy's lists go before it.
fn unlisted_full<'a>(
    baselines: &'a Baselines,
    policy: &'a Policy,
) -> impl Iterator<Item = &'a Learned> {
    let is_so = move |learned: &&Learned| {
        learned.full
            && policy.learn.is_some()
            && !policy.lists_executables(&learned.namespace, &learned.service_account)
    };
    baselines.iter().filter(is_so)
}

/// A line for each, and one for how many more there are.
fn full_accounts(baselines: &Baselines, policy: &Policy) -> Vec<Health> {
    let accounts: Vec<String> = unlisted_full(baselines, policy).map(named).collect();
    let mut told: Vec<Health> = accounts
        .iter()
        .take(NAMED)
        .map(|account| full(account))
        .collect();
    let more = accounts.len().saturating_sub(NAMED);
    if more > 0 {
        told.push(degraded(format!(
            "{more} more ServiceAccounts used their credentials with more programs than are learned; `auditor status` names them"
        )));
    }
    told
}

fn named(learned: &Learned) -> String {
    format!("{}/{}", learned.namespace, learned.service_account)
}

fn full(account: &str) -> Health {
    degraded(format!(
        "ServiceAccount {account} uses its credentials with more than {EXECUTABLES} programs: no more are learned, and others \
         are unexpected-executable; list what it runs in the policy's `executables`"
    ))
}

fn forgotten(namespace: &Arc<str>) -> Health {
    degraded(format!(
        "the credentials of more than {ACCOUNTS} ServiceAccounts were used on this node; what was learned of those of namespace \
         {namespace}, which has the most, is forgotten, the longest unused first, and learned anew"
    ))
}

fn degraded(message: String) -> Health {
    Health {
        component: "policy".to_owned(),
        state: "degraded".to_owned(),
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(n: usize, full: bool) -> Learned {
        Learned {
            namespace: "shop".into(),
            service_account: format!("sa-{n:03}").into(),
            since: Timestamp::UNIX_EPOCH,
            seen: Timestamp::UNIX_EPOCH,
            full,
            executables: Vec::new(),
        }
    }

    fn policy(more: &str) -> Policy {
        Policy::parse(format!("version: 1\n{more}").as_bytes()).unwrap()
    }

    #[test]
    fn a_restart_repeats_who_runs_more_than_is_learned() {
        let kept = vec![learned(1, true), learned(2, false), learned(3, true)];
        let baselines = Baselines::new(kept, Timestamp::UNIX_EPOCH);
        for (more, expected) in [
            ("learn: {for: 7d}", vec!["shop/sa-001", "shop/sa-003"]),
            (
                "learn: {for: 7d}\nexecutables: [{namespace: shop, service_account: '*1', allow: [/app]}]",
                vec!["shop/sa-003"],
            ),
            ("", vec![]),
        ] {
            let told = full_accounts(&baselines, &policy(more));
            assert_eq!(told.len(), expected.len(), "{more}\n{told:?}");
            for (health, account) in told.iter().zip(expected) {
                assert_eq!((&*health.component, &*health.state), ("policy", "degraded"));
                assert!(health.message.contains(account), "{}", health.message);
            }
        }
    }

    #[test]
    fn many_are_told_by_their_number() {
        let kept = (0..NAMED + 5).map(|n| learned(n, true)).collect();
        let baselines = Baselines::new(kept, Timestamp::UNIX_EPOCH);
        let told = full_accounts(&baselines, &policy("learn: {for: 7d}"));
        assert_eq!(told.len(), NAMED + 1);
        assert!(told[NAMED].message.starts_with("5 more"), "{told:?}");
    }
}
