//! Label sets. None holds a pid, path, pod, container or role: those are many, and change.

use prometheus_client::encoding::EncodeLabelSet;

use crate::event::{Body, Finding, OwnerRef, PodRef, Posture, PostureState, word};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EventLabels {
    pub event: &'static str,
    pub verdict: String,
    /// Of the token, or the endpoint's name.
    pub kind: String,
}

/// Empty where there is no pod, or its ServiceAccount is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FindingLabels {
    pub finding: String,
    pub severity: String,
    pub workload_namespace: String,
    pub workload_service_account: String,
    pub owner_namespace: String,
    pub owner_service_account: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReasonLabels {
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProbeLabels {
    pub hook: String,
    pub backend: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HookLabels {
    pub hook: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TechniqueLabels {
    pub technique: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BindingLabels {
    pub source: String,
    pub kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HashLabels {
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SourceLabels {
    pub source: &'static str,
}

impl EventLabels {
    pub fn of(body: &Body) -> Self {
        let none = String::new;
        let (verdict, kind) = match body {
            Body::TokenOpen(open) => (word(&open.verdict), word(&open.token.kind)),
            Body::CredentialConnect(connect) => {
                (word(&connect.verdict), connect.connection.endpoint.clone())
            }
            Body::ConnectionClosed(closed) => {
                (word(&closed.verdict), closed.connection.endpoint.clone())
            }
            Body::AgentAccept(accept) => (word(&accept.verdict), accept.endpoint.clone()),
            Body::Listen(listen) => (word(&listen.verdict), listen.socket.endpoint.clone()),
            Body::TokenReceived(received) => (
                word(&received.verdict),
                match (&received.token, &received.connection) {
                    (Some(token), _) => word(&token.kind),
                    (None, Some(connection)) => connection.endpoint.clone(),
                    (None, None) => none(),
                },
            ),
            Body::MemoryAccess(access) => (word(&access.verdict), word(&access.mode)),
            Body::SocketCreate(create) => (word(&create.verdict), create.socket.family.clone()),
            Body::Posture(posture) => (none(), word(&posture.state)),
            Body::Summary(summary) => (none(), summary.of.clone().unwrap_or_default()),
            Body::Ready(_) | Body::Stopped(_) | Body::Loss(_) | Body::Health(_) => (none(), none()),
        };
        Self {
            event: body.event(),
            verdict,
            kind,
        }
    }
}

impl FindingLabels {
    /// One for each finding that no policy exempts.
    pub fn of(body: &Body) -> Vec<Self> {
        let target;
        let (findings, pod, owner) = match body {
            Body::TokenOpen(open) => (&open.findings, &open.pod, &open.token.owner),
            Body::CredentialConnect(connect) => (&connect.findings, &connect.pod, &None),
            Body::ConnectionClosed(closed) => (&closed.findings, &closed.pod, &None),
            Body::AgentAccept(accept) => (&accept.findings, &accept.pod, &None),
            Body::Listen(listen) => (&listen.findings, &listen.pod, &None),
            Body::TokenReceived(received) => (
                &received.findings,
                &received.pod,
                match (&received.token, &received.connection) {
                    (Some(token), _) => &token.owner,
                    (None, Some(connection)) => &connection.owner,
                    (None, None) => &None,
                },
            ),
            Body::MemoryAccess(access) => {
                target = access.target.pod.as_ref().map(|pod| OwnerRef {
                    namespace: Some(pod.namespace.clone()),
                    name: Some(pod.name.clone()),
                    uid: pod.uid.clone(),
                    service_account: Some(pod.service_account.clone()),
                });
                (&access.findings, &access.pod, &target)
            }
            Body::SocketCreate(create) => (&create.findings, &create.pod, &None),
            Body::Posture(posture) => return Self::of_posture(posture),
            Body::Ready(_)
            | Body::Stopped(_)
            | Body::Summary(_)
            | Body::Loss(_)
            | Body::Health(_) => {
                return Vec::new();
            }
        };
        findings
            .iter()
            .filter(|finding| finding.exempted_by.is_none())
            .map(|finding| Self::new(finding, pod.as_ref(), owner.as_ref()))
            .collect()
    }

    /// What was raised; that it was cleared is no finding.
    fn of_posture(posture: &Posture) -> Vec<Self> {
        if posture.state == PostureState::Cleared {
            return Vec::new();
        }
        let findings = posture.findings.iter();
        findings
            .filter(|finding| finding.exempted_by.is_none())
            .map(|finding| Self {
                workload_namespace: posture.subject.namespace.to_string(),
                workload_service_account: posture.subject.service_account.to_string(),
                ..Self::new(finding, None, None)
            })
            .collect()
    }

    fn new(finding: &Finding, pod: Option<&PodRef>, owner: Option<&OwnerRef>) -> Self {
        let text = |name: Option<&str>| name.unwrap_or_default().to_owned();
        Self {
            finding: word(&finding.id),
            severity: word(&finding.severity),
            workload_namespace: text(pod.map(|p| &*p.namespace)),
            workload_service_account: text(pod.map(|p| &*p.service_account)),
            owner_namespace: text(owner.and_then(|o| o.namespace.as_deref())),
            owner_service_account: text(owner.and_then(|o| o.service_account.as_deref())),
        }
    }

    /// The same finding of nobody in particular.
    pub fn folded(&self) -> Self {
        const OTHER: &str = "other";
        Self {
            finding: self.finding.clone(),
            severity: self.severity.clone(),
            workload_namespace: OTHER.to_owned(),
            workload_service_account: OTHER.to_owned(),
            owner_namespace: OTHER.to_owned(),
            owner_service_account: OTHER.to_owned(),
        }
    }
}
