//! `unexpected-executable`

use super::{Connector, connector};
use crate::{
    audit::{Actor, ConnectCase, Familiarity, OpenCase, ruling::Ruling},
    cluster::Pod,
    event::{EndpointKind, Process, Relation, Severity, TokenKind},
    policy::Policy,
};

/// A pod's process opens the pod's own token for AWS, and runs a program that is not expected of its ServiceAccount.
///
/// Tokens for the API server are not meant: every controller and sidecar reads those, and most such reads are only counted.
pub fn unexpected_executable_at_open(case: &OpenCase<'_>) -> Ruling {
    let is_for_aws = matches!(case.token.kind, TokenKind::Irsa | TokenKind::PodIdentity);
    if case.relation() != Relation::Own || !is_for_aws {
        return Ruling::Clear;
    }
    match case.actor {
        Actor::Pod { pod, .. } => judge(
            pod,
            case.process,
            case.knowledge.policy,
            case.familiarity,
            "opened its own token",
        ),
        // Without the spec the token's kind is not known either.
        Actor::UnlistedPod { .. } | Actor::Host | Actor::Conflict { .. } | Actor::Unknown => {
            Ruling::Clear
        }
    }
}

/// A pod's process connects to the Pod Identity agent, and runs a program that is not expected of its ServiceAccount.
pub fn unexpected_executable_at_connect(case: &ConnectCase<'_>) -> Ruling {
    let policy = case.knowledge.policy;
    let nothing_is_expected = policy.executables.is_empty() && policy.learn.is_none();
    if case.endpoint != EndpointKind::PodIdentityAgent || nothing_is_expected {
        return Ruling::Clear;
    }
    match connector(&case.actor, policy) {
        Connector::Pod(pod) => judge(
            pod,
            case.process,
            policy,
            case.familiarity,
            "connected to the Pod Identity agent",
        ),
        Connector::Exempt => Ruling::Clear,
        Connector::Lacks(input) => Ruling::Lacks(input),
    }
}

/// Since when it was learned what the ServiceAccount runs, where that is what the finding rests on.
pub fn learned_since(familiarity: Familiarity) -> Option<String> {
    match familiarity {
        Familiarity::New { learned_since } => Some(learned_since.to_string()),
        Familiarity::Unjudged | Familiarity::Known => None,
    }
}

