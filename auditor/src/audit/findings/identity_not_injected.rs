//! `identity-not-injected`

use jiff::Timestamp;

use crate::{
    audit::{
        Knowledge,
        binding::{annotated_role, association},
        ruling::Ruling,
        token::IRSA_AUDIENCE,
    },
    cluster::Pod,
    event::Severity,
};

/// A binding exists, but the running pod lacks what EKS's webhook stamps for it. It does that once, when the pod is created, so a pod that is
/// older than its binding, or was made before the webhook knew of it, stays without.
///
/// Rests only on what is there: the spec of a pod does not change, and a binding that is not known of raises nothing.
pub fn identity_not_injected(pod: &Pod, knowledge: &Knowledge<'_>) -> Ruling {
    // The webhook sees no static pod, and a mirror pod names no ServiceAccount.
    if !pod.active || pod.mirror_hash.is_some() || pod.has_pod_identity() {
        return Ruling::Clear;
    }
    let name = pod.full_name();
    let account = format!("{}/{}", pod.namespace, pod.service_account);
    // What was read before the pod was made may have been taken away by then.
    let was_there = |read_at: Option<Timestamp>| {
        pod.created
            .is_none_or(|created| read_at.is_some_and(|read_at| read_at >= created))
    };
    let snapshot_at = knowledge.bindings.map(|snapshot| snapshot.started_at);
    let account_at = knowledge
        .service_accounts
        .told_at(&pod.namespace, &pod.service_account);
    if let Some(association) = association(pod, knowledge)
        && was_there(snapshot_at)
    {
        let id = &association.id;
        let message = match pod.env_role(None) {
            Some(old) => format!(
                "{name} still runs as its old IRSA role {old}, though association {id} binds its ServiceAccount {account}; restart the pod"
            ),
            None => format!(
                "{name} lacks the Pod Identity volume and variables, though association {id} binds its ServiceAccount {account}{}",
                why(pod, association.created)
            ),
        };
        return Ruling::finding(Severity::Medium, message);
    }
    match annotated_role(pod, knowledge) {
        Some(role) if !has_irsa(pod, knowledge) && was_there(account_at) => Ruling::finding(
            Severity::Medium,
            format!(
                "{name} lacks the IRSA volume and variables, though its ServiceAccount {account} names {role}; restart the pod, and check that EKS's pod-identity-webhook works"
            ),
        ),
        Some(_) | None => Ruling::Clear,
    }
}

fn why(pod: &Pod, associated: Option<Timestamp>) -> &'static str {
    match (pod.created, associated) {
        (Some(created), Some(associated)) if created < associated => {
            ", which was made after the pod; restart the pod"
        }
        (Some(_), Some(_)) => {
            ", which is older than the pod; restart the pod, and check that EKS's pod-identity-webhook works"
        }
        _ => "; restart the pod",
    }
}

/// Either part of what is stamped: the rest may come from elsewhere (`envFrom`).
fn has_irsa(pod: &Pod, knowledge: &Knowledge<'_>) -> bool {
    let own_audience = knowledge
        .service_account(pod)
        .and_then(|account| account.audience.as_deref());
    let env = pod
        .containers
        .iter()
        .any(|c| c.env.role_arn.is_some() || c.env.web_identity_token_file.is_some());
    env || pod
        .volumes
        .iter()
        .flat_map(|v| &v.tokens)
        .filter_map(|token| token.audience.as_deref())
        .any(|audience| audience == IRSA_AUDIENCE || Some(audience) == own_audience)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::testing::{ROLE, Said, Scene, seconds_later},
        cluster::testing::token_volume,
    };

    const MEDIUM: Said = Said::Finds(Severity::Medium);
    const AGENT_URI: &str = "http://169.254.170.23/v1/credentials";

    fn with_volume(scene: Scene, audience: &str) -> Scene {
        scene.edit_pod("web", |pod| {
            pod.volumes.push(token_volume("injected", audience));
        })
    }

    fn with_agent_uri(scene: Scene) -> Scene {
        scene.edit_pod("web", |pod| {
            pod.containers[0].env.container_credentials_full_uri = Some(AGENT_URI.into());
        })
    }

    #[test]
    fn cases() {
        let new = Scene::new;
        let associated = || Scene::new().associate("web");
        let annotated = || Scene::new().annotate("web", ROLE);
        for (what, scene, expected) in [
            ("no binding", new(), Said::Clear),
            ("associated", associated(), MEDIUM),
            (
                "associated, in an old and incomplete snapshot",
                associated().bindings_begun_at(-80, false),
                MEDIUM,
            ),
            (
                "associated, in a snapshot older than the pod",
                associated().bindings_begun_at(-100, true),
                Said::Clear,
            ),
            (
                "associated, with the agent's address",
                with_agent_uri(associated()),
                Said::Clear,
            ),
            (
                "associated, with the volume",
                with_volume(associated(), "pods.eks.amazonaws.com"),
                Said::Clear,
            ),
            (
                "associated, with IRSA's only",
                associated().env_role("web", ROLE),
                MEDIUM,
            ),
            (
                "bindings not known",
                associated().without_bindings(),
                Said::Clear,
            ),
            ("another's association", new().associate("api"), Said::Clear),
            ("annotated", annotated(), MEDIUM),
            (
                "annotated, as read after the pod was made",
                new().accounts_read_at(-80).annotate("web", ROLE),
                MEDIUM,
            ),
            (
                "annotated, as read before the pod was made",
                new().accounts_read_at(-1000).annotate("web", ROLE),
                Said::Clear,
            ),
            (
                "annotated, with the role",
                annotated().env_role("web", ROLE),
                Said::Clear,
            ),
            (
                "annotated, with another role: a drift",
                annotated().env_role("web", "arn:old"),
                Said::Clear,
            ),
            (
                "annotated, with the volume",
                with_volume(annotated(), "sts.amazonaws.com"),
                Said::Clear,
            ),
            (
                "annotated, with another volume",
                with_volume(annotated(), "vault"),
                MEDIUM,
            ),
            (
                "annotated, and Pod Identity injected",
                with_agent_uri(annotated()),
                Said::Clear,
            ),
            (
                "ServiceAccounts not known",
                annotated().without_service_accounts(),
                Said::Clear,
            ),
            (
                "associated, and has ended",
                associated().edit_pod("web", |pod| pod.active = false),
                Said::Clear,
            ),
            (
                "associated, a static pod",
                associated().edit_pod("web", |pod| pod.mirror_hash = Some("1db6".into())),
                Said::Clear,
            ),
        ] {
            let said: Said = identity_not_injected(scene.pod("web"), &scene.knowledge()).into();
            assert_eq!(said, expected, "{what}");
        }
    }

    #[test]
    fn says_why_and_what_to_do() {
        let associated = Scene::new().associate("web");
        for (scene, part) in [
            (associated.clone(), "; restart the pod"),
            (
                associated.clone().associated_at(-10),
                "which was made after the pod; restart",
            ),
            (
                associated.clone().associated_at(-1000),
                "which is older than the pod; restart the pod, and check",
            ),
            (
                associated.env_role("web", "arn:old"),
                "still runs as its old IRSA role arn:old, though association a-web",
            ),
        ] {
            // The pod was made 86 s before the event.
            let created = scene.pod("web").created.unwrap();
            assert_eq!(created, seconds_later(-86));
            let ruling = identity_not_injected(scene.pod("web"), &scene.knowledge());
            let Ruling::Finding { message, .. } = ruling else {
                panic!("{part}");
            };
            assert!(message.contains(part), "{message}");
        }
    }
}
