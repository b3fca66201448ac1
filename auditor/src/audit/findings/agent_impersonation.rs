//! `agent-impersonation`

use crate::{
    audit::{
        Listener,
        ruling::{Input, Ruling},
    },
    event::{EndpointKind, Severity},
};

/// Something other than the agent listens on a credential address: SDKs that reach it hand it their tokens, and take what it
/// gives them. On the metadata service's addresses nobody on the node may. `who`: the listener as messages name it.
pub fn agent_impersonation(
    listener: &Listener<'_>,
    who: &str,
    endpoint: EndpointKind,
    in_agent_net_ns: bool,
) -> Ruling {
    let found = |message| Ruling::finding(Severity::Critical, message);
    match endpoint {
        EndpointKind::Custom => Ruling::Clear,
        EndpointKind::Imds => found(format!(
            "{who} listens on the address of the instance metadata service, which is not on the node"
        )),
        EndpointKind::PodIdentityAgent if !in_agent_net_ns => found(format!(
            "{who} listens on the address of the Pod Identity agent in another network namespace than the agent's"
        )),
        EndpointKind::PodIdentityAgent => match listener {
            Listener::Agent => Ruling::Clear,
            Listener::Pod(_) | Listener::Host | Listener::Conflict => found(format!(
                "{who} listens on the address of the Pod Identity agent, and is not the agent"
            )),
            Listener::UnlistedPod { .. } => Ruling::Lacks(Input::Pod),
            Listener::Unknown => Ruling::Lacks(Input::Process),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{Said, Scene};

    const AGENT: EndpointKind = EndpointKind::PodIdentityAgent;
    const IMDS: EndpointKind = EndpointKind::Imds;

    #[test]
    fn cases() {
        let scene = Scene::new();
        let critical = Said::Finds(Severity::Critical);
        let pod = Listener::Pod(scene.pod("web"));
        let unlisted = Listener::UnlistedPod { uid: "u" };
        for (listener, endpoint, in_agent_net_ns, expected) in [
            (Listener::Agent, AGENT, true, Said::Clear),
            (pod, AGENT, true, critical),
            (Listener::Host, AGENT, true, critical),
            (Listener::Conflict, AGENT, true, critical),
            (unlisted, AGENT, true, Said::Lacks(Input::Pod)),
            (Listener::Unknown, AGENT, true, Said::Lacks(Input::Process)),
            // Elsewhere nobody is the agent, whoever it is.
            (Listener::Agent, AGENT, false, critical),
            (pod, AGENT, false, critical),
            (unlisted, AGENT, false, critical),
            (Listener::Unknown, AGENT, false, critical),
            (pod, IMDS, true, critical),
            (Listener::Agent, IMDS, true, critical),
            (Listener::Host, IMDS, false, critical),
            (pod, EndpointKind::Custom, true, Said::Clear),
            (Listener::Host, EndpointKind::Custom, false, Said::Clear),
        ] {
            let ruling = agent_impersonation(&listener, "somebody", endpoint, in_agent_net_ns);
            assert_eq!(
                Said::from(ruling),
                expected,
                "{listener:?} {endpoint:?} {in_agent_net_ns}"
            );
        }
    }
}
