//! Pods by UID and ServiceAccounts by name, kept for a while after they are gone.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{Contents, Pod, ServiceAccounts};
use crate::event::PodRef;

/// Events of a pod's last processes come after the pod has left the list.
const RETENTION: SignedDuration = SignedDuration::from_mins(15);

#[derive(Debug)]
pub struct Store {
    node: Arc<str>,
    pods: HashMap<Arc<str>, Entry>,
    /// Static pods: config hash to UID.
    by_mirror_hash: HashMap<Arc<str>, Arc<str>>,
    service_accounts: ServiceAccounts,
}

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    gone_at: Option<Timestamp>,
}

impl Store {
    /// Keeps only pods of this node, and those that name none.
    #[must_use]
    pub fn new(node: &str) -> Self {
        Self {
            node: node.into(),
            pods: HashMap::new(),
            by_mirror_hash: HashMap::new(),
            service_accounts: ServiceAccounts::default(),
        }
    }

    /// By UID, or by a static pod's config hash, as directories and cgroups are named; pods that vanished less than 15 minutes ago too.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        // The annotation is whatever the pod's maker wrote: it may not stand before a pod that the API server has named so.
        let by_hash = || self.pods.get(self.by_mirror_hash.get(uid)?);
        let entry = self.pods.get(uid).or_else(by_hash)?;
        Some(&entry.pod)
    }

    #[must_use]
    pub fn service_accounts(&self) -> &ServiceAccounts {
        &self.service_accounts
    }

    /// When the last complete reading was begun; null before the first.
    #[must_use]
    pub fn read_at(&self) -> Option<Timestamp> {
        self.service_accounts.read_at()
    }

    /// Pods that are there now, without those that are only remembered.
    #[must_use]
    pub fn pod_count(&self) -> usize {
        self.pods.values().filter(|e| e.gone_at.is_none()).count()
    }

    /// The pods that are there now.
    pub fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        let present = self.pods.values().filter(|e| e.gone_at.is_none());
        present.map(|entry| &entry.pod)
    }

    /// The pod as a line tells of it.
    #[must_use]
    pub fn pod_ref(&self, pod: &Pod) -> PodRef {
        let account = self
            .service_accounts
            .get(&pod.namespace, &pod.service_account);
        PodRef {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            service_account: pod.service_account.clone(),
            service_account_uid: account.and_then(|account| account.uid.clone()),
            owner: pod.owner.clone(),
            labels: pod.labels.clone(),
        }
    }

    /// The pod that has this address of its own. One that runs comes before one that has ended or is only remembered: an
    /// address is given to the next pod at once. Null where several have it.
    #[must_use]
    pub fn pod_by_ip(&self, ip: IpAddr) -> Option<&Arc<Pod>> {
        let ip = ip.to_canonical();
        let has_it = |entry: &&Entry| !entry.pod.host_network && entry.pod.ips.contains(&ip);
        let (mut running, mut ended) = (Vec::new(), Vec::new());
        for entry in self.pods.values().filter(has_it) {
            if entry.gone_at.is_none() && entry.pod.active {
                running.push(&entry.pod);
            } else {
                ended.push(&entry.pod);
            }
        }
        let candidates = if running.is_empty() { ended } else { running };
        match candidates.as_slice() {
            [pod] => Some(pod),
            _ => None,
        }
    }

    /// Takes over a complete reading that was begun at `read_at`.
    pub fn replace(&mut self, contents: Contents, read_at: Timestamp) {
        self.list(contents.pods, read_at);
        self.service_accounts.replace(contents.service_accounts);
        self.confirm(read_at);
    }

    /// Takes over all pods as a listing begun at `begun_at` tells of them.
    pub(super) fn list(&mut self, pods: Vec<Pod>, begun_at: Timestamp) {
        let present: HashSet<Arc<str>> = pods.iter().map(|pod| pod.uid.clone()).collect();
        for (uid, entry) in &mut self.pods {
            if entry.gone_at.is_none() && !present.contains(uid) {
                entry.gone_at = Some(begun_at);
            }
        }
        for pod in pods {
            self.apply(pod);
        }
    }

    /// A pod was made or has changed. One of another node is passed over.
    pub(super) fn apply(&mut self, pod: Pod) {
        if pod
            .node_name
            .as_ref()
            .is_some_and(|node| *node != self.node)
        {
            return;
        }
        if let Some(hash) = &pod.mirror_hash {
            let present = |uid: &Arc<str>| self.pods.get(uid).is_some_and(|e| e.gone_at.is_none());
            // The first that claims it: the kubelet's comes with the node.
            if !self.by_mirror_hash.get(hash).is_some_and(present) {
                self.by_mirror_hash.insert(hash.clone(), pod.uid.clone());
            }
        }
        let entry = Entry {
            pod: Arc::new(pod),
            gone_at: None,
        };
        self.pods.insert(entry.pod.uid.clone(), entry);
    }

    /// A pod was deleted by `at`; `last` is how it was then. It stays known for 15 minutes.
    pub(super) fn delete(&mut self, last: Pod, at: Timestamp) {
        let uid = last.uid.clone();
        self.apply(last);
        if let Some(entry) = self.pods.get_mut(&uid) {
            entry.gone_at = Some(at);
        }
    }

    /// A look that was begun at `read_at` found nothing changed.
    pub fn confirm(&mut self, read_at: Timestamp) {
        self.service_accounts.confirm(read_at);
        self.expire(read_at);
    }

    pub(super) fn service_accounts_mut(&mut self) -> &mut ServiceAccounts {
        &mut self.service_accounts
    }

    /// Namespaces and names of the ServiceAccounts that known pods run as.
    pub(super) fn used_service_accounts(&self) -> HashSet<(Arc<str>, Arc<str>)> {
        let pods = self.pods.values().map(|entry| &entry.pod);
        pods.map(|pod| (pod.namespace.clone(), pod.service_account.clone()))
            .collect()
    }

    /// Forgets what has been gone for long.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let kept = |gone: Timestamp| now.duration_since(gone) < RETENTION;
        self.pods.retain(|_, entry| entry.gone_at.is_none_or(kept));
        let pods = &self.pods;
        self.by_mirror_hash.retain(|_, uid| pods.contains_key(uid));
    }
}

#[cfg(test)]
mod tests;
