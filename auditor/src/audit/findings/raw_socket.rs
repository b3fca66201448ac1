//! `raw-socket`

use crate::{
    audit::{
        Actor, SocketCase,
        ruling::{Input, Ruling},
    },
    event::Severity,
};

/// A pod asks for a socket that a TCP stack of its own can be built on: with containerd's default capabilities it gets one, and no
/// connect shows what it does then. In the node's network that is what CNIs, DHCP clients and tcpdump are there for.
pub fn raw_socket(case: &SocketCase<'_>) -> Ruling {
    let pod = match case.actor {
        Actor::Pod { pod, .. } if pod.host_network => return Ruling::Clear,
        Actor::Pod { pod, .. } => pod,
        // A conflict is a finding of its own.
        Actor::Host | Actor::Conflict { .. } => return Ruling::Clear,
        Actor::UnlistedPod { .. } => return Ruling::Lacks(Input::Pod),
        Actor::Unknown => return Ruling::Lacks(Input::Process),
    };
    let socket = match case.family {
        "packet" => "packet socket",
        _ => "raw TCP socket",
    };
    Ruling::finding(
        Severity::Medium,
        format!(
            "{} asked for a {socket}, on which TCP can be spoken without a connect",
            pod.full_name()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, ids},
        event::{FindingId, Verdict},
    };

    #[test]
    fn cases() {
        let scene = Scene::new().edit_pod("agent", |pod| pod.host_network = true);
        for (who, expected) in [
            (Who::Pod("web"), Said::Finds(Severity::Medium)),
            (Who::Pod("agent"), Said::Clear),
            (Who::Unlisted("u"), Said::Lacks(Input::Pod)),
            (Who::Host, Said::Clear),
            (Who::Conflict, Said::Clear),
            (Who::Unknown, Said::Lacks(Input::Process)),
        ] {
            for family in ["packet", "inet", "inet6"] {
                let said = scene.socket(who, family, raw_socket);
                assert_eq!(said, expected, "{who:?} {family}");
            }
        }
    }

    #[test]
    fn verdicts_and_messages() {
        let scene = Scene::new();
        for (family, message) in [
            (
                "packet",
                "shop/web asked for a packet socket, on which TCP can be spoken without a connect",
            ),
            (
                "inet6",
                "shop/web asked for a raw TCP socket, on which TCP can be spoken without a connect",
            ),
        ] {
            let judgement = scene.judge_socket(Who::Pod("web"), family);
            assert_eq!(judgement.verdict, Verdict::Suspicious);
            assert_eq!(judgement.findings[0].message, message);
        }
        let judgement = scene.judge_socket(Who::Conflict, "packet");
        assert_eq!(ids(&judgement.findings), [FindingId::IdentityMismatch]);
        assert_eq!(judgement.evidence.candidates, ["shop/web", "payments/api"]);
        let judgement = scene.judge_socket(Who::Host, "packet");
        assert_eq!(judgement.verdict, Verdict::Allowed);
        assert!(judgement.findings.is_empty());
        let info = scene.policy("severity: {raw-socket: info}");
        let judgement = info.judge_socket(Who::Pod("web"), "packet");
        assert_eq!(judgement.verdict, Verdict::Allowed);
    }
}
