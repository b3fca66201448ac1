//! Which role a pod is bound to.

use super::Knowledge;
use crate::{
    association::Association,
    cluster::Pod,
    event::{Binding, BindingKind, TokenKind},
};

/// The binding that a token of this kind stands for; null where there is none, and for kinds that are no credential of AWS.
#[must_use]
pub fn binding_of(pod: &Pod, kind: TokenKind, knowledge: &Knowledge<'_>) -> Option<Binding> {
    match kind {
        TokenKind::PodIdentity => pod_identity(pod, knowledge),
        TokenKind::Irsa => irsa(pod, knowledge),
        TokenKind::ServiceAccount | TokenKind::Other | TokenKind::Unknown => None,
    }
}

/// The pod's own, of either kind: an association wins over an annotation, as it does in the webhook.
#[must_use]
pub fn own_binding(pod: &Pod, knowledge: &Knowledge<'_>) -> Option<Binding> {
    pod_identity(pod, knowledge).or_else(|| irsa(pod, knowledge))
}

/// How EKS names the STS session of a Pod Identity role: `eks-<first 10 of cluster>-<first 10 of pod>-`, then a UUID.
#[must_use]
pub fn session_name_prefix(cluster: &str, pod: &str) -> String {
    let first_10 = |name: &str| name.chars().take(10).collect::<String>();
    format!("eks-{}-{}-", first_10(cluster), first_10(pod))
}

pub(super) fn association<'a>(pod: &Pod, knowledge: &Knowledge<'a>) -> Option<&'a Association> {
    knowledge
        .bindings?
        .get(&pod.namespace, &pod.service_account)
}

/// The annotation of the pod's ServiceAccount.
pub(super) fn annotated_role<'a>(pod: &Pod, knowledge: &Knowledge<'a>) -> Option<&'a str> {
    knowledge.service_account(pod)?.role_arn.as_deref()
}

fn pod_identity(pod: &Pod, knowledge: &Knowledge<'_>) -> Option<Binding> {
    let snapshot = knowledge.bindings?;
    let association = association(pod, knowledge)?;
    Some(Binding {
        source: snapshot.source.to_string(),
        generation: Some(snapshot.generation),
        hash: Some(snapshot.hash.clone()),
        kind: BindingKind::PodIdentity,
        association_id: Some(association.id.to_string()),
        association_arn: association.arn.as_deref().map(ToOwned::to_owned),
        role_arn: association.role_arn.as_deref().map(ToOwned::to_owned),
        target_role_arn: association
            .target_role_arn
            .as_deref()
            .map(ToOwned::to_owned),
        external_id: association.external_id.as_deref().map(ToOwned::to_owned),
        session_tags: Some(!association.disable_session_tags),
        // Without --cluster-name, by what the association itself says.
        session_name_prefix: knowledge
            .cluster_name
            .or(association.cluster.as_deref())
            .or(association.cluster.as_deref())
            .map(|cluster| session_name_prefix(cluster, &pod.name)),
    })
}

fn irsa(pod: &Pod, knowledge: &Knowledge<'_>) -> Option<Binding> {
    let annotated = annotated_role(pod, knowledge).map(|role| ("serviceaccount", role));
    let stamped = || pod.env_role(None).map(|role| ("pod-spec", role));
    let (source, role) = annotated.or_else(stamped)?;
    Some(Binding {
        source: source.to_owned(),
        generation: None,
        hash: None,
        kind: BindingKind::Irsa,
        association_id: None,
        association_arn: None,
        role_arn: Some(role.to_owned()),
        target_role_arn: None,
        external_id: None,
        session_tags: None,
        session_name_prefix: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::testing::{ROLE, Scene};

    #[test]
    fn sessions_are_named_by_ten_characters_each() {
        assert_eq!(session_name_prefix("prod", "api-1"), "eks-prod-api-1-");
        assert_eq!(
            session_name_prefix("eksworkshop-eu", "app1-7c9d-x"),
            "eks-eksworksho-app1-7c9d--"
        );
    }

    #[test]
    fn an_association_wins_then_the_annotation_then_the_spec() {
        let none = Scene::new();
        let in_spec = Scene::new().env_role("web", "arn:spec");
        let annotated = in_spec.clone().annotate("web", "arn:annotated");
        let associated = annotated.clone().associate("web");
        for (scene, expected) in [
            (&none, None),
            (&in_spec, Some(("pod-spec", "arn:spec"))),
            (&annotated, Some(("serviceaccount", "arn:annotated"))),
            (&associated, Some(("file:associations.json", ROLE))),
        ] {
            let binding = own_binding(scene.pod("web"), &scene.knowledge());
            let found = binding
                .as_ref()
                .map(|b| (&*b.source, b.role_arn.as_deref().unwrap()));
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn without_a_cluster_name_the_associations_own_counts() {
        let scene = Scene::new().associate("web");
        let mut association = association(scene.pod("web"), &scene.knowledge())
            .unwrap()
            .clone();
        association.cluster = Some("staging".into());
        let arn = "arn:aws:eks:eu-west-1:111122223333:podidentityassociation/staging/a-web";
        association.arn = Some(arn.into());
        let scene = scene.edit(|s| s.associations = vec![association]);
        let scene = scene.bindings_begun_at(1, true);
        let prefix = |cluster_name| {
            let mut knowledge = scene.knowledge();
            knowledge.cluster_name = cluster_name;
            let binding = own_binding(scene.pod("web"), &knowledge).unwrap();
            assert_eq!(binding.association_arn.as_deref(), Some(arn));
            binding.session_name_prefix
        };
        assert_eq!(prefix(None).as_deref(), Some("eks-staging-web-"));
        assert_eq!(prefix(Some("prod")).as_deref(), Some("eks-prod-web-"));
    }

    #[test]
    fn the_tokens_kind_says_which_binding_counts() {
        let scene = Scene::new()
            .annotate("web", "arn:annotated")
            .associate("web");
        let of = |pod, kind| binding_of(scene.pod(pod), kind, &scene.knowledge());
        let binding = of("web", TokenKind::PodIdentity).unwrap();
        assert_eq!(binding.kind, BindingKind::PodIdentity);
        assert_eq!(binding.association_id.as_deref(), Some("a-web"));
        assert_eq!(
            binding.session_name_prefix.as_deref(),
            Some("eks-prod-web-")
        );
        assert_eq!(binding.generation, Some(1));
        assert_eq!(binding.hash.as_deref(), Some("hash"));
        let binding = of("web", TokenKind::Irsa).unwrap();
        assert_eq!(binding.kind, BindingKind::Irsa);
        assert_eq!(binding.role_arn.as_deref(), Some("arn:annotated"));
        for kind in [
            TokenKind::ServiceAccount,
            TokenKind::Other,
            TokenKind::Unknown,
        ] {
            assert_eq!(of("web", kind), None);
        }
        assert_eq!(of("api", TokenKind::PodIdentity), None);
    }
}
