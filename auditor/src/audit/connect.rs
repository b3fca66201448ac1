//! Judges connections to credential endpoints.

use super::{
    Actor, CloseCase, ConnectCase, Judgement, Knowledge, binding_of,
    evidence::evidence,
    findings::{
        agent_connect_without_token, agent_unreachable, foreign_executable, identity_mismatch,
        learned_since, node_role_fallback, node_role_fallback_at_close, unassociated_agent_connect,
        unexpected_executable_at_connect,
    },
    own_binding,
    ruling::{Conclusion, Ruling, conclude},
};
use crate::event::{EndpointKind, FindingId, TokenKind, Verdict};

#[must_use]
pub fn judge_connect(case: &ConnectCase<'_>) -> Judgement {
    let conclusion = conclude(
        rules(case),
        &case.actor.subject(case.process, None),
        case.knowledge.policy,
        case.time,
    );
    let mut judgement = judgement(
        conclusion,
        &case.actor,
        case.endpoint,
        case.time,
        &case.knowledge,
    );
    // Why the finding is only info: an open before that moment would not have been seen.
    let without_token = |id| id == FindingId::AgentConnectWithoutToken;
    if judgement.findings.iter().any(|f| without_token(f.id)) {
        judgement.evidence.observed_since = case
            .history
            .filter(|history| !history.would_have_seen())
            .map(|history| history.observed_since.to_string());
    }
    let unexpected = |id| id == FindingId::UnexpectedExecutable;
    if judgement.findings.iter().any(|f| unexpected(f.id)) {
        judgement.evidence.learned_since = learned_since(case.familiarity);
    }
    if case.endpoint == EndpointKind::PodIdentityAgent {
        judgement.evidence.token_opened_at = case
            .history
            .and_then(|history| history.opened_at(case.time))
            .map(|opened| format!("{opened:.9}"));
    }
    judgement
}

/// In the order of the design's table.
pub(super) fn rules(case: &ConnectCase<'_>) -> [(FindingId, Ruling); 7] {
    [
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (
            FindingId::UnassociatedAgentConnect,
            unassociated_agent_connect(case),
        ),
        (
            FindingId::ForeignExecutable,
            foreign_executable(&case.actor, case.process),
        ),
        (
            FindingId::UnexpectedExecutable,
            unexpected_executable_at_connect(case),
        ),
        (
            FindingId::AgentConnectWithoutToken,
            agent_connect_without_token(case),
        ),
        (FindingId::NodeRoleFallback, node_role_fallback(case)),
        (FindingId::AgentUnreachable, agent_unreachable(case)),
    ]
}

pub(super) fn close_rules(case: &CloseCase<'_>) -> [(FindingId, Ruling); 1] {
    [(
        FindingId::NodeRoleFallback,
        node_role_fallback_at_close(case),
    )]
}

/// Only what the bytes tell: the rest was judged at the connect.
#[must_use]
pub fn judge_close(case: &CloseCase<'_>) -> Judgement {
    let conclusion = conclude(
        close_rules(case),
        &case.actor.subject(case.process, None),
        case.knowledge.policy,
        case.time,
    );
    judgement(
        conclusion,
        &case.actor,
        case.endpoint,
        case.time,
        &case.knowledge,
    )
}

/// Of a connection whose end nobody will see: how much it took is not known. Allowed where no number of bytes would accuse anybody.
#[must_use]
pub fn judge_unseen_close(case: &CloseCase<'_>) -> Judgement {
    let mut judgement = judge_close(&CloseCase {
        bytes_received: u64::MAX,
        ..*case
    });
    if judgement.verdict != Verdict::Allowed {
        judgement.findings.clear();
        judgement.verdict = Verdict::Undetermined;
        judgement.lack("outcome");
    }
    judgement
}

