//! Judges who asks for another process's memory.

use jiff::Timestamp;

use super::{
    Actor, Judgement, Knowledge,
    evidence::evidence,
    findings::{credential_memory_access, identity_mismatch},
    own_binding,
    ruling::{Ruling, conclude},
    token_kind,
};
use crate::{
    cluster::Pod,
    event::{FindingId, MemoryVia, OwnerRef, Process, Relation, TokenKind},
};

/// Whose the process is that was looked into.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    Pod(&'a Pod),
    /// Of a pod that the cluster has not told of.
    UnlistedPod {
        uid: &'a str,
    },
    /// Outside every pod.
    Host,
    /// Outside every pod, and the EKS Pod Identity Agent.
    HostAgent,
    Unknown,
}

/// A process was allowed to look into another's memory.
#[derive(Clone, Copy, Debug)]
pub struct MemoryCase<'a> {
    /// When it happened.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub target: Target<'a>,
    /// What the actor does with it.
    pub via: MemoryVia,
    pub knowledge: Knowledge<'a>,
}

impl<'a> Target<'a> {
    fn pod(&self) -> Option<&'a Pod> {
        match self {
            Self::Pod(pod) => Some(pod),
            Self::UnlistedPod { .. } | Self::Host | Self::HostAgent | Self::Unknown => None,
        }
    }

    /// As messages name it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Pod(pod) => pod.full_name(),
            Self::UnlistedPod { uid } => format!("pod {uid}"),
            Self::Host => "a host process".to_owned(),
            Self::HostAgent => "the EKS Pod Identity Agent".to_owned(),
            Self::Unknown => "an unattributed process".to_owned(),
        }
    }

    fn owner(&self) -> Option<OwnerRef> {
        match self {
            Self::Pod(pod) => Some(pod.owner_ref()),
            Self::UnlistedPod { uid } => Some(OwnerRef {
                namespace: None,
                name: None,
                uid: (*uid).into(),
                service_account: None,
            }),
            Self::Host | Self::HostAgent | Self::Unknown => None,
        }
    }
}

impl MemoryCase<'_> {
    pub(super) fn relation(&self) -> Relation {
        super::relation(&self.actor, self.target.owner().as_ref())
    }

    /// It is given every pod's token, and keeps the credentials that it got for them.
    pub(super) fn is_agent(&self) -> bool {
        match self.target {
            Target::Pod(pod) => self.knowledge.policy.is_agent(pod),
            Target::HostAgent => true,
            Target::UnlistedPod { .. } | Target::Host | Target::Unknown => false,
        }
    }

    /// Whether credentials of AWS can be found in the target's memory; null where that is not known.
    pub(super) fn is_worth_it(&self) -> Option<bool> {
        match self.target {
            Target::Pod(pod) => Some(self.is_agent() || holds_credential(pod, &self.knowledge)),
            Target::Host => Some(false),
            Target::HostAgent => Some(true),
            Target::UnlistedPod { .. } | Target::Unknown => None,
        }
    }
}

/// A container of the pod has a token that AWS gives credentials for.
fn holds_credential(pod: &Pod, knowledge: &Knowledge<'_>) -> bool {
    let account = knowledge.service_account(pod);
    pod.volumes
        .iter()
        .flat_map(|volume| volume.tokens.iter().map(move |token| (volume, token)))
        .map(|(volume, token)| {
            token_kind(pod, &volume.name, &token.path, account, knowledge.policy).kind
        })
        .any(|kind| matches!(kind, TokenKind::Irsa | TokenKind::PodIdentity))
}

/// In the order of the design's table.
pub(super) fn rules(case: &MemoryCase<'_>) -> Vec<(FindingId, Ruling)> {
    // Of what goes on elsewhere nothing is told, whoever does it.
    if case.is_worth_it() == Some(false) {
        return Vec::new();
    }
    vec![
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (
            FindingId::CredentialMemoryAccess,
            credential_memory_access(case),
        ),
    ]
}

#[must_use]
pub fn judge_memory(case: &MemoryCase<'_>) -> Judgement {
    let knowledge = &case.knowledge;
    let relation = case.relation();
    let conclusion = conclude(
        rules(case),
        &case.actor.subject(case.process, Some(relation)),
        knowledge.policy,
        case.time,
    );
    let target = case.target.pod();
    let container = match relation {
        Relation::Own => case.actor.container_name(),
        _ => None,
    };
    let mut evidence = evidence(target, container, case.time, knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: Some(relation),
        findings: conclusion.findings,
        binding: target.and_then(|pod| own_binding(pod, knowledge)),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        audit::testing::{ROLE, Scene, Who, Whose, ids, with_identity},
        event::{FindingId, Relation, Severity, Verdict},
    };

    #[test]
    fn it_tells_what_the_target_stands_for() {
        let scene = with_identity(Scene::new().associate("api"), "api");
        let judgement = scene.judge_memory(Who::Pod("web"), Whose::Pod("api"));
        assert_eq!(
            ids(&judgement.findings),
            [FindingId::CredentialMemoryAccess]
        );
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert_eq!(judgement.relation, Some(Relation::OtherPod));
        assert_eq!(judgement.binding.unwrap().role_arn.as_deref(), Some(ROLE));
        assert!(judgement.evidence.injected.pod_identity);
    }

    #[test]
    fn of_a_pod_without_credentials_nothing_is_told() {
        let scene = Scene::new();
        for who in [Who::Pod("web"), Who::Host, Who::Conflict, Who::Unknown] {
            let judgement = scene.judge_memory(who, Whose::Pod("api"));
            assert_eq!(judgement.verdict, Verdict::Allowed, "{who:?}");
            assert!(judgement.findings.is_empty(), "{who:?}");
            assert!(judgement.undetermined.is_empty(), "{who:?}");
        }
    }

    #[test]
    fn a_process_with_two_identities_is_a_finding_of_its_own() {
        let scene = with_identity(Scene::new(), "api");
        let judgement = scene.judge_memory(Who::Conflict, Whose::Pod("api"));
        assert_eq!(ids(&judgement.findings), [FindingId::IdentityMismatch]);
        assert_eq!(judgement.relation, Some(Relation::Unknown));
        assert_eq!(judgement.evidence.candidates, ["shop/web", "payments/api"]);
    }

    #[test]
    fn it_needs_no_bindings_and_policy_may_exempt_it() {
        let scene = with_identity(
            Scene::new().without_bindings().without_service_accounts(),
            "api",
        );
        let judgement = scene.judge_memory(Who::Host, Whose::Pod("api"));
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert!(judgement.undetermined.is_empty());
        let policy = "exempt: [{match: {relation: host, finding: credential-memory-access}, reason: profiler}]";
        let judgement = scene
            .policy(policy)
            .judge_memory(Who::Host, Whose::Pod("api"));
        assert_eq!(judgement.verdict, Verdict::Allowed);
        assert_eq!(judgement.findings[0].severity, Severity::High);
        assert_eq!(
            judgement.findings[0].exempted_by.as_deref(),
            Some("profiler")
        );
    }
}
