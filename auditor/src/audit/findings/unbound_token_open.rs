//! `unbound-token-open`

use crate::{
    audit::{
        OpenCase,
        binding::{annotated_role, association},
        ruling::{Input, Ruling},
    },
    cluster::Pod,
    event::{Severity, TokenKind},
};

/// A pod opens its IRSA token, which neither annotation nor pod spec binds to a role, or its Pod Identity token, for which there is no
/// association.
pub fn unbound_token_open(case: &OpenCase<'_>) -> Ruling {
    if !case.uses_own_identity() {
        return Ruling::Clear;
    }
    let Some(owner) = case.owner_pod else {
        // Without the spec the token's kind is not known.
        return Ruling::Lacks(Input::Pod);
    };
    match case.token.kind {
        TokenKind::Irsa => irsa(case, owner),
        TokenKind::PodIdentity => pod_identity(case, owner),
        TokenKind::ServiceAccount | TokenKind::Other | TokenKind::Unknown => Ruling::Clear,
    }
}

fn irsa(case: &OpenCase<'_>, owner: &Pod) -> Ruling {
    let knowledge = &case.knowledge;
    if owner.env_role(None).is_some() || annotated_role(owner, knowledge).is_some() {
        return Ruling::Clear;
    }
    if !knowledge.annotations_tell_of_absence_at(owner, case.time) {
        return Ruling::Lacks(Input::ServiceAccount);
    }
    Ruling::finding(
        Severity::High,
        format!(
            "{} opened an IRSA token that neither its ServiceAccount {}/{} nor its spec binds to a role",
            case.describe_actor(),
            owner.namespace,
            owner.service_account
        ),
    )
}

fn pod_identity(case: &OpenCase<'_>, owner: &Pod) -> Ruling {
    let knowledge = &case.knowledge;
    if association(owner, knowledge).is_some() {
        return Ruling::Clear;
    }
    if !knowledge.associations_tell_of_absence_at(case.time) {
        return Ruling::Lacks(Input::Associations);
    }
    Ruling::finding(
        Severity::High,
        format!(
            "{} opened a Pod Identity token, but its ServiceAccount {}/{} has no association",
            case.describe_actor(),
            owner.namespace,
            owner.service_account
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{ROLE, Said, Scene, Who, Whose};

    const HIGH: Said = Said::Finds(Severity::High);

    #[test]
    fn irsa_cases() {
        let lacks = Said::Lacks(Input::ServiceAccount);
        for (what, scene, expected) in [
            ("nothing binds it", Scene::new(), HIGH),
            (
                "annotation",
                Scene::new().annotate("web", ROLE),
                Said::Clear,
            ),
            ("pod spec", Scene::new().env_role("web", ROLE), Said::Clear),
            (
                "an association is no IRSA binding",
                Scene::new().associate("web"),
                HIGH,
            ),
            (
                "not told of",
                Scene::new().without_service_accounts(),
                lacks,
            ),
            (
                "read before the event",
                Scene::new().accounts_read_at(-1),
                lacks,
            ),
            ("read at the event", Scene::new().accounts_read_at(0), HIGH),
            (
                "bound, as read before the event",
                Scene::new().accounts_read_at(-1).annotate("web", ROLE),
                Said::Clear,
            ),
            (
                "needs no associations",
                Scene::new().without_bindings(),
                HIGH,
            ),
        ] {
            let (who, whose) = (Who::Pod("web"), Whose::Pod("web"));
            let said = scene.open(who, whose, TokenKind::Irsa, unbound_token_open);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn pod_identity_cases() {
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
                "begun before the event",
                Scene::new().bindings_begun_at(-1, true),
                lacks,
            ),
            (
                "bound, in an old and incomplete snapshot",
                Scene::new().associate("web").bindings_begun_at(-1, false),
                Said::Clear,
            ),
            (
                "needs no ServiceAccount",
                Scene::new().without_service_accounts(),
                HIGH,
            ),
        ] {
            let (who, whose) = (Who::Pod("web"), Whose::Pod("web"));
            let said = scene.open(who, whose, TokenKind::PodIdentity, unbound_token_open);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn other_openers_and_kinds() {
        let scene = Scene::new();
        let identity = TokenKind::PodIdentity;
        for (who, whose, kind, expected) in [
            (Who::Pod("web"), Whose::Pod("web-2"), identity, HIGH),
            (Who::Pod("web"), Whose::Pod("api"), identity, Said::Clear),
            (Who::Host, Whose::Pod("web"), identity, Said::Clear),
            (Who::Conflict, Whose::Pod("web"), identity, Said::Clear),
            (
                Who::Unlisted("u"),
                Whose::Untold("u"),
                TokenKind::Unknown,
                Said::Lacks(Input::Pod),
            ),
            (
                Who::Pod("agent"),
                Whose::Pod("agent"),
                TokenKind::Irsa,
                Said::Lacks(Input::ServiceAccount),
            ),
            (
                Who::Pod("web"),
                Whose::Pod("web"),
                TokenKind::ServiceAccount,
                Said::Clear,
            ),
            (
                Who::Pod("web"),
                Whose::Pod("web"),
                TokenKind::Other,
                Said::Clear,
            ),
            (
                Who::Pod("web"),
                Whose::Pod("web"),
                TokenKind::Unknown,
                Said::Clear,
            ),
        ] {
            let said = scene.open(who, whose, kind, unbound_token_open);
            assert_eq!(said, expected, "{who:?} {whose:?} {kind:?}");
        }
    }
}