fn judgement(
    conclusion: Conclusion,
    actor: &Actor<'_>,
    endpoint: EndpointKind,
    time: jiff::Timestamp,
    knowledge: &Knowledge<'_>,
) -> Judgement {
    let pod = actor.pod();
    let mut evidence = evidence(pod, actor.container_name(), time, knowledge);
    if let Actor::Conflict { candidates } = actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: None,
        findings: conclusion.findings,
        binding: pod.and_then(|pod| match endpoint {
            EndpointKind::PodIdentityAgent => binding_of(pod, TokenKind::PodIdentity, knowledge),
            EndpointKind::Imds | EndpointKind::Custom => own_binding(pod, knowledge),
        }),
        evidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            History,
            testing::{ROLE, Scene, Who, ids, seconds_later},
        },
        event::{BindingKind, Outcome, Relation, Severity, TokenRef, Verdict},
    };

    const AGENT: EndpointKind = EndpointKind::PodIdentityAgent;
    const IMDS: EndpointKind = EndpointKind::Imds;

    #[test]
    fn an_unassociated_pod_at_the_agent() {
        let history = History::new(seconds_later(-10)).of("uid-web", None);
        let scene = Scene::new().edit(|s| s.history = Some(history));
        let judgement = scene.judge_connect(Who::Pod("web"), AGENT, Outcome::Established);
        assert_eq!(
            ids(&judgement.findings),
            [
                FindingId::UnassociatedAgentConnect,
                FindingId::AgentConnectWithoutToken
            ]
        );
        assert_eq!(judgement.findings[1].severity, Severity::Info);
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert_eq!(judgement.relation, None);
        assert_eq!(judgement.binding, None);
        assert_eq!(
            judgement.findings[0].message,
            "shop/web reached the Pod Identity agent, but its ServiceAccount shop/web has no association"
        );

        let blind = scene.without_bindings();
        let judgement = blind.judge_connect(Who::Pod("web"), AGENT, Outcome::Established);
        assert_eq!(judgement.verdict, Verdict::Undetermined);
        assert_eq!(judgement.undetermined, ["associations"]);
        let judgement = blind.judge_connect(Who::Pod("web"), AGENT, Outcome::Refused);
        assert_eq!(ids(&judgement.findings), [FindingId::AgentUnreachable]);
        assert_eq!(judgement.verdict, Verdict::Suspicious, "no binding needed");
    }

    #[test]
    fn a_connect_to_the_agent_tells_when_the_token_was_opened() {
        let mut history = History::new(seconds_later(-1000));
        let scene = Scene::new().associate("web");
        let token = TokenRef {
            kind: TokenKind::PodIdentity,
            volume: None,
            file: "token".into(),
            audience: None,
            expiration_seconds: None,
            owner: Some(scene.owner("web")),
        };
        for seconds in [-20, -10, 3] {
            history.note_open(&token, Relation::Own, seconds_later(seconds));
        }
        let told = |scene: &Scene, endpoint| {
            let judgement = scene.judge_connect(Who::Pod("web"), endpoint, Outcome::Established);
            judgement.evidence.token_opened_at
        };
        let uid = &scene.pod("web").uid;
        let after = scene
            .clone()
            .edit(|s| s.history = Some(history.of(uid, None)));
        // The last is later than the connect, and the one before that is not kept.
        assert_eq!(
            told(&after, AGENT).as_deref(),
            Some("2026-11-22T11:59:40.000000000Z")
        );
        assert_eq!(told(&after, IMDS), None);
        let never = scene.edit(|s| s.history = Some(history.of("uid-api", None)));
        assert_eq!(told(&never, AGENT), None);
    }

    #[test]
    fn the_binding_is_the_one_that_the_endpoint_serves() {
        let scene = Scene::new().annotate("web", ROLE);
        let at = |endpoint| {
            let judgement = scene.judge_connect(Who::Pod("web"), endpoint, Outcome::Established);
            judgement.binding.map(|b| b.kind)
        };
        assert_eq!(at(AGENT), None);
        assert_eq!(at(IMDS), Some(BindingKind::Irsa));
        let scene = Scene::new().annotate("web", ROLE).associate("web");
        let judgement = scene.judge_connect(Who::Pod("web"), IMDS, Outcome::Established);
        assert_eq!(
            judgement.binding.map(|b| b.kind),
            Some(BindingKind::PodIdentity)
        );
    }

    #[test]
    fn a_fallback_is_told_at_the_connect_and_counts_at_the_close() {
        let scene = Scene::new().associate("web");
        let connect = scene.judge_connect(Who::Pod("web"), IMDS, Outcome::Established);
        assert_eq!(ids(&connect.findings), [FindingId::NodeRoleFallback]);
        assert_eq!(connect.verdict, Verdict::Allowed);
        let close = scene.judge_close(Who::Pod("web"), IMDS, 2000);
        assert_eq!(ids(&close.findings), [FindingId::NodeRoleFallback]);
        assert_eq!(close.verdict, Verdict::Suspicious);
        let close = scene.judge_close(Who::Pod("web"), IMDS, 100);
        assert!(close.findings.is_empty());
        assert_eq!(close.verdict, Verdict::Allowed);

        let strict = scene.policy("severity: {node-role-fallback: high}");
        let connect = strict.judge_connect(Who::Pod("web"), IMDS, Outcome::Established);
        assert_eq!(connect.verdict, Verdict::Violation);
    }

    #[test]
    fn a_process_of_the_host_is_no_finding() {
        for endpoint in [AGENT, IMDS, EndpointKind::Custom] {
            let judgement = Scene::new().judge_connect(Who::Host, endpoint, Outcome::Established);
            assert_eq!(judgement.verdict, Verdict::Allowed, "{endpoint:?}");
            assert!(judgement.findings.is_empty(), "{endpoint:?}");
        }
    }
    #[test]
    fn an_end_that_nobody_will_see_clears_only_who_could_not_be_accused() {
        let unseen = |scene: &Scene, endpoint| {
            let judgement = judge_unseen_close(&scene.close_case(Who::Pod("web"), endpoint, 0));
            assert!(judgement.findings.is_empty());
            (judgement.verdict, judgement.undetermined)
        };
        let undetermined = (Verdict::Undetermined, vec!["outcome".to_owned()]);
        let allowed = (Verdict::Allowed, vec![]);
        let scene = Scene::new().associate("web");
        assert_eq!(unseen(&scene, IMDS), undetermined);
        assert_eq!(unseen(&scene, AGENT), allowed);
        let named = "node_role: [{namespace: shop, service_account: web, reason: x}]";
        assert_eq!(unseen(&scene.policy(named), IMDS), allowed);
        let blind = Scene::new().without_bindings();
        let lacking = ["associations", "outcome"].map(str::to_owned).to_vec();
        let expected = (Verdict::Undetermined, lacking);
        assert_eq!(unseen(&blind, IMDS), expected);
    }
}
