//! `role-drift`

use crate::{
    audit::{
        OpenCase,
        binding::annotated_role,
        ruling::{Input, Ruling},
    },
    event::{Relation, Severity, TokenKind},
};

/// IRSA: the role in the pod's environment is not the one that its ServiceAccount names now. The webhook stamps it once, at creation.
///
/// A ServiceAccount that names none is no drift: then the pod's spec is the binding. What was read of it before the event may agree, but not
/// accuse: a drift since then shows once it is read again.
pub fn role_drift(case: &OpenCase<'_>) -> Ruling {
    if !case.uses_own_identity() || case.token.kind != TokenKind::Irsa {
        return Ruling::Clear;
    }
    let Some(owner) = case.owner_pod else {
        return Ruling::Lacks(Input::Pod);
    };
    let container = match case.relation() {
        Relation::Own => case.actor.container_name(),
        _ => None,
    };
    let Some(stamped) = owner.env_role(container) else {
        return Ruling::Clear;
    };
    let knowledge = &case.knowledge;
    if !knowledge.tells_of_account(owner) {
        return Ruling::Lacks(Input::ServiceAccount);
    }
    match annotated_role(owner, knowledge) {
        Some(named) if is_same_role(stamped, named) => Ruling::Clear,
        // It may have been another's when that was read: put back meanwhile, or made anew.
        Some(_) if !knowledge.annotations_were_read_after(owner, case.time) => {
            Ruling::Lacks(Input::ServiceAccount)
        }
        Some(named) => Ruling::finding(
            Severity::High,
            format!(
                "{} runs with {stamped}, but its ServiceAccount {}/{} names {named} now",
                owner.full_name(),
                owner.namespace,
                owner.service_account
            ),
        ),
        None => Ruling::Clear,
    }
}

/// The webhook's `--compose-role-arn` takes `[path/]name` in the annotation and stamps the whole ARN.
fn is_same_role(stamped: &str, named: &str) -> bool {
    stamped == named
        || (!named.starts_with("arn:")
            && stamped
                .split_once(":role/")
                .is_some_and(|(_, name)| name == named))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{ROLE, Said, Scene, Who, Whose};

    const OLD: &str = "arn:aws:iam::111122223333:role/old";

    #[test]
    fn cases() {
        let high = Said::Finds(Severity::High);
        let old = || Scene::new().env_role("web", OLD);
        for (what, scene, expected) in [
            ("another role", old().annotate("web", ROLE), high),
            ("the same role", old().annotate("web", OLD), Said::Clear),
            (
                "the same role by its name",
                old().annotate("web", "old"),
                Said::Clear,
            ),
            (
                "another role by its name",
                old().annotate("web", "web"),
                high,
            ),
            ("the end of its name", old().annotate("web", "ld"), high),
            ("no annotation", old(), Said::Clear),
            (
                "nothing stamped",
                Scene::new().annotate("web", ROLE),
                Said::Clear,
            ),
            (
                "not told of",
                old().without_service_accounts(),
                Said::Lacks(Input::ServiceAccount),
            ),
            (
                "another role, as read before the event",
                old().accounts_read_at(-1).annotate("web", ROLE),
                Said::Lacks(Input::ServiceAccount),
            ),
            (
                "another role, as read at the event",
                old().accounts_read_at(0).annotate("web", ROLE),
                high,
            ),
            (
                "the same role, as read before the event",
                old().accounts_read_at(-1).annotate("web", OLD),
                Said::Clear,
            ),
            (
                "no annotation, as read before the event",
                old().accounts_read_at(-1),
                Said::Clear,
            ),
            (
                "told that there is no such ServiceAccount",
                old().edit(Scene::account_is_gone),
                Said::Clear,
            ),
            (
                "needs no associations",
                old().annotate("web", ROLE).without_bindings(),
                high,
            ),
            (
                "stamped into another container only",
                Scene::new().annotate("web", ROLE).edit_pod("web", |pod| {
                    let mut sidecar = pod.containers[0].clone();
                    sidecar.name = "sidecar".into();
                    sidecar.env.role_arn = Some(OLD.into());
                    pod.containers.push(sidecar);
                }),
                Said::Clear,
            ),
        ] {
            let (who, whose) = (Who::Pod("web"), Whose::Pod("web"));
            let said = scene.open(who, whose, TokenKind::Irsa, role_drift);
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn other_openers_and_kinds() {
        let scene = Scene::new().env_role("web", OLD).annotate("web", ROLE);
        let high = Said::Finds(Severity::High);
        for (who, kind, expected) in [
            (Who::Pod("web-2"), TokenKind::Irsa, high),
            (Who::Pod("api"), TokenKind::Irsa, Said::Clear),
            (Who::Host, TokenKind::Irsa, Said::Clear),
            (Who::Conflict, TokenKind::Irsa, Said::Clear),
            (Who::Pod("web"), TokenKind::PodIdentity, Said::Clear),
            (Who::Pod("web"), TokenKind::ServiceAccount, Said::Clear),
        ] {
            let said = scene.open(who, Whose::Pod("web"), kind, role_drift);
            assert_eq!(said, expected, "{who:?} {kind:?}");
        }
    }
}
