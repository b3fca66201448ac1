//! Pods by UID and ServiceAccounts by name, kept for a while after they are gone.

use std::{
    collections::{HashMap, HashSet},
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
        let uid = self.by_mirror_hash.get(uid).map_or(uid, |uid| &**uid);
        self.pods.get(uid).map(|entry| &entry.pod)
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

    /// Takes over a complete reading that was begun at `read_at`.
    pub fn replace(&mut self, contents: Contents, read_at: Timestamp) {
        let pods = contents.pods.into_iter();
        let ours: Vec<Pod> = pods
            .filter(|p| p.node_name.as_ref().is_none_or(|node| *node == self.node))
            .collect();
        let present: HashSet<Arc<str>> = ours.iter().map(|p| p.uid.clone()).collect();
        for (uid, entry) in &mut self.pods {
            if entry.gone_at.is_none() && !present.contains(uid) {
                entry.gone_at = Some(read_at);
            }
        }
        for pod in ours {
            if let Some(hash) = &pod.mirror_hash {
                self.by_mirror_hash.insert(hash.clone(), pod.uid.clone());
            }
            let entry = Entry {
                pod: Arc::new(pod),
                gone_at: None,
            };
            self.pods.insert(entry.pod.uid.clone(), entry);
        }
        self.service_accounts.replace(contents.service_accounts);
        self.confirm(read_at);
    }

    /// A look that was begun at `read_at` found nothing changed.
    pub fn confirm(&mut self, read_at: Timestamp) {
        self.service_accounts.confirm(read_at);
        self.expire(read_at);
    }

    fn expire(&mut self, now: Timestamp) {
        let kept = |gone: Timestamp| now.duration_since(gone) < RETENTION;
        self.pods.retain(|_, entry| entry.gone_at.is_none_or(kept));
        let pods = &self.pods;
        self.by_mirror_hash.retain(|_, uid| pods.contains_key(uid));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ServiceAccount, testing::pod};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn pods(pods: Vec<Pod>) -> Contents {
        Contents {
            pods,
            service_accounts: Vec::new(),
        }
    }

    #[test]
    fn keeps_only_pods_of_this_node() {
        let mut store = Store::new("n1");
        let (mut here, mut there, nowhere) = (pod("a", "1"), pod("a", "2"), pod("a", "3"));
        here.node_name = Some("n1".into());
        there.node_name = Some("n2".into());
        store.replace(pods(vec![here, there, nowhere]), at(0));
        assert!(store.pod("uid-1").is_some());
        assert!(store.pod("uid-2").is_none());
        assert!(store.pod("uid-3").is_some());
    }

    #[test]
    fn remembers_a_gone_pod_for_a_quarter_of_an_hour() {
        let mut store = Store::new("n1");
        store.replace(pods(vec![pod("a", "1")]), at(0));
        store.replace(pods(vec![]), at(10));
        store.replace(pods(vec![]), at(20));
        assert_eq!(store.pod_count(), 0);
        store.confirm(at(10 + 15 * 60 - 1));
        assert!(store.pod("uid-1").is_some());
        store.confirm(at(10 + 15 * 60));
        assert!(store.pod("uid-1").is_none());
    }

    #[test]
    fn a_pod_that_comes_back_is_not_forgotten() {
        let mut store = Store::new("n1");
        store.replace(pods(vec![pod("a", "1")]), at(0));
        store.replace(pods(vec![]), at(10));
        store.replace(pods(vec![pod("a", "1")]), at(20));
        store.confirm(at(100_000));
        assert!(store.pod("uid-1").is_some());
    }

    #[test]
    fn finds_a_static_pod_by_its_hash_until_it_is_forgotten() {
        let mut store = Store::new("n1");
        let mut proxy = pod("kube-system", "proxy");
        proxy.mirror_hash = Some("1db680c2883dc532f70b6887258b2aa2".into());
        store.replace(pods(vec![proxy]), at(0));
        let found = store.pod("1db680c2883dc532f70b6887258b2aa2").unwrap();
        assert_eq!(&*found.uid, "uid-proxy");
        store.replace(pods(vec![]), at(1));
        store.confirm(at(100_000));
        assert!(store.by_mirror_hash.is_empty());
    }

    #[test]
    fn names_the_service_accounts_uid() {
        let mut store = Store::new("n1");
        let account = ServiceAccount {
            namespace: "shop".into(),
            name: "default".into(),
            uid: Some("sa-uid".into()),
            role_arn: None,
            audience: None,
        };
        let contents = Contents {
            pods: vec![pod("shop", "web")],
            service_accounts: vec![account],
        };
        assert_eq!(store.read_at(), None);
        store.replace(contents, at(7));
        assert_eq!(store.read_at(), Some(at(7)));
        let line = store.pod_ref(store.pod("uid-web").unwrap());
        assert_eq!(line.service_account_uid.as_deref(), Some("sa-uid"));
    }
}
