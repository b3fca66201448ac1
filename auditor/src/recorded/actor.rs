//! Who did it, as far as a line tells.

use jiff::Timestamp;

use super::{Body, Line};
use crate::{
    cluster::{Container, Pod},
    event::{self, FindingId, OwnerRef, PodRef},
};

/// A UID that no pod has: the line does not tell it.
const UNTOLD: &str = "not on the line";

/// An [`Actor`](crate::audit::Actor) that is its own owner.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Pod(Box<Pod>),
    Unlisted(String),
    Host,
    Conflict(Vec<String>),
    Unknown,
}

/// `line` tells of the process: of a connection's end that is the connect.
pub(super) fn who(line: &Line, known: impl FnOnce(&str) -> Option<Pod>) -> Who {
    let by = line.attribution().map_or("unknown", |a| a.process.as_str());
    if let Some(told) = line.pod() {
        let mut pod = known(&told.uid).unwrap_or_else(|| pod(told));
        as_judged(&mut pod, line);
        return Who::Pod(Box::new(pod));
    }
    match by {
        "host" => Who::Host,
        "conflict" => Who::Conflict(
            line.evidence()
                .map_or_else(Vec::new, |e| e.candidates.clone()),
        ),
        "cgroup" | "cgroup-ancestor" | "cgroup-only" => Who::Unlisted(unlisted(line)),
        _ => Who::Unknown,
    }
}

/// What the line does not tell of the pod's spec, and the recorded verdict rests on.
fn as_judged(pod: &mut Pod, line: &Line) {
    let Some(process) = line.process() else {
        return;
    };
    if process.exec_session.is_none() && !line.lacked("process") {
        pod.share_process_namespace = true;
    }
    if matches!(line.body, Body::SocketCreate(_)) && line.finding(FindingId::RawSocket).is_none() {
        pod.host_network = true;
    }
    let session = line.finding(FindingId::ExecSessionTokenOpen);
    if session.is_some_and(|finding| finding.message.starts_with("a probe or hook of ")) {
        let name = line.container().and_then(|c| c.name.as_deref());
        container(pod, name).commands.push(process.args.clone());
    }
}

/// As the line names it, with an empty spec.
pub(super) fn pod(told: &PodRef) -> Pod {
    Pod {
        owner: told.owner.clone(),
        labels: told.labels.clone(),
        ..empty(&OwnerRef {
            namespace: Some(told.namespace.clone()),
            name: Some(told.name.clone()),
            uid: told.uid.clone(),
            service_account: Some(told.service_account.clone()),
        })
    }
}

/// Null where the cluster had not told of it.
pub(super) fn pod_of_owner(owner: &OwnerRef) -> Option<Pod> {
    owner.namespace.as_ref().map(|_| empty(owner))
}

fn empty(owner: &OwnerRef) -> Pod {
    let name = |name: &Option<std::sync::Arc<str>>| name.clone().unwrap_or_else(|| "".into());
    Pod {
        namespace: name(&owner.namespace),
        name: name(&owner.name),
        uid: owner.uid.clone(),
        mirror_hash: None,
        service_account: name(&owner.service_account),
        owner: None,
        labels: std::collections::BTreeMap::new(),
        created: None,
        node_name: None,
        host_network: false,
        host_pid: false,
        share_process_namespace: false,
        ips: Vec::new(),
        active: true,
        containers: Vec::new(),
        volumes: Vec::new(),
    }
}

/// The pod's container of that name, or one without a name, made where it is missing.
pub(super) fn container<'p>(pod: &'p mut Pod, name: Option<&str>) -> &'p mut Container {
    let name = name.unwrap_or_default();
    let at = match pod.containers.iter().position(|c| *c.name == *name) {
        Some(at) => at,
        None => {
            pod.containers.push(Container {
                name: name.into(),
                ..Container::default()
            });
            pod.containers.len() - 1
        }
    };
    &mut pod.containers[at]
}

/// Whoever it is, it is the owner where the relation says so.
fn unlisted(line: &Line) -> String {
    let own = match &line.body {
        Body::TokenOpen(open) => open.token.owner.as_ref(),
        Body::TokenReceived(received) => owner_of_received(received),
        _ => None,
    };
    own.filter(|_| line.relation() == Some(event::Relation::Own))
        .map_or_else(|| UNTOLD.to_owned(), |owner| owner.uid.to_string())
}

pub(super) fn owner_of_received(received: &event::TokenReceived) -> Option<&OwnerRef> {
    let of_token = received.token.as_ref().and_then(|t| t.owner.as_ref());
    let of_connection = received.connection.as_ref().and_then(|c| c.owner.as_ref());
    of_token.or(of_connection)
}

/// Puts into the spec what the evidence says that it held.
pub(super) fn with_evidence(
    pod: &mut Pod,
    evidence: &event::Evidence,
    binding: Option<&event::Binding>,
    acting_container: Option<&str>,
    time: Timestamp,
) {
    let injected = &evidence.injected;
    pod.created = evidence.pod_age_ms.and_then(|age| {
        let age = jiff::SignedDuration::from_millis(i64::try_from(age).ok()?);
        time.checked_sub(age).ok()
    });
    let own = &mut container(pod, acting_container).env;
    own.role_arn = injected.irsa_role.as_deref().map(Into::into);
    own.region = injected.region.as_deref().map(Into::into);
    if injected.pod_identity {
        own.container_credentials_full_uri = Some("http://169.254.170.23/v1/credentials".into());
    }
    // Another container's than the acting one.
    if injected.irsa_role.is_none()
        && let Some(binding) = binding.filter(|binding| binding.source == "pod-spec")
    {
        let other = match acting_container {
            Some("another") => "yet another",
            _ => "another",
        };
        container(pod, Some(other)).env.role_arn = binding.role_arn.as_deref().map(Into::into);
    }
}

/// As `evidence.taken` names an owner.
pub(crate) fn owner_name(owner: &OwnerRef) -> String {
    match (&owner.namespace, &owner.name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => format!("pod {}", owner.uid),
    }
}

/// From such a name alone, which stands for the UID, too.
pub(crate) fn owner_named(name: &str) -> OwnerRef {
    let (namespace, pod) = match name.split_once('/') {
        Some((namespace, pod)) => (Some(namespace.into()), Some(pod.into())),
        None => (None, None),
    };
    OwnerRef {
        namespace,
        name: pod,
        uid: name.into(),
        service_account: None,
    }
}
