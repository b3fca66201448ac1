//! Judges states: pods and bindings as they are, not what somebody does.

use jiff::SignedDuration;

use super::{
    Knowledge, Use, UseKey, Uses, binding_of,
    evidence::evidence,
    findings::{identity_not_injected, unused_credential},
    own_binding,
    ruling::{Ruling, conclude},
};
use crate::{
    cluster::Pod,
    event::{Binding, BindingKind, Evidence, Finding, FindingId, TokenKind},
    policy::Subject,
};

/// A state that a finding is about.
#[derive(Clone, Debug, PartialEq)]
pub struct StateFound {
    pub finding: Finding,
    pub binding: Option<Binding>,
    pub evidence: Evidence,
}

/// Whether a running pod lacks what its binding should have brought it.
#[must_use]
pub fn judge_pod(pod: &Pod, knowledge: &Knowledge<'_>) -> Option<StateFound> {
    let ruling = identity_not_injected(pod, knowledge);
    let finding = conclude_one(FindingId::IdentityNotInjected, ruling, pod, knowledge)?;
    Some(StateFound {
        finding,
        binding: own_binding(pod, knowledge),
        evidence: evidence(Some(pod), None, knowledge.now, knowledge),
    })
}

/// Takes note that the pod's bindings were watched for `elapsed`, and tells of those that nobody used for too long.
///
/// Call it for one pod of each ServiceAccount: it is the ServiceAccount that is judged.
pub fn judge_bindings(
    pod: &Pod,
    elapsed: SignedDuration,
    uses: &mut Uses,
    knowledge: &Knowledge<'_>,
) -> Vec<(UseKey, StateFound)> {
    let kinds = [TokenKind::PodIdentity, TokenKind::Irsa];
    let bindings = kinds.map(|kind| binding_of(pod, kind, knowledge));
    let mut found = Vec::new();
    for binding in bindings.into_iter().flatten() {
        // What only the spec says is that pod's own affair, and gone with it.
        if binding.source == "pod-spec" {
            continue;
        }
        let usage = uses.watch(use_key(pod, binding.kind), &binding, elapsed, knowledge.now);
        if let Some(state) = judge_use(usage, pod, binding, knowledge) {
            found.push((usage.key.clone(), state));
        }
    }
    found
}

/// The ServiceAccount's binding of this kind.
#[must_use]
pub fn use_key(pod: &Pod, kind: BindingKind) -> UseKey {
    UseKey {
        namespace: pod.namespace.clone(),
        service_account: pod.service_account.clone(),
        kind,
    }
}

fn judge_use(
    usage: &Use,
    pod: &Pod,
    binding: Binding,
    knowledge: &Knowledge<'_>,
) -> Option<StateFound> {
    let ruling = unused_credential(usage, knowledge.policy.unused_after);
    let finding = conclude_one(FindingId::UnusedCredential, ruling, pod, knowledge)?;
    // Of the ServiceAccount: what one of its pods was given says nothing of the others.
    let mut evidence = evidence(None, None, knowledge.now, knowledge);
    let account = knowledge.service_account(pod);
    evidence.sa_role_arn = account
        .and_then(|account| account.role_arn.as_deref())
        .map(str::to_owned);
    Some(StateFound {
        finding,
        binding: Some(binding),
        evidence,
    })
}

fn conclude_one(
    id: FindingId,
    ruling: Ruling,
    pod: &Pod,
    knowledge: &Knowledge<'_>,
) -> Option<Finding> {
    let subject = Subject {
        namespace: Some(&pod.namespace),
        service_account: Some(&pod.service_account),
        ..Subject::default()
    };
    let conclusion = conclude([(id, ruling)], &subject, knowledge.policy, knowledge.now);
    conclusion.findings.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{ROLE, Scene, seconds_later},
        event::Severity,
    };

    const SECOND: SignedDuration = SignedDuration::from_secs(1);

    #[test]
    fn a_pod_without_what_its_association_should_bring() {
        let scene = Scene::new().associate("web").env_role("web", ROLE);
        let state = judge_pod(scene.pod("web"), &scene.knowledge()).unwrap();
        assert_eq!(state.finding.id, FindingId::IdentityNotInjected);
        assert_eq!(state.finding.severity, Severity::Medium);
        let binding = state.binding.unwrap();
        assert_eq!(binding.association_id.as_deref(), Some("a-web"));
        assert_eq!(state.evidence.injected.irsa_role.as_deref(), Some(ROLE));
        assert!(!state.evidence.injected.pod_identity);
        assert_eq!(judge_pod(scene.pod("api"), &scene.knowledge()), None);
    }

    #[test]
    fn a_binding_that_nobody_uses() {
        let scene = Scene::new()
            .associate("web")
            .annotate("web", ROLE)
            .policy("unused_after: 2s");
        let mut uses = Uses::default();
        let mut look = |scene: &Scene| {
            let pod = scene.pod("web");
            let found = judge_bindings(pod, SECOND, &mut uses, &scene.knowledge());
            let kinds = found.into_iter().map(|(key, state)| {
                assert_eq!(state.finding.id, FindingId::UnusedCredential);
                assert_eq!(state.evidence.sa_role_arn.as_deref(), Some(ROLE));
                key.kind
            });
            kinds.collect::<Vec<_>>()
        };
        assert_eq!(look(&scene), []);
        let both = [BindingKind::PodIdentity, BindingKind::Irsa];
        assert_eq!(look(&scene), both);
        assert_eq!(look(&scene.clone().without_bindings()), both[1..]);
        let irsa = binding_of(scene.pod("web"), TokenKind::Irsa, &scene.knowledge()).unwrap();
        let key = use_key(scene.pod("web"), BindingKind::Irsa);
        uses.note(key, &irsa, seconds_later(0));
        let found = judge_bindings(scene.pod("web"), SECOND, &mut uses, &scene.knowledge());
        let kinds: Vec<_> = found.into_iter().map(|(key, _)| key.kind).collect();
        assert_eq!(kinds, both[..1]);
    }

    #[test]
    fn a_role_in_a_spec_alone_is_not_watched() {
        let scene = Scene::new().env_role("web", ROLE);
        let mut uses = Uses::default();
        let found = judge_bindings(scene.pod("web"), SECOND, &mut uses, &scene.knowledge());
        assert!(found.is_empty());
        assert_eq!(uses.iter().count(), 0);
    }

    #[test]
    fn policy_exempts_and_sets_severities() {
        let exempt = "exempt: [{match: {service_account: web}, reason: canary}]";
        let strict = "severity: {identity-not-injected: high}";
        for (policy, severity, reason) in [
            (exempt, Severity::Medium, Some("canary")),
            (strict, Severity::High, None),
        ] {
            let scene = Scene::new().associate("web").policy(policy);
            let state = judge_pod(scene.pod("web"), &scene.knowledge()).unwrap();
            assert_eq!(state.finding.severity, severity, "{policy}");
            assert_eq!(state.finding.exempted_by.as_deref(), reason, "{policy}");
        }
    }
}
