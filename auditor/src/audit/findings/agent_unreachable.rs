//! `agent-unreachable`

use super::{Connector, connector};
use crate::{
    audit::{ConnectCase, ruling::Ruling},
    event::{EndpointKind, Outcome, Severity},
};

/// A process that gives up sooner was stopped, not kept waiting: SDKs wait 1 to 2 s, and the agent, on the same node, answers within
/// microseconds.
const KEPT_WAITING_US: u64 = 500_000;

/// A pod's connect to the Pod Identity agent failed, or found no answer.
pub fn agent_unreachable(case: &ConnectCase<'_>) -> Ruling {
    if case.endpoint != EndpointKind::PodIdentityAgent {
        return Ruling::Clear;
    }
    let what = match case.outcome {
        Outcome::Established => return Ruling::Clear,
        Outcome::Aborted => match case.duration_us {
            Some(waited) if waited >= KEPT_WAITING_US => "gave up without an answer",
            Some(_) | None => return Ruling::Clear,
        },
        Outcome::Refused => "was refused",
        Outcome::Unreachable => "found no way there",
        Outcome::Timeout => "timed out",
        Outcome::Pending => "has no answer yet",
    };
    let pod = match connector(&case.actor, case.knowledge.policy) {
        Connector::Pod(pod) => pod,
        Connector::Exempt => return Ruling::Clear,
        Connector::Lacks(input) => return Ruling::Lacks(input),
    };
    let check = match case.outcome {
        Outcome::Refused => {
            "is the eks-pod-identity-agent add-on installed, and its pod on this node ready?"
        }
        _ => {
            "check the eks-pod-identity-agent pod of this node, NetworkPolicies of the pod's namespace, and proxy settings"
        }
    };
    Ruling::finding(
        Severity::Medium,
        format!(
            "{}'s connect to the Pod Identity agent {what}{}; {check}",
            pod.full_name(),
            after(case.duration_us)
        ),
    )
}

fn after(duration_us: Option<u64>) -> String {
    match duration_us {
        Some(us) if us < 1000 => format!(" after {us} µs"),
        Some(us) => format!(" after {} ms", us / 1000),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            ruling::Input,
            testing::{Said, Scene, Who, ids},
        },
        event::{FindingId, Verdict},
    };

    const AGENT: EndpointKind = EndpointKind::PodIdentityAgent;
    const MEDIUM: Said = Said::Finds(Severity::Medium);

    fn after_us(duration_us: Option<u64>) -> Scene {
        Scene::new()
            .associate("web")
            .edit(|s| s.duration_us = duration_us)
    }

    #[test]
    fn by_outcome_and_how_long_it_took() {
        for (outcome, duration_us, expected) in [
            (Outcome::Established, Some(40), Said::Clear),
            (Outcome::Established, Some(5_000_000), Said::Clear),
            (Outcome::Refused, Some(40), MEDIUM),
            (Outcome::Unreachable, Some(3_000_000), MEDIUM),
            (Outcome::Timeout, Some(130_000_000), MEDIUM),
            (Outcome::Pending, None, MEDIUM),
            (Outcome::Aborted, Some(1_000_000), MEDIUM),
            (Outcome::Aborted, Some(500_000), MEDIUM),
            (Outcome::Aborted, Some(499_999), Said::Clear),
            (Outcome::Aborted, None, Said::Clear),
        ] {
            let scene = after_us(duration_us);
            let said = scene.connect(Who::Pod("web"), AGENT, outcome, agent_unreachable);
            assert_eq!(said, expected, "{outcome:?} {duration_us:?}");
        }
    }

    #[test]
    fn by_who_connects_where() {
        let scene = after_us(Some(40));
        for (who, endpoint, expected) in [
            (Who::Pod("agent"), AGENT, Said::Clear),
            (Who::Host, AGENT, Said::Clear),
            (Who::Conflict, AGENT, Said::Clear),
            (Who::Unlisted("u"), AGENT, Said::Lacks(Input::Pod)),
            (Who::Unknown, AGENT, Said::Lacks(Input::Process)),
            (Who::Pod("api"), AGENT, MEDIUM),
            (Who::Pod("web"), EndpointKind::Imds, Said::Clear),
            (Who::Pod("web"), EndpointKind::Custom, Said::Clear),
        ] {
            let said = scene.connect(who, endpoint, Outcome::Refused, agent_unreachable);
            assert_eq!(said, expected, "{who:?} {endpoint:?}");
        }
    }

    #[test]
    fn says_how_long_it_took_and_what_to_check() {
        for (outcome, duration_us, message) in [
            (
                Outcome::Refused,
                Some(40),
                "shop/web's connect to the Pod Identity agent was refused after 40 µs; is the eks-pod-identity-agent add-on installed, and its pod on this node ready?",
            ),
            (
                Outcome::Aborted,
                Some(1_000_900),
                "shop/web's connect to the Pod Identity agent gave up without an answer after 1000 ms; check the eks-pod-identity-agent pod of this node, NetworkPolicies of the pod's namespace, and proxy settings",
            ),
        ] {
            let scene = after_us(duration_us);
            let judgement = scene.judge_connect(Who::Pod("web"), AGENT, outcome);
            assert_eq!(ids(&judgement.findings), [FindingId::AgentUnreachable]);
            assert_eq!(judgement.findings[0].message, message);
            assert_eq!(judgement.verdict, Verdict::Suspicious);
        }
    }
}