/// What policy lists decides alone: an attacker cannot have taught it.
fn judge(
    pod: &Pod,
    process: &Process,
    policy: &Policy,
    familiarity: Familiarity,
    did: &str,
) -> Ruling {
    let exe = process.exe.as_deref();
    let why = match (policy.expects_executable(pod, exe), familiarity) {
        (Some(true), _) | (None, Familiarity::Unjudged | Familiarity::Known) => {
            return Ruling::Clear;
        }
        (Some(false), _) => "which policy does not list for".to_owned(),
        (None, Familiarity::New { learned_since }) => {
            format!(
                "which was not seen to do that while it was learned, from {learned_since:.0} on, what is run by"
            )
        }
    };
    let exe = exe.unwrap_or(&process.comm);
    Ruling::finding(
        Severity::Medium,
        format!(
            "{} {did} with {exe}, {why} ServiceAccount {}/{}",
            pod.full_name(),
            pod.namespace,
            pod.service_account
        ),
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        audit::{
            ruling::Input,
            testing::{Said, Scene, Who, Whose, event_time},
        },
        event::{FindingId, Outcome, Verdict},
    };

    const LISTED: &str =
        "executables: [{namespace: shop, service_account: web, allow: [/usr/bin/c*, /app]}]";
    const OTHERS: &str = "executables: [{namespace: shop, service_account: web, allow: [/app]}]";
    const ELSEWHERE: &str =
        "executables: [{namespace: payments, service_account: '*', allow: [/app]}]";
    const TWICE: &str = "executables: [{namespace: shop, service_account: web, allow: [/app]}, {namespace: '*', service_account: web, allow: ['*/cat']}]";
    const LEARN: &str = "learn: {for: 7d}";
    const NEW: Familiarity = Familiarity::New {
        learned_since: Timestamp::UNIX_EPOCH,
    };

    /// The process is /usr/bin/cat.
    #[test]
    fn policy_decides_where_it_lists_and_the_baseline_where_it_does_not() {
        let (clear, found) = (Said::Clear, Said::Finds(Severity::Medium));
        let (web, api) = (Who::Pod("web"), Who::Pod("api"));
        let (unjudged, known) = (Familiarity::Unjudged, Familiarity::Known);
        for (what, policy, who, whose, kind, familiarity, expected) in [
            (
                "no policy",
                "",
                web,
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "listed",
                LISTED,
                web,
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "listed and new",
                LISTED,
                web,
                "web",
                TokenKind::Irsa,
                NEW,
                clear,
            ),
            (
                "not listed",
                OTHERS,
                web,
                "web",
                TokenKind::Irsa,
                unjudged,
                found,
            ),
            (
                "not listed, but known",
                OTHERS,
                web,
                "web",
                TokenKind::PodIdentity,
                known,
                found,
            ),
            (
                "listed by the second",
                TWICE,
                web,
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "another's list",
                ELSEWHERE,
                web,
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "another's list, and new",
                ELSEWHERE,
                web,
                "web",
                TokenKind::Irsa,
                NEW,
                found,
            ),
            ("new", LEARN, web, "web", TokenKind::PodIdentity, NEW, found),
            (
                "known",
                LEARN,
                web,
                "web",
                TokenKind::PodIdentity,
                known,
                clear,
            ),
            (
                "for the API server",
                OTHERS,
                web,
                "web",
                TokenKind::ServiceAccount,
                NEW,
                clear,
            ),
            (
                "another's token",
                OTHERS,
                web,
                "api",
                TokenKind::Irsa,
                NEW,
                clear,
            ),
            (
                "a sibling's token",
                OTHERS,
                web,
                "web-2",
                TokenKind::Irsa,
                NEW,
                clear,
            ),
            (
                "a pod without a list",
                OTHERS,
                api,
                "api",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "the host",
                OTHERS,
                Who::Host,
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
            (
                "not told of",
                OTHERS,
                Who::Unlisted("uid-web"),
                "web",
                TokenKind::Irsa,
                unjudged,
                clear,
            ),
        ] {
            let scene = Scene::new()
                .policy(policy)
                .edit(|s| s.familiarity = familiarity);
            let said = scene.open(who, Whose::Pod(whose), kind, unexpected_executable_at_open);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn connects_to_the_agent_only() {
        let (agent, imds) = (EndpointKind::PodIdentityAgent, EndpointKind::Imds);
        let (clear, found) = (Said::Clear, Said::Finds(Severity::Medium));
        for (what, policy, who, endpoint, familiarity, expected) in [
            (
                "not listed",
                OTHERS,
                Who::Pod("web"),
                agent,
                Familiarity::Unjudged,
                found,
            ),
            (
                "listed",
                LISTED,
                Who::Pod("web"),
                agent,
                Familiarity::Unjudged,
                clear,
            ),
            ("new", LEARN, Who::Pod("web"), agent, NEW, found),
            (
                "nothing expected",
                "",
                Who::Unlisted("x"),
                agent,
                Familiarity::Unjudged,
                clear,
            ),
            (
                "not told of",
                OTHERS,
                Who::Unlisted("x"),
                agent,
                Familiarity::Unjudged,
                Said::Lacks(Input::Pod),
            ),
            (
                "another endpoint",
                OTHERS,
                Who::Pod("web"),
                imds,
                NEW,
                clear,
            ),
            (
                "the agent itself",
                LEARN,
                Who::Pod("agent"),
                agent,
                NEW,
                clear,
            ),
            ("the host", OTHERS, Who::Host, agent, NEW, clear),
            (
                "a finding of its own",
                OTHERS,
                Who::Conflict,
                agent,
                NEW,
                clear,
            ),
        ] {
            let scene = Scene::new()
                .policy(policy)
                .edit(|s| s.familiarity = familiarity);
            let outcome = Outcome::Established;
            let said = scene.connect(who, endpoint, outcome, unexpected_executable_at_connect);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn the_line_says_since_when_it_was_learned() {
        let scene = |policy: &str, familiarity| {
            Scene::new()
                .associate("web")
                .policy(policy)
                .edit(|s| s.familiarity = familiarity)
        };
        let judge = |scene: &Scene| {
            scene.judge_open(Who::Pod("web"), Whose::Pod("web"), TokenKind::PodIdentity)
        };
        let learned_since = event_time();
        let judgement = judge(&scene(LEARN, Familiarity::New { learned_since }));
        assert_eq!(judgement.verdict, Verdict::Suspicious);
        assert_eq!(judgement.findings[0].id, FindingId::UnexpectedExecutable);
        let since = judgement.evidence.learned_since.as_deref();
        assert_eq!(since, Some("2026-11-22T12:00:00Z"));
        let judgement = judge(&scene(OTHERS, Familiarity::Unjudged));
        assert_eq!(judgement.verdict, Verdict::Suspicious);
        assert_eq!(judgement.evidence.learned_since, None);
        let judgement = judge(&scene("", Familiarity::Unjudged));
        assert_eq!(judgement.verdict, Verdict::Allowed);
    }
}
