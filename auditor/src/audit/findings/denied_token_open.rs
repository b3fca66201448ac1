//! `denied-token-open`

use crate::{
    audit::{DeniedCase, ruling::Ruling},
    event::{Relation, Severity},
};

/// An open of a token was refused. A pod that may not read its own token is mostly misconfigured, so that is milder.
pub fn denied_token_open(case: &DeniedCase<'_>) -> Ruling {
    let (actor, owner) = (case.actor.describe(case.process), case.describe_owner());
    let errno = errno_name(case.errno);
    if case.relation() == Relation::Own {
        return Ruling::finding(
            Severity::Info,
            format!(
                "{actor} was refused its own token ({errno}); check the process's user against fsGroup and runAsUser"
            ),
        );
    }
    Ruling::finding(
        Severity::Medium,
        format!("{actor} tried to open the token of {owner}, and was refused ({errno})"),
    )
}

/// As errno(3) names what permissions and security modules say.
fn errno_name(errno: i32) -> String {
    match errno {
        libc::EACCES => "EACCES".to_owned(),
        libc::EPERM => "EPERM".to_owned(),
        libc::EROFS => "EROFS".to_owned(),
        libc::ELOOP => "ELOOP".to_owned(),
        libc::EXDEV => "EXDEV".to_owned(),
        other => format!("errno {other}"),
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
        let (medium, info) = (Said::Finds(Severity::Medium), Said::Finds(Severity::Info));
        for (who, whose, expected) in [
            (Who::Pod("web"), Whose::Pod("api"), medium),
            (Who::Pod("web"), Whose::Pod("web-2"), medium),
            (Who::Pod("web"), Whose::Pod("web"), info),
            (Who::Pod("web"), Whose::Untold("uid-web"), info),
            (Who::Pod("web"), Whose::Untold("uid-x"), medium),
            (Who::Pod("web"), Whose::Nobody, medium),
            (Who::Unlisted("u"), Whose::Untold("u"), info),
            (Who::Unlisted("u"), Whose::Pod("api"), medium),
            (Who::Host, Whose::Pod("api"), medium),
            (Who::Host, Whose::Nobody, medium),
            (Who::Conflict, Whose::Pod("api"), medium),
            (Who::Unknown, Whose::Pod("api"), medium),
        ] {
            for kind in [TokenKind::Irsa, TokenKind::Unknown] {
                let said = scene.denied(who, whose, kind, denied_token_open);
                assert_eq!(said, expected, "{who:?} {whose:?} {kind:?}");
            }
        }
    }

    #[test]
    fn message_says_who_whose_and_why() {
        let scene = Scene::new();
        for (whose, message) in [
            (
                Whose::Pod("api"),
                "shop/web tried to open the token of payments/api, and was refused (EACCES)",
            ),
            (
                Whose::Nobody,
                "shop/web tried to open the token of an unknown pod, and was refused (EACCES)",
            ),
        ] {
            let judgement = scene.judge_denied(Who::Pod("web"), whose, TokenKind::Irsa);
            assert_eq!(judgement.findings[0].message, message);
        }
        assert_eq!(errno_name(libc::ENOMEM), "errno 12");
    }
}
