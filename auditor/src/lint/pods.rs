//! Pods that do not get what their ServiceAccount is bound to.

use std::collections::BTreeMap;

use super::{
    finding::{Findings, Id, Remark, Subject},
    trust_policy::clip,
};
use crate::{
    association::Association,
    cluster::{Container, Pod},
};

/// How a ServiceAccount is bound; the association comes first where both are there.
#[derive(Clone, Copy)]
pub enum Binding<'a> {
    Association(&'a Association),
    Annotation { role: &'a str, audience: &'a str },
}

/// Pods by what is wrong with them: those of a Deployment are wrong together.
#[derive(Default)]
pub struct Pods {
    found: BTreeMap<(Id, Subject, &'static str), (Vec<String>, usize)>,
}

/// Of a kind so many are named.
const NAMED: usize = 3;

impl Pods {
    pub fn look(&mut self, pod: &Pod, binding: Binding<'_>) {
        // The webhook sees no static pod, and a mirror pod names no ServiceAccount. A file by hand may leave the spec out.
        if !pod.active || pod.mirror_hash.is_some() || pod.containers.is_empty() {
            return;
        }
        if let Some((id, why)) = problem(pod, binding) {
            let subject = Subject::service_account(&pod.namespace, &pod.service_account);
            let (names, count) = self.found.entry((id, subject, why)).or_default();
            if names.len() < NAMED {
                names.push(clip(&pod.name));
            }
            *count += 1;
        }
    }

    pub fn tell(self, findings: &mut Findings) {
        for ((id, subject, why), (names, count)) in self.found {
            let more = match count - names.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let message = format!("pod {}{more} {why}", names.join(", "));
            findings.add(&subject, None, Remark::new(id, message, remedy(id)));
        }
    }
}

fn problem(pod: &Pod, binding: Binding<'_>) -> Option<(Id, &'static str)> {
    if pod.containers.iter().any(|c| c.env.static_keys) {
        return Some((
            Id::PodStaticKeys,
            "has AWS_ACCESS_KEY_ID in its spec: SDKs take that before any role",
        ));
    }
    match binding {
        Binding::Association(_) if pod.labels.contains_key(FARGATE) => Some((
            Id::PodIdentityOnFargate,
            "runs on Fargate, where there is no Pod Identity Agent: its ServiceAccount's association gives it nothing",
        )),
        Binding::Association(association) => associated(pod, association),
        Binding::Annotation { role, audience } => annotated(pod, role, audience),
    }
}

/// EKS labels the pods of a Fargate profile so.
const FARGATE: &str = "eks.amazonaws.com/fargate-profile";

fn associated(pod: &Pod, association: &Association) -> Option<(Id, &'static str)> {
    // Not the other way round: an address may come from elsewhere (`valueFrom`), and then is not known here.
    let is_half = |c: &Container| {
        c.env.container_credentials_full_uri.is_some()
            && c.env.container_authorization_token_file.is_none()
    };
    if pod.containers.iter().any(is_half) {
        return Some((
            Id::PodPartialEnvironment,
            "sets one of AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE itself: then EKS's webhook sets neither",
        ));
    }
    if pod.has_pod_identity() {
        return None;
    }
    let is_older = association
        .created
        .zip(pod.created)
        .is_some_and(|(bound, made)| made < bound);
    Some(if is_older {
        (
            Id::PodOlderThanAssociation,
            "is older than the association, and has neither its variables nor its volume",
        )
    } else {
        (
            Id::PodNotInjected,
            "has neither variables nor volume of the association: EKS's webhook, which fails open, missed it",
        )
    })
}

fn has_token(pod: &Pod, audience: &str) -> bool {
    let mut tokens = pod.volumes.iter().flat_map(|volume| &volume.tokens);
    tokens.any(|token| token.audience.as_deref() == Some(audience))
}

fn annotated(pod: &Pod, role: &str, audience: &str) -> Option<(Id, &'static str)> {
    let is_half =
        |c: &Container| c.env.role_arn.is_some() && c.env.web_identity_token_file.is_none();
    if pod.containers.iter().any(is_half) {
        return Some((
            Id::PodPartialEnvironment,
            "sets one of AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE itself: then EKS's webhook sets neither",
        ));
    }
    match pod.env_role(None) {
        // The volume is stamped in any case; the variables may be there by `valueFrom`.
        None if has_token(pod, audience) => None,
        None => Some((
            Id::PodNotInjected,
            "has neither variables nor volume of the annotation: it was made before the annotation, or EKS's webhook, which fails open, missed it",
        )),
        Some(stamped) if stamped != role => Some((
            Id::PodRoleDrift,
            "was made with another role than the annotation names now, and keeps it",
        )),
        Some(_) => None,
    }
}

fn remedy(id: Id) -> &'static str {
    match id {
        Id::PodStaticKeys => "take the keys out of the spec, and revoke them",
        Id::PodIdentityOnFargate => "use IRSA there: annotate the ServiceAccount",
        Id::PodPartialEnvironment => "take the variable out of the pod's spec and restart it",
        _ => "restart it (kubectl rollout restart)",
    }
}
