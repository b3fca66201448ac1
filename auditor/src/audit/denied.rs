//! Judges an open of a token that the kernel refused (`--watch-denied`).

use super::{
    Actor, DeniedCase, Judgement, binding_of,
    evidence::evidence,
    findings::{denied_token_open, identity_mismatch},
    ruling::{Ruling, conclude},
};
use crate::event::{FindingId, Relation};

/// In the order of the design's table.
pub(super) fn rules(case: &DeniedCase<'_>) -> [(FindingId, Ruling); 2] {
    [
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (FindingId::DeniedTokenOpen, denied_token_open(case)),
    ]
}

/// The token and its owner are as the path claims: nothing was opened that could prove it.
#[must_use]
pub fn judge_denied(case: &DeniedCase<'_>) -> Judgement {
    let knowledge = &case.knowledge;
    let relation = case.relation();
    let conclusion = conclude(
        rules(case),
        &case.actor.subject(case.process, Some(relation)),
        knowledge.policy,
        case.time,
    );
    let container = match relation {
        Relation::Own => case.actor.container_name(),
        _ => None,
    };
    let mut evidence = evidence(case.owner_pod, container, case.time, knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: Some(relation),
        findings: conclusion.findings,
        binding: case
            .owner_pod
            .and_then(|owner| binding_of(owner, case.token.kind, knowledge)),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        audit::testing::{ROLE, Scene, Who, Whose, ids},
        event::{FindingId, Relation, Severity, TokenKind, Verdict},
    };

    #[test]
    fn it_is_no_theft_and_tells_whose_token_it_would_have_been() {
        let scene = Scene::new().associate("api");
        let judgement =
            scene.judge_denied(Who::Pod("web"), Whose::Pod("api"), TokenKind::PodIdentity);
        assert_eq!(ids(&judgement.findings), [FindingId::DeniedTokenOpen]);
        assert_eq!(judgement.verdict, Verdict::Suspicious);
        assert_eq!(judgement.relation, Some(Relation::OtherPod));
        let binding = judgement.binding.unwrap();
        assert_eq!(binding.role_arn.as_deref(), Some(ROLE));
    }

    #[test]
    fn an_unattributed_process_is_told_with_its_candidates() {
        let judgement =
            Scene::new().judge_denied(Who::Conflict, Whose::Pod("api"), TokenKind::Irsa);
        assert_eq!(
            ids(&judgement.findings),
            [FindingId::IdentityMismatch, FindingId::DeniedTokenOpen]
        );
        assert_eq!(judgement.evidence.candidates, ["shop/web", "payments/api"]);
    }

    #[test]
    fn policy_exempts_and_sets_the_severity() {
        let exempt = "exempt: [{match: {namespace: shop, finding: denied-token-open}, reason: x}]";
        let strict = "severity: {denied-token-open: high}";
        for (policy, severity, verdict) in [
            (exempt, Severity::Medium, Verdict::Allowed),
            (strict, Severity::High, Verdict::Violation),
        ] {
            let judgement = Scene::new().policy(policy).judge_denied(
                Who::Pod("web"),
                Whose::Pod("api"),
                TokenKind::Irsa,
            );
            assert_eq!(judgement.findings[0].severity, severity);
            assert_eq!(judgement.verdict, verdict, "{policy}");
        }
    }
}
