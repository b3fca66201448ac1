//! What is judged, what is known at that moment, and what comes of it.

use jiff::Timestamp;

use super::{Familiarity, PodHistory};
use crate::{
    association::Snapshot,
    cluster::{Pod, ServiceAccount, ServiceAccounts},
    event::{
        Binding, Container, EndpointKind, Evidence, Finding, Outcome, OwnerRef, Process, Relation,
        TokenRef, Verdict,
    },
    policy::{Policy, Subject},
};

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    Pod {
        pod: &'a Pod,
        container: Option<&'a Container>,
    },
    /// The process is in a pod, but the cluster has not told of that pod.
    UnlistedPod { uid: &'a str },
    /// Outside every pod.
    Host,
    /// Cgroup and namespaces disagree: the process could belong to any of these (namespace/name, or `host`).
    Conflict { candidates: &'a [String] },
    /// Attribution failed.
    Unknown,
}

/// What the judgement rests on besides the event.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    pub service_accounts: &'a ServiceAccounts,
    /// Null with `--associations none`, and before the first sync.
    pub bindings: Option<&'a Snapshot>,
    pub policy: &'a Policy,
    pub cluster_name: Option<&'a str>,
    /// When the judgement is given.
    pub now: Timestamp,
}

/// A token was opened.
#[derive(Clone, Copy, Debug)]
pub struct OpenCase<'a> {
    /// When it happened.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    /// argv of the process's parents, nearest first, as far as they are known: of an exec session only.
    pub ancestors_args: &'a [Vec<String>],
    pub token: &'a TokenRef,
    /// The token's owner; null where the cluster has not told of it.
    pub owner_pod: Option<&'a Pod>,
    pub for_write: bool,
    /// Whose tokens this opener took within ten minutes, as [`Harvests`](super::Harvests) tells.
    pub taken: &'a [OwnerRef],
    /// What the learned baseline says of the opener's executable.
    pub familiarity: Familiarity,
    pub knowledge: Knowledge<'a>,
}

/// An open of a token was refused; token and owner are as the path claims.
#[derive(Clone, Copy, Debug)]
pub struct DeniedCase<'a> {
    /// When it happened.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub token: &'a TokenRef,
    /// The claimed owner; null where the cluster has not told of it.
    pub owner_pod: Option<&'a Pod>,
    /// Positive, as in errno(3).
    pub errno: i32,
    pub knowledge: Knowledge<'a>,
}

/// A credential endpoint was connected to, and the outcome is known or was not within its time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectCase<'a> {
    /// When the connect was made.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub endpoint: EndpointKind,
    pub outcome: Outcome,
    /// From the connect to its outcome; null where there is none.
    pub duration_us: Option<u64>,
    /// The connector's; null where it is no pod.
    pub history: Option<PodHistory>,
    /// What the learned baseline says of the connector's executable.
    pub familiarity: Familiarity,
    pub knowledge: Knowledge<'a>,
}

/// A connection to a credential endpoint has ended.
#[derive(Clone, Copy, Debug)]
pub struct CloseCase<'a> {
    /// When it was closed.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    pub endpoint: EndpointKind,
    pub bytes_received: u64,
    pub knowledge: Knowledge<'a>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// `associations`, `serviceaccount`, `pod`, `owner`, `process`, `outcome`, `namespaces`: what a rule lacked.
    pub undetermined: Vec<String>,
    /// Null for connects.
    pub relation: Option<Relation>,
    /// In the order of the design's table.
    pub findings: Vec<Finding>,
    /// The token owner's, or the connector's.
    pub binding: Option<Binding>,
    /// About the pod whose binding is given.
    pub evidence: Evidence,
}

impl Judgement {
    /// A rule that could have decided lacked that: whatever is no violation is undetermined.
    pub fn lack(&mut self, what: &str) {
        if !self.undetermined.iter().any(|lacking| lacking == what) {
            self.undetermined.push(what.to_owned());
        }
        if self.verdict != Verdict::Violation {
            self.verdict = Verdict::Undetermined;
        }
    }
}

