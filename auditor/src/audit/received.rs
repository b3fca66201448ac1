//! Judges the arrival of a descriptor: of a token's, or of a connection to a credential endpoint.

use jiff::Timestamp;

use super::{
    Actor, Judgement, Knowledge, binding_of,
    evidence::evidence,
    findings::{foreign_executable, foreign_token_received, identity_mismatch},
    own_binding,
    ruling::{Ruling, conclude},
};
use crate::{
    cluster::Pod,
    event::{EndpointKind, FindingId, OwnerRef, Process, Relation, TokenKind, Via},
};

/// What arrived.
#[derive(Clone, Copy, Debug)]
pub enum Received<'a> {
    Token(TokenKind),
    /// A connection to the endpoint of this name.
    Connection(&'a str, EndpointKind),
}

/// Whose it is: the token's volume, or who made the connection.
#[derive(Clone, Copy, Debug)]
pub enum ReceivedOwner<'a> {
    Pod {
        owner: &'a OwnerRef,
        /// Null where the cluster has not told of it.
        pod: Option<&'a Pod>,
    },
    /// Made outside every pod: only connections are.
    Host,
    Unknown,
}

/// A descriptor arrived in a process that did not open it.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedCase<'a> {
    /// When it happened.
    pub time: Timestamp,
    /// The receiver.
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub what: Received<'a>,
    pub owner: ReceivedOwner<'a>,
    pub via: Via,
    pub knowledge: Knowledge<'a>,
}

impl ReceivedCase<'_> {
    pub(super) fn relation(&self) -> Relation {
        let owner = match self.owner {
            ReceivedOwner::Pod { owner, .. } => Some(owner),
            ReceivedOwner::Host | ReceivedOwner::Unknown => None,
        };
        super::relation(&self.actor, owner)
    }
}

/// In the order of the design's table.
pub(super) fn rules(case: &ReceivedCase<'_>) -> [(FindingId, Ruling); 3] {
    [
        (
            FindingId::ForeignTokenReceived,
            foreign_token_received(case),
        ),
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (
            FindingId::ForeignExecutable,
            foreign_executable(&case.actor, case.process),
        ),
    ]
}

#[must_use]
pub fn judge_received(case: &ReceivedCase<'_>) -> Judgement {
    let knowledge = &case.knowledge;
    let relation = case.relation();
    let subject = case.actor.subject(case.process, Some(relation));
    let conclusion = conclude(rules(case), &subject, knowledge.policy, case.time);
    let owner_pod = match case.owner {
        ReceivedOwner::Pod { pod, .. } => pod,
        ReceivedOwner::Host | ReceivedOwner::Unknown => None,
    };
    let mut evidence = evidence(owner_pod, None, case.time, knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: Some(relation),
        findings: conclusion.findings,
        binding: owner_pod.and_then(|owner| match case.what {
            Received::Token(kind) => binding_of(owner, kind, knowledge),
            Received::Connection(..) => own_binding(owner, knowledge),
        }),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{ROLE, Scene, Who, Whose, ids},
        event::Verdict,
    };

    #[test]
    fn the_binding_is_the_owners_and_theft_waits_for_none() {
        let scene = Scene::new().associate("api");
        for what in [
            Received::Token(TokenKind::PodIdentity),
            Received::Connection("pod-identity-agent", EndpointKind::PodIdentityAgent),
        ] {
            let judgement = scene.judge_received(Who::Pod("web"), Whose::Pod("api"), what);
            assert_eq!(judgement.verdict, Verdict::Violation, "{what:?}");
            assert_eq!(judgement.relation, Some(Relation::OtherPod));
            let binding = judgement.binding.unwrap();
            assert_eq!(binding.role_arn.as_deref(), Some(ROLE));
        }
        let scene = Scene::new().without_bindings().without_service_accounts();
        let what = Received::Token(TokenKind::Unknown);
        let judgement = scene.judge_received(Who::Pod("web"), Whose::Untold("uid-x"), what);
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert!(judgement.undetermined.is_empty());
    }

    #[test]
    fn what_stays_in_the_pod_is_allowed() {
        let scene = Scene::new().without_bindings();
        let what = Received::Token(TokenKind::Irsa);
        let judgement = scene.judge_received(Who::Pod("web"), Whose::Pod("web"), what);
        assert_eq!(judgement.verdict, Verdict::Allowed);
        assert!(judgement.findings.is_empty());
    }

    #[test]
    fn neither_identity_of_a_receiver_in_conflict_is_trusted() {
        let what = Received::Token(TokenKind::Irsa);
        let judgement = Scene::new().judge_received(Who::Conflict, Whose::Pod("web"), what);
        assert_eq!(ids(&judgement.findings), [FindingId::IdentityMismatch]);
        assert_eq!(judgement.evidence.candidates, ["shop/web", "payments/api"]);
    }
}
