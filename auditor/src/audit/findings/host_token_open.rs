//! `host-token-open`

use crate::{
    audit::{
        Actor, OpenCase,
        ruling::{Input, Ruling},
    },
    event::Severity,
};

/// A process outside every pod opens a token. The kubelet and the auditor never come this far.
pub fn host_token_open(case: &OpenCase<'_>) -> Ruling {
    match (case.actor, &case.token.owner) {
        (Actor::Host, Some(_)) => {
            let (actor, owner) = (case.describe_actor(), case.describe_owner());
            Ruling::finding(
                Severity::Critical,
                format!("{actor} opened the token of {owner}"),
            )
        }
        (Actor::Host, None) => Ruling::Lacks(Input::Owner),
        (Actor::Unknown, _) => Ruling::Lacks(Input::Process),
        (Actor::Pod { .. } | Actor::UnlistedPod { .. } | Actor::Conflict { .. }, _) => {
            Ruling::Clear
        }
    }
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
            (Who::Host, Whose::Pod("web"), critical),
            (Who::Host, Whose::Untold("uid-x"), critical),
            (Who::Host, Whose::Nobody, Said::Lacks(Input::Owner)),
            (Who::Pod("web"), Whose::Pod("api"), Said::Clear),
            (Who::Unlisted("u"), Whose::Pod("api"), Said::Clear),
            (Who::Conflict, Whose::Pod("api"), Said::Clear),
            (Who::Unknown, Whose::Pod("api"), Said::Lacks(Input::Process)),
        ] {
            let said = scene.open(who, whose, TokenKind::Irsa, host_token_open);
            assert_eq!(said, expected, "{who:?} {whose:?}");
        }
    }

    #[test]
    fn message_names_program_and_owner() {
        let judgement =
            Scene::new().judge_open(Who::Host, Whose::Pod("api"), TokenKind::PodIdentity);
        assert_eq!(
            judgement.findings[0].message,
            "a host process (cat) opened the token of payments/api"
        );
    }
}