impl<'a> Actor<'a> {
    #[must_use]
    pub fn pod(&self) -> Option<&'a Pod> {
        match self {
            Self::Pod { pod, .. } => Some(pod),
            Self::UnlistedPod { .. } | Self::Host | Self::Conflict { .. } | Self::Unknown => None,
        }
    }

    /// Name of the container in the pod's spec.
    pub(super) fn container_name(&self) -> Option<&'a str> {
        match self {
            Self::Pod { container, .. } => container.and_then(|c| c.name.as_deref()),
            Self::UnlistedPod { .. } | Self::Host | Self::Conflict { .. } | Self::Unknown => None,
        }
    }

    /// As messages name it.
    pub(super) fn describe(&self, process: &Process) -> String {
        match self {
            Self::Pod { pod, .. } => pod.full_name(),
            Self::UnlistedPod { uid } => format!("pod {uid}"),
            Self::Host => format!("a host process ({})", process.comm),
            Self::Conflict { .. } | Self::Unknown => {
                format!("an unattributed process ({})", process.comm)
            }
        }
    }

    /// As exemptions match it.
    pub(super) fn subject(&self, process: &'a Process, relation: Option<Relation>) -> Subject<'a> {
        let container = match self {
            Self::Pod { container, .. } => *container,
            Self::UnlistedPod { .. } | Self::Host | Self::Conflict { .. } | Self::Unknown => None,
        };
        Subject {
            namespace: self.pod().map(|pod| &*pod.namespace),
            service_account: self.pod().map(|pod| &*pod.service_account),
            image: container.and_then(|c| c.image.as_deref()),
            executable: process.exe.as_deref(),
            relation,
        }
    }
}

impl<'a> Knowledge<'a> {
    #[must_use]
    pub fn service_account(&self, pod: &Pod) -> Option<&'a ServiceAccount> {
        self.service_accounts
            .get(&pod.namespace, &pod.service_account)
    }

    /// Whether an annotation that is not there now was not there at `time` either.
    pub(super) fn annotations_tell_of_absence_at(&self, pod: &Pod, time: Timestamp) -> bool {
        self.tells_of_account(pod) && self.annotations_were_read_after(pod, time)
    }

    /// Whether anything is known of the pod's ServiceAccount, be it that there is none.
    pub(super) fn tells_of_account(&self, pod: &Pod) -> bool {
        self.service_accounts
            .tells_of(&pod.namespace, &pod.service_account)
    }

    /// Whether what is known of the pod's ServiceAccount was read at `time` or later.
    pub(super) fn annotations_were_read_after(&self, pod: &Pod, time: Timestamp) -> bool {
        self.service_accounts
            .told_at(&pod.namespace, &pod.service_account)
            .is_some_and(|told_at| told_at >= time)
    }

    pub(super) fn associations_tell_of_absence_at(&self, time: Timestamp) -> bool {
        self.bindings
            .is_some_and(|snapshot| snapshot.tells_of_absence_at(time))
    }
}

impl OpenCase<'_> {
    /// The owner as messages name it.
    pub(super) fn describe_owner(&self) -> String {
        describe_owner(self.owner_pod, self.token)
    }

    pub(super) fn describe_actor(&self) -> String {
        self.actor.describe(self.process)
    }

    pub(super) fn relation(&self) -> Relation {
        super::relation(&self.actor, self.token.owner.as_ref())
    }

    /// The owner's identity is used by a pod that has it.
    pub(super) fn uses_own_identity(&self) -> bool {
        matches!(
            self.relation(),
            Relation::Own | Relation::SameServiceAccount
        )
    }
}

impl DeniedCase<'_> {
    pub(super) fn describe_owner(&self) -> String {
        describe_owner(self.owner_pod, self.token)
    }

    pub(super) fn relation(&self) -> Relation {
        super::relation(&self.actor, self.token.owner.as_ref())
    }
}

fn describe_owner(pod: Option<&Pod>, token: &TokenRef) -> String {
    if let Some(pod) = pod {
        return pod.full_name();
    }
    match &token.owner {
        Some(owner) => match (&owner.namespace, &owner.name) {
            (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
            _ => format!("pod {}", owner.uid),
        },
        None => "an unknown pod".to_owned(),
    }
}
