//! `--associations ack`: the `PodIdentityAssociation` resources of the AWS controller for EKS (ACK). They are what that
//! controller manages: associations made by other means are not among them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::{Association, Heard, Ledger, LiveSource, Reading};
use crate::kube::{Api, Change, ListWatch, Resource};

/// An association exists before ACK has written so into the resource, and the resource before we are told of it.
const LAG: Duration = Duration::from_secs(10);
/// How often a quiet watch is heard: kube-apiserver sends bookmarks about once a minute.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// All namespaces'.
#[must_use]
pub fn resource() -> Resource {
    Resource {
        api: "/apis/eks.services.k8s.aws/v1alpha1",
        plural: "podidentityassociations",
        namespace: None,
        field_selector: None,
        from_cache: false,
    }
}

/// Watches in tasks of their own, which end when nobody listens. Those of other clusters than `cluster` are left out.
#[must_use]
pub fn watch_ack(api: Api, cluster: Option<Arc<str>>) -> LiveSource {
    let (sender, receiver) = watch::channel(Heard::default());
    let (sink, mut changes) = mpsc::channel(16);
    tokio::spawn(ListWatch::new(api, resource(), sink).run());
    tokio::spawn(async move {
        let mut state = State::new(cluster);
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => state.take(change),
                    None => return,
                },
                () = sender.closed() => return,
            }
            // Those that came together are told of together.
            while let Ok(change) = changes.try_recv() {
                state.take(change);
            }
            sender.send_replace(state.heard());
        }
    });
    LiveSource::new(receiver)
}

/// As the resource tells of it: [SRC ack eks-controller v1.20.0, config/crd/bases].
#[derive(Clone, Debug, Deserialize)]
pub struct Object {
    metadata: Metadata,
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    uid: Arc<str>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    cluster_name: Option<Arc<str>>,
    namespace: Arc<str>,
    service_account: Arc<str>,
    #[serde(rename = "roleARN")]
    role_arn: Option<Arc<str>>,
    #[serde(rename = "targetRoleARN")]
    target_role_arn: Option<Arc<str>>,
    disable_session_tags: Option<bool>,
    policy: Option<Arc<str>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    ack_resource_metadata: ResourceMetadata,
    #[serde(rename = "associationARN")]
    association_arn: Option<Arc<str>>,
    #[serde(rename = "associationID")]
    association_id: Option<Arc<str>>,
    #[serde(rename = "externalID")]
    external_id: Option<Arc<str>>,
    created_at: Option<Timestamp>,
    modified_at: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ResourceMetadata {
    arn: Option<Arc<str>>,
}

impl Object {
    /// Null while the controller has not made it: without an id it does not exist in EKS.
    #[must_use]
    pub fn association(&self) -> Option<Association> {
        let Self { spec, status, .. } = self;
        let arn = status
            .association_arn
            .clone()
            .or_else(|| status.ack_resource_metadata.arn.clone());
        // With a clusterRef the spec names a resource, not the cluster.
        let cluster = spec
            .cluster_name
            .clone()
            .or_else(|| cluster_of(arn.as_deref()?).map(Arc::from));
        Some(Association {
            id: status.association_id.clone()?,
            arn,
            cluster,
            namespace: spec.namespace.clone(),
            service_account: spec.service_account.clone(),
            role_arn: spec.role_arn.clone(),
            target_role_arn: spec.target_role_arn.clone(),
            external_id: status.external_id.clone(),
            disable_session_tags: spec.disable_session_tags.unwrap_or_default(),
            policy: spec.policy.clone(),
            created: status.created_at,
            modified: status.modified_at,
        })
    }
}

/// `arn:aws:eks:REGION:ACCOUNT:podidentityassociation/CLUSTER/ID`
fn cluster_of(arn: &str) -> Option<&str> {
    let (_, rest) = arn.split_once(":podidentityassociation/")?;
    rest.split_once('/').map(|(cluster, _)| cluster)
}

/// Those of our cluster; and those that do not tell, since leaving them out would accuse.
#[must_use]
pub fn is_of(association: &Association, cluster: Option<&str>) -> bool {
    let named = association.cluster.as_deref();
    named.zip(cluster).is_none_or(|(one, ours)| one == ours)
}

/// When the resources as they were heard at `time` were true of EKS.
#[must_use]
pub fn true_at(time: Timestamp) -> Timestamp {
    time.checked_sub(LAG).unwrap_or(Timestamp::UNIX_EPOCH)
}

struct State {
    cluster: Option<Arc<str>>,
    /// By UID.
    objects: HashMap<Arc<str>, Object>,
    heard_at: Option<Timestamp>,
    trouble: Option<String>,
    ledger: Ledger,
    /// Other objects than the ledger's.
    changed: bool,
}

impl State {
    fn new(cluster: Option<Arc<str>>) -> Self {
        Self {
            cluster,
            objects: HashMap::new(),
            heard_at: None,
            trouble: None,
            ledger: Ledger::default(),
            changed: true,
        }
    }

    fn take(&mut self, change: Change<Object>) {
        let uid = |object: &Object| object.metadata.uid.clone();
        match change {
            Change::Listed { items, begun_at } => {
                self.objects = items.into_iter().map(|one| (uid(&one), one)).collect();
                self.heard_at = Some(begun_at);
                self.changed = true;
            }
            Change::Applied(object) => {
                self.objects.insert(uid(&object), object);
                self.changed = true;
            }
            Change::Deleted(object) => {
                self.objects.remove(&object.metadata.uid);
                self.changed = true;
            }
            // Before the first listing nothing is known, whatever was heard.
            Change::Heard(at) => self.heard_at = self.heard_at.map(|_| at),
            Change::Trouble(trouble) => {
                self.trouble = trouble.map(|trouble| match trouble.contains("is it installed?") {
                    true => format!("the ACK EKS controller's CRD is not installed: {trouble}"),
                    false => trouble,
                });
            }
        }
    }

    fn heard(&mut self) -> Heard {
        let trouble = self.trouble.clone();
        let Some(heard_at) = self.heard_at else {
            let snapshot = None;
            return Heard { snapshot, trouble };
        };
        if self.changed {
            let associations = self.objects.values().filter_map(Object::association);
            let cluster = self.cluster.as_deref();
            self.ledger.take(Reading {
                started_at: true_at(heard_at),
                associations: associations.filter(|one| is_of(one, cluster)).collect(),
                complete: true,
                trouble: None,
            });
            self.changed = false;
        }
        self.ledger.started_at = true_at(heard_at);
        let snapshot = self.ledger.snapshot("ack".into(), Some(BOOKMARKS + LAG));
        Heard {
            snapshot: Some(Arc::new(snapshot)),
            trouble,
        }
    }
}

#[cfg(test)]
mod tests;
