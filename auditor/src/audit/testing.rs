//! A small cluster for the tables of cases: pods `shop/web`, `shop/web-2` (the same ServiceAccount), `payments/api` and the agent's, of
//! whose ServiceAccount nothing is told.

mod scene;

use jiff::{SignedDuration, Timestamp};

use super::ruling::{Input, Ruling};
use crate::{
    cluster::{ProjectedVolume, TokenSource},
    event::{Finding, FindingId, Namespaces, OwnerRef, Process, Severity},
};

pub(super) use scene::Scene;

pub(super) const ROLE: &str = "arn:aws:iam::111122223333:role/web";

/// When everything happens.
pub(super) fn event_time() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(super) fn seconds_later(seconds: i64) -> Timestamp {
    event_time() + SignedDuration::from_secs(seconds)
}

/// A ruling without its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Clear,
    Finds(Severity),
    Lacks(Input),
}

impl From<Ruling> for Said {
    fn from(ruling: Ruling) -> Self {
        match ruling {
            Ruling::Clear => Self::Clear,
            Ruling::Finding { severity, message } => {
                assert!(!message.is_empty());
                Self::Finds(severity)
            }
            Ruling::Lacks(input) => Self::Lacks(input),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Who {
    /// By its name.
    Pod(&'static str),
    Unlisted(&'static str),
    Host,
    Conflict,
    Unknown,
}

/// Whose token.
#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Pod(&'static str),
    /// A pod that the cluster has not told of.
    Untold(&'static str),
    Nobody,
}

pub(super) fn ids(findings: &[Finding]) -> Vec<FindingId> {
    findings.iter().map(|f| f.id).collect()
}

/// The pod has the token that EKS's webhook gives it for Pod Identity.
pub(super) fn with_identity(scene: Scene, pod: &str) -> Scene {
    scene.edit_pod(pod, |pod| {
        pod.volumes = vec![ProjectedVolume {
            name: "eks-pod-identity-token".into(),
            tokens: vec![TokenSource {
                path: "eks-pod-identity-token".into(),
                audience: Some("pods.eks.amazonaws.com".into()),
                expiration_seconds: Some(86_400),
            }],
            ..ProjectedVolume::default()
        }];
    })
}

fn untold(uid: &str) -> OwnerRef {
    OwnerRef {
        namespace: None,
        name: None,
        uid: uid.into(),
        service_account: None,
    }
}

pub(super) fn process() -> Process {
    Process {
        pid: 4242,
        tid: 4242,
        start_time: seconds_later(-1),
        comm: "cat".into(),
        exe: Some("/usr/bin/cat".into()),
        exe_inode: None,
        exe_upper_layer: Some(false),
        exe_unlinked: false,
        args: vec!["cat".into(), "token".into()],
        uid: 0,
        gid: 0,
        capabilities: Vec::new(),
        exec_session: Some(false),
        tty: None,
        login_uid: None,
        parents: Vec::new(),
        namespaces: Namespaces {
            pid: 1,
            mnt: 2,
            net: 3,
        },
        host_namespaces: false,
    }
}
