//! `stealth-agent-connection`

use crate::{
    audit::{
        AcceptCase, Listener,
        ruling::{Input, Ruling},
    },
    event::{EndpointKind, Severity},
};

/// The agent accepted a connection that no connect on this node made: a TCP stack in user space, an address that is
/// translated on the way, another machine.
pub fn stealth_agent_connection(case: &AcceptCase<'_>) -> Ruling {
    if case.endpoint != EndpointKind::PodIdentityAgent || case.is_matched || !case.in_agent_net_ns {
        return Ruling::Clear;
    }
    match case.listener {
        Listener::Agent | Listener::UnlistedPod { .. } | Listener::Unknown => {}
        // What an impostor accepts is another finding.
        Listener::Pod(_) | Listener::Host | Listener::Conflict => return Ruling::Clear,
    }
    if case.may_have_missed {
        return Ruling::Lacks(Input::Connects);
    }
    let peer = match case.peer_pod {
        Some(pod) => format!("{}, which is {}'s address", case.peer, pod.full_name()),
        None => case.peer.to_owned(),
    };
    Ruling::finding(
        Severity::Critical,
        format!(
            "the Pod Identity agent accepted a connection from {peer}, and no process of this node made it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{
        judge_accept,
        testing::{Said, Scene, event_time, ids},
    };
    use crate::event::{FindingId, Verdict};

    const PEER: &str = "10.0.1.7:40000";

    fn case(scene: &Scene) -> AcceptCase<'_> {
        AcceptCase {
            time: event_time(),
            endpoint: EndpointKind::PodIdentityAgent,
            listener: Listener::Agent,
            in_agent_net_ns: true,
            is_matched: false,
            may_have_missed: false,
            peer: PEER,
            peer_pod: None,
            knowledge: scene.knowledge(),
        }
    }

    #[test]
    fn cases() {
        let scene = Scene::new();
        let critical = Said::Finds(Severity::Critical);
        let lacks = Said::Lacks(Input::Connects);
        let unlisted = Listener::UnlistedPod { uid: "u" };
        let pod = Listener::Pod(scene.pod("web"));
        let agent = EndpointKind::PodIdentityAgent;
        for (listener, endpoint, here, is_matched, may_have_missed, expected) in [
            (Listener::Agent, agent, true, false, false, critical),
            (Listener::Agent, agent, true, true, false, Said::Clear),
            (Listener::Agent, agent, true, false, true, lacks),
            (Listener::Agent, agent, true, true, true, Said::Clear),
            (Listener::Agent, agent, false, false, false, Said::Clear),
            (Listener::Unknown, agent, true, false, false, critical),
            (unlisted, agent, true, false, false, critical),
            (pod, agent, true, false, false, Said::Clear),
            (Listener::Host, agent, true, false, false, Said::Clear),
            (
                Listener::Agent,
                EndpointKind::Imds,
                true,
                false,
                false,
                Said::Clear,
            ),
            (
                Listener::Agent,
                EndpointKind::Custom,
                true,
                false,
                false,
                Said::Clear,
            ),
        ] {
            let case = AcceptCase {
                listener,
                endpoint,
                in_agent_net_ns: here,
                is_matched,
                may_have_missed,
                ..case(&scene)
            };
            assert_eq!(
                Said::from(stealth_agent_connection(&case)),
                expected,
                "{listener:?} {endpoint:?} {here} {is_matched} {may_have_missed}"
            );
        }
    }

    #[test]
    fn names_the_peer_and_may_be_exempted_by_it() {
        let scene = Scene::new();
        let judgement = judge_accept(&AcceptCase {
            peer_pod: Some(scene.pod("web")),
            ..case(&scene)
        });
        assert_eq!(judgement.verdict, Verdict::Violation);
        assert_eq!(
            judgement.findings[0].message,
            "the Pod Identity agent accepted a connection from 10.0.1.7:40000, which is shop/web's address, and no process \
             of this node made it"
        );
        let policy = "exempt: [{match: {namespace: shop, finding: stealth-agent-connection}, reason: microVM}]";
        let scene = scene.policy(policy);
        let judgement = judge_accept(&AcceptCase {
            peer_pod: Some(scene.pod("web")),
            ..case(&scene)
        });
        assert_eq!(judgement.verdict, Verdict::Allowed);
    }

    #[test]
    fn an_impostor_that_accepts_is_told_as_such() {
        let scene = Scene::new();
        let judgement = judge_accept(&AcceptCase {
            listener: Listener::Pod(scene.pod("web")),
            is_matched: true,
            ..case(&scene)
        });
        assert_eq!(ids(&judgement.findings), [FindingId::AgentImpersonation]);
    }
}
