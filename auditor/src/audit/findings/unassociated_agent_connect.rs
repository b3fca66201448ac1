//! `unassociated-agent-connect`

use super::{Connector, connector, is_reached};
use crate::{
    audit::{
        ConnectCase,
        binding::association,
        ruling::{Input, Ruling},
    },
    event::{EndpointKind, Severity},
};

/// A pod whose ServiceAccount has no association reaches the Pod Identity agent.
pub fn unassociated_agent_connect(case: &ConnectCase<'_>) -> Ruling {
    let knowledge = &case.knowledge;
    let reached = is_reached(case.outcome);
    if case.endpoint != EndpointKind::PodIdentityAgent || reached == Some(false) {
        return Ruling::Clear;
    }
    let pod = match connector(&case.actor, knowledge.policy) {
        Connector::Pod(pod) => pod,
        Connector::Exempt => return Ruling::Clear,
        Connector::Lacks(input) => return Ruling::Lacks(input),
    };
    if association(pod, knowledge).is_some() {
        return Ruling::Clear;
    }
    if !knowledge.associations_tell_of_absence_at(case.time) {
        return Ruling::Lacks(Input::Associations);
    }
    if reached.is_none() {
        return Ruling::Lacks(Input::Outcome);
    }
    Ruling::finding(
        Severity::High,
        format!(
            "{} reached the Pod Identity agent, but its ServiceAccount {}/{} has no association",
            pod.full_name(),
            pod.namespace,
            pod.service_account
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{ROLE, Said, Scene, Who},
        event::Outcome,
    };

    const AGENT: EndpointKind = EndpointKind::PodIdentityAgent;
    const HIGH: Said = Said::Finds(Severity::High);

    #[test]
    fn by_what_is_known() {
        let lacks = Said::Lacks(Input::Associations);
        for (what, scene, expected) in [
            ("no association", Scene::new(), HIGH),
            ("association", Scene::new().associate("web"), Said::Clear),
            ("another's association", Scene::new().associate("api"), HIGH),
            (
                "an annotation is no association",
                Scene::new().annotate("web", ROLE),
                HIGH,
            ),
            ("none at all", Scene::new().without_bindings(), lacks),
            (
                "incomplete",
                Scene::new().bindings_begun_at(1, false),
                lacks,
            ),
            (
                "begun before",
                Scene::new().bindings_begun_at(-1, true),
                lacks,
            ),
            (
                "begun at the event",
                Scene::new().bindings_begun_at(0, true),
                HIGH,
            ),
            (
                "associated, as known before",
                Scene::new().associate("web").bindings_begun_at(-1, false),
                Said::Clear,
            ),
        ] {
            let who = Who::Pod("web");
            let said = scene.connect(who, AGENT, Outcome::Established, unassociated_agent_connect);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn by_who_connects_where_and_how_it_ends() {
        let scene = Scene::new();
        let associated = Scene::new().associate("web");
        let other_agent = Scene::new().policy("agent: []");
        for (scene, who, endpoint, outcome, expected) in [
            (&scene, Who::Pod("web"), AGENT, Outcome::Established, HIGH),
            (
                &scene,
                Who::Pod("web"),
                AGENT,
                Outcome::Refused,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                AGENT,
                Outcome::Unreachable,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                AGENT,
                Outcome::Timeout,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                AGENT,
                Outcome::Aborted,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                AGENT,
                Outcome::Pending,
                Said::Lacks(Input::Outcome),
            ),
            (
                &associated,
                Who::Pod("web"),
                AGENT,
                Outcome::Pending,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                EndpointKind::Imds,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                EndpointKind::Custom,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("agent"),
                AGENT,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &other_agent,
                Who::Pod("agent"),
                AGENT,
                Outcome::Established,
                HIGH,
            ),
            (&scene, Who::Host, AGENT, Outcome::Established, Said::Clear),
            (
                &scene,
                Who::Conflict,
                AGENT,
                Outcome::Established,
                Said::Clear,
            ),
            (
                &scene,
                Who::Unlisted("u"),
                AGENT,
                Outcome::Established,
                Said::Lacks(Input::Pod),
            ),
            (
                &scene,
                Who::Unlisted("u"),
                AGENT,
                Outcome::Refused,
                Said::Clear,
            ),
            (
                &scene,
                Who::Unknown,
                AGENT,
                Outcome::Established,
                Said::Lacks(Input::Process),
            ),
        ] {
            let said = scene.connect(who, endpoint, outcome, unassociated_agent_connect);
            assert_eq!(said, expected, "{who:?} {endpoint:?} {outcome:?}");
        }
    }
}
