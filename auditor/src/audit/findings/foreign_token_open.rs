//! `foreign-token-open`

use crate::{
    audit::{
        Actor, OpenCase,
        ruling::{Input, Ruling},
    },
    event::{Relation, Severity},
};

/// A process in one pod opens another pod's token. Two pods of one ServiceAccount have the same rights, so that is milder.
pub fn foreign_token_open(case: &OpenCase<'_>) -> Ruling {
    let message = || {
        let (actor, owner) = (case.describe_actor(), case.describe_owner());
        format!("{actor} opened the token of {owner}")
    };
    match case.relation() {
        Relation::OtherPod => Ruling::finding(Severity::Critical, message()),
        Relation::SameServiceAccount => Ruling::finding(
            Severity::Medium,
            format!("{}, which runs as the same ServiceAccount", message()),
        ),
        Relation::Own | Relation::Host => Ruling::Clear,
        Relation::Unknown => match case.actor {
            Actor::Conflict { .. } => Ruling::Clear,
            Actor::Unknown => Ruling::Lacks(Input::Process),
            Actor::Pod { .. } | Actor::UnlistedPod { .. } | Actor::Host => {
                Ruling::Lacks(Input::Owner)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{Said, Scene, Who, Whose},
        event::{FindingId, TokenKind},
    };

    #[test]
    fn cases() {
        let scene = Scene::new();
        let before_the_first_sync = Scene::new().without_bindings().without_service_accounts();
        let critical = Said::Finds(Severity::Critical);
        for (scene, who, whose, expected) in [
            (&scene, Who::Pod("web"), Whose::Pod("api"), critical),
            (&scene, Who::Pod("web"), Whose::Pod("web"), Said::Clear),
            (
                &scene,
                Who::Pod("web"),
                Whose::Pod("web-2"),
                Said::Finds(Severity::Medium),
            ),
            (&scene, Who::Pod("agent"), Whose::Pod("api"), critical),
            (&scene, Who::Pod("web"), Whose::Untold("uid-x"), critical),
            (
                &scene,
                Who::Pod("web"),
                Whose::Untold("uid-web"),
                Said::Clear,
            ),
            (
                &scene,
                Who::Pod("web"),
                Whose::Nobody,
                Said::Lacks(Input::Owner),
            ),
            (&scene, Who::Unlisted("uid-x"), Whose::Pod("web"), critical),
            (
                &scene,
                Who::Unlisted("uid-web"),
                Whose::Pod("web"),
                Said::Clear,
            ),
            (&scene, Who::Host, Whose::Pod("web"), Said::Clear),
            (&scene, Who::Conflict, Whose::Pod("web"), Said::Clear),
            (
                &scene,
                Who::Unknown,
                Whose::Pod("web"),
                Said::Lacks(Input::Process),
            ),
            (
                &before_the_first_sync,
                Who::Pod("web"),
                Whose::Pod("api"),
                critical,
            ),
        ] {
            for kind in [
                TokenKind::Irsa,
                TokenKind::ServiceAccount,
                TokenKind::Unknown,
            ] {
                let said = scene.open(who, whose, kind, foreign_token_open);
                assert_eq!(said, expected, "{who:?} {whose:?} {kind:?}");
            }
        }
    }

    #[test]
    fn message_names_both_pods() {
        let scene = Scene::new();
        for (who, whose, message) in [
            (
                Who::Pod("web"),
                Whose::Pod("api"),
                "shop/web opened the token of payments/api",
            ),
            (
                Who::Unlisted("u"),
                Whose::Untold("v"),
                "pod u opened the token of pod v",
            ),
        ] {
            let judgement = scene.judge_open(who, whose, TokenKind::ServiceAccount);
            assert_eq!(judgement.findings[0].id, FindingId::ForeignTokenOpen);
            assert_eq!(judgement.findings[0].message, message);
        }
    }
}
