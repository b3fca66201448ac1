//! Judges the opening of a token.

use super::{
    Actor, Judgement, OpenCase, binding_of,
    evidence::evidence,
    findings::{
        exec_session_token_open, foreign_executable, foreign_token_open, host_token_open,
        identity_mismatch, learned_since, owner_name, role_drift, token_harvest, token_write,
        unbound_token_open, unexpected_executable_at_open, victims,
    },
    harvest::is_counted_theft,
    ruling::{Ruling, conclude},
};
use crate::{
    event::{FindingId, Relation},
    policy::Subject,
};

/// So many of the harvested pods a line names, the newest.
const NAMED_VICTIMS: usize = 16;

#[must_use]
pub fn judge_open(case: &OpenCase<'_>) -> Judgement {
    let knowledge = &case.knowledge;
    let relation = case.relation();
    let conclusion = conclude(rules(case), &subject(case), knowledge.policy, case.time);
    let raised = |id| conclusion.findings.iter().any(|finding| finding.id == id);
    let (is_harvest, is_unexpected) = (
        raised(FindingId::TokenHarvest),
        raised(FindingId::UnexpectedExecutable),
    );
    let container = match relation {
        Relation::Own => case.actor.container_name(),
        _ => None,
    };
    let mut evidence = evidence(case.owner_pod, container, case.time, knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    if is_harvest {
        let taken = victims(case);
        let newest = taken.iter().rev().take(NAMED_VICTIMS).rev();
        evidence.taken = newest.map(|owner| owner_name(owner)).collect();
    }
    if is_unexpected {
        evidence.learned_since = learned_since(case.familiarity);
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

/// In the order of the design's table.
pub(super) fn rules(case: &OpenCase<'_>) -> [(FindingId, Ruling); 10] {
    let harvest = if is_theft(case, &subject(case)) {
        token_harvest(case)
    } else {
        Ruling::Clear
    };
    [
        (FindingId::ForeignTokenOpen, foreign_token_open(case)),
        (FindingId::TokenHarvest, harvest),
        (FindingId::HostTokenOpen, host_token_open(case)),
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (FindingId::UnboundTokenOpen, unbound_token_open(case)),
        (FindingId::RoleDrift, role_drift(case)),
        (FindingId::TokenWrite, token_write(case)),
        (
            FindingId::ExecSessionTokenOpen,
            exec_session_token_open(case),
        ),
        (
            FindingId::ForeignExecutable,
            foreign_executable(&case.actor, case.process),
        ),
        (
            FindingId::UnexpectedExecutable,
            unexpected_executable_at_open(case),
        ),
    ]
}

/// As exemptions match it.
pub(super) fn subject<'a>(case: &OpenCase<'a>) -> Subject<'a> {
    case.actor.subject(case.process, Some(case.relation()))
}

/// The open is a theft, and policy lets it count: what a scanner may do is no harvest either.
fn is_theft(case: &OpenCase<'_>, subject: &Subject<'_>) -> bool {
    let thefts = conclude(
        [
            (FindingId::ForeignTokenOpen, foreign_token_open(case)),
            (FindingId::HostTokenOpen, host_token_open(case)),
            (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        ],
        subject,
        case.knowledge.policy,
        case.time,
    );
    is_counted_theft(&thefts.findings, case.relation())
}

#[cfg(test)]
mod tests {
    use crate::{
        audit::testing::{ROLE, Scene, Who, Whose, ids},
        event::{FindingId, Relation, Severity, TokenKind, Verdict},
    };

    #[test]
    fn an_open_of_ones_own_bound_token_is_allowed() {
        let irsa = Scene::new().annotate("web", ROLE).env_role("web", ROLE);
        let identity = Scene::new().associate("web");
        for (scene, kind) in [
            (&irsa, TokenKind::Irsa),
            (&identity, TokenKind::PodIdentity),
            (&identity, TokenKind::ServiceAccount),
            (&identity, TokenKind::Other),
        ] {
            let judgement = scene.judge_open(Who::Pod("web"), Whose::Pod("web"), kind);
            assert_eq!(judgement.verdict, Verdict::Allowed, "{kind:?}");
            assert_eq!(judgement.relation, Some(Relation::Own));
            assert!(judgement.findings.is_empty());
            assert!(judgement.undetermined.is_empty());
        }
    }

    #[test]
    fn theft_needs_no_bindings_and_waits_for_none() {
        let scene = Scene::new().without_bindings().without_service_accounts();
        for kind in [TokenKind::Irsa, TokenKind::PodIdentity, TokenKind::Unknown] {
            let judgement = scene.judge_open(Who::Pod("web"), Whose::Pod("api"), kind);
            assert_eq!(judgement.verdict, Verdict::Violation, "{kind:?}");
            assert!(judgement.undetermined.is_empty(), "{kind:?}");
        }
        let own = scene.judge_open(Who::Pod("web"), Whose::Pod("web"), TokenKind::PodIdentity);
        assert_eq!(own.verdict, Verdict::Undetermined);
        assert_eq!(own.undetermined, ["associations"]);
    }

    #[test]
    fn every_rule_speaks_and_in_the_tables_order() {
        let scene = Scene::new().edit(|s| {
            s.for_write = true;
            s.process.exec_session = Some(true);
        });
        let judgement = scene.judge_open(Who::Pod("web"), Whose::Pod("api"), TokenKind::Irsa);
        assert_eq!(
            ids(&judgement.findings),
            [
                FindingId::ForeignTokenOpen,
                FindingId::TokenWrite,
                FindingId::ExecSessionTokenOpen
            ]
        );
        let judgement = scene.judge_open(Who::Pod("web"), Whose::Pod("web"), TokenKind::Irsa);
        assert_eq!(
            ids(&judgement.findings),
            [
                FindingId::UnboundTokenOpen,
                FindingId::TokenWrite,
                FindingId::ExecSessionTokenOpen
            ]
        );
    }

    #[test]
    fn binding_and_evidence_are_the_owners() {
        let scene = Scene::new()
            .associate("api")
            .annotate("api", ROLE)
            .env_role("api", "arn:old")
            .env_role("web", "arn:web");
        let judgement =
            scene.judge_open(Who::Pod("web"), Whose::Pod("api"), TokenKind::PodIdentity);
        let binding = judgement.binding.unwrap();
        assert_eq!(binding.association_id.as_deref(), Some("a-api"));
        assert_eq!(
            binding.session_name_prefix.as_deref(),
            Some("eks-prod-api-")
        );
        let evidence = judgement.evidence;
        assert_eq!(evidence.injected.irsa_role.as_deref(), Some("arn:old"));
        assert_eq!(evidence.sa_role_arn.as_deref(), Some(ROLE));
        assert_eq!(evidence.pod_age_ms, Some(86_000));
        assert_eq!(evidence.bindings_age_ms, Some(1_000));
        assert_eq!(evidence.policy_hash, None);
    }

    #[test]
    fn an_own_open_shows_what_its_container_was_given() {
        let scene = Scene::new().edit_pod("web", |pod| {
            let mut sidecar = pod.containers[0].clone();
            sidecar.name = "sidecar".into();
            sidecar.env.role_arn = Some(ROLE.into());
            pod.containers.push(sidecar);
        });
        let injected = |who| {
            let judgement = scene.judge_open(who, Whose::Pod("web"), TokenKind::Irsa);
            judgement.evidence.injected.irsa_role
        };
        assert_eq!(injected(Who::Pod("web")), None);
        assert_eq!(injected(Who::Pod("api")).as_deref(), Some(ROLE));
    }

    #[test]
    fn policy_exempts_by_who_acts_and_sets_severities() {
        let backup = "exempt: [{match: {relation: host, executable: /usr/bin/c*}, reason: backup}]";
        let scanner = "exempt: [{match: {namespace: shop, image: 'registry/*', finding: foreign-token-open}, reason: scan}]";
        let victim = "exempt: [{match: {namespace: payments}, reason: x}]";
        let mild = "severity: {foreign-token-open: medium}";
        for (policy, who, severity, exempted, verdict) in [
            (
                backup,
                Who::Host,
                Severity::Critical,
                Some("backup"),
                Verdict::Allowed,
            ),
            (
                backup,
                Who::Pod("web"),
                Severity::Critical,
                None,
                Verdict::Violation,
            ),
            (
                scanner,
                Who::Pod("web"),
                Severity::Critical,
                Some("scan"),
                Verdict::Allowed,
            ),
            (
                scanner,
                Who::Host,
                Severity::Critical,
                None,
                Verdict::Violation,
            ),
            (
                victim,
                Who::Pod("web"),
                Severity::Critical,
                None,
                Verdict::Violation,
            ),
            (
                mild,
                Who::Pod("web"),
                Severity::Medium,
                None,
                Verdict::Suspicious,
            ),
        ] {
            let scene = Scene::new().policy(policy);
            let judgement = scene.judge_open(who, Whose::Pod("api"), TokenKind::ServiceAccount);
            let finding = &judgement.findings[0];
            assert_eq!(finding.severity, severity, "{policy} {who:?}");
            assert_eq!(finding.exempted_by.as_deref(), exempted, "{policy} {who:?}");
            assert_eq!(judgement.verdict, verdict, "{policy} {who:?}");
            assert!(judgement.evidence.policy_hash.is_some());
        }
    }
}
