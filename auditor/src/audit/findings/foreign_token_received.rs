//! `foreign-token-received`

use crate::{
    audit::{
        Actor, Received, ReceivedCase, ReceivedOwner,
        ruling::{Input, Ruling},
    },
    event::{EndpointKind, Relation, Severity, Via},
};

/// A token's descriptor, or a connection to a credential endpoint, arrives in a process of another pod, or of none: what opening the
/// token there would be. Two pods of one ServiceAccount have the same rights, so that is milder.
pub fn foreign_token_received(case: &ReceivedCase<'_>) -> Ruling {
    match (case.relation(), case.owner) {
        (Relation::SameServiceAccount, _) => Ruling::finding(
            Severity::Medium,
            format!("{}, which runs as the same ServiceAccount", message(case)),
        ),
        (Relation::OtherPod | Relation::Host, ReceivedOwner::Pod { .. }) => {
            // At the other end are the node's credentials, no pod's: a way round a hop limit.
            let severity = match case.what {
                Received::Connection(_, EndpointKind::Imds) => Severity::Medium,
                Received::Connection(..) | Received::Token(_) => Severity::Critical,
            };
            Ruling::finding(severity, message(case))
        }
        // A connection that no pod made stands for no pod's identity.
        (Relation::Own, _) | (_, ReceivedOwner::Host) => Ruling::Clear,
        (Relation::OtherPod | Relation::Host, ReceivedOwner::Unknown) => {
            Ruling::Lacks(Input::Owner)
        }
        (Relation::Unknown, _) => match case.actor {
            Actor::Conflict { .. } => Ruling::Clear,
            Actor::Unknown => Ruling::Lacks(Input::Process),
            Actor::Pod { .. } | Actor::UnlistedPod { .. } | Actor::Host => {
                Ruling::Lacks(Input::Owner)
            }
        },
    }
}

fn message(case: &ReceivedCase<'_>) -> String {
    let actor = case.actor.describe(case.process);
    let owner = match case.owner {
        ReceivedOwner::Pod { pod: Some(pod), .. } => pod.full_name(),
        ReceivedOwner::Pod { owner, .. } => match (&owner.namespace, &owner.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            _ => format!("pod {}", owner.uid),
        },
        ReceivedOwner::Host => "the host".to_owned(),
        ReceivedOwner::Unknown => "an unknown pod".to_owned(),
    };
    let what = match case.what {
        Received::Token(_) => "the descriptor of the token".to_owned(),
        Received::Connection(endpoint, _) => format!("a connection to {endpoint}"),
    };
    let how = match case.via {
        Via::PidfdGetfd => "took",
        Via::ScmRights | Via::SeccompAddfd | Via::Open | Via::Held | Via::Mapped => "was handed",
    };
    format!("{actor} {how} {what} of {owner}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose},
        event::TokenKind,
    };

    #[test]
    fn cases() {
        let scene = Scene::new();
        let critical = Said::Finds(Severity::Critical);
        for (who, whose, expected) in [
            (Who::Pod("web"), Whose::Pod("api"), critical),
            (Who::Pod("web"), Whose::Pod("web"), Said::Clear),
            (
                Who::Pod("web"),
                Whose::Pod("web-2"),
                Said::Finds(Severity::Medium),
            ),
            (Who::Pod("agent"), Whose::Pod("api"), critical),
            (Who::Pod("web"), Whose::Untold("uid-x"), critical),
            (Who::Pod("web"), Whose::Untold("uid-web"), Said::Clear),
            (Who::Pod("web"), Whose::Nobody, Said::Lacks(Input::Owner)),
            (Who::Unlisted("uid-x"), Whose::Pod("web"), critical),
            (Who::Unlisted("uid-web"), Whose::Pod("web"), Said::Clear),
            (Who::Host, Whose::Pod("web"), critical),
            (Who::Host, Whose::Untold("uid-x"), critical),
            (Who::Host, Whose::Nobody, Said::Lacks(Input::Owner)),
            (Who::Conflict, Whose::Pod("web"), Said::Clear),
            (Who::Unknown, Whose::Pod("web"), Said::Lacks(Input::Process)),
        ] {
            for what in [
                Received::Token(TokenKind::Irsa),
                Received::Token(TokenKind::Unknown),
                Received::Connection("pod-identity-agent", EndpointKind::PodIdentityAgent),
            ] {
                let said = scene.received(who, whose, what, foreign_token_received);
                assert_eq!(said, expected, "{who:?} {whose:?} {what:?}");
            }
        }
    }

    #[test]
    fn a_connection_to_instance_metadata_stands_for_the_node() {
        let what = Received::Connection("imds", EndpointKind::Imds);
        for who in [Who::Pod("web"), Who::Host] {
            let said = Scene::new().received(who, Whose::Pod("api"), what, foreign_token_received);
            assert_eq!(said, Said::Finds(Severity::Medium), "{who:?}");
        }
    }

    #[test]
    fn a_connection_that_the_host_made_is_no_pods() {
        let scene = Scene::new();
        for who in [Who::Pod("web"), Who::Host, Who::Unlisted("u")] {
            let said = scene.received_of_host(who, foreign_token_received);
            assert_eq!(said, Said::Clear, "{who:?}");
        }
    }

    #[test]
    fn message_names_both_and_what_arrived() {
        let scene = Scene::new();
        for (who, whose, what, message) in [
            (
                Who::Pod("web"),
                Whose::Pod("api"),
                Received::Token(TokenKind::Irsa),
                "shop/web was handed the descriptor of the token of payments/api",
            ),
            (
                Who::Host,
                Whose::Untold("v"),
                Received::Connection("relay", EndpointKind::Custom),
                "a host process (cat) was handed a connection to relay of pod v",
            ),
        ] {
            let judgement = scene.judge_received(who, whose, what);
            assert_eq!(judgement.findings[0].message, message);
        }
    }
}
