//! The cluster itself.

mod cases;

use std::collections::BTreeMap;

use super::{ROLE, process, seconds_later};
use crate::audit::{Familiarity, Knowledge, PodHistory};
use crate::{
    association::{Association, Snapshot},
    cluster::{Container, Pod, ServiceAccount, ServiceAccounts, testing::pod},
    event::{self, OwnerRef, Process},
    policy::Policy,
};

#[derive(Clone)]
pub(in crate::audit) struct Scene {
    pods: BTreeMap<&'static str, Pod>,
    accounts: Vec<ServiceAccount>,
    service_accounts: ServiceAccounts,
    pub(in crate::audit) associations: Vec<Association>,
    snapshot: Option<Snapshot>,
    policy: Policy,
    pub(in crate::audit) process: Process,
    pub(in crate::audit) for_write: bool,
    pub(in crate::audit) taken: Vec<OwnerRef>,
    pub(in crate::audit) duration_us: Option<u64>,
    pub(in crate::audit) history: Option<PodHistory>,
    pub(in crate::audit) familiarity: Familiarity,
    container: event::Container,
    candidates: Vec<String>,
}

impl Scene {
    /// Nothing is bound, and all of that is known by complete readings that were begun after the event.
    pub(in crate::audit) fn new() -> Self {
        let member = |namespace, name, account: &str| {
            let mut pod = pod(namespace, name);
            pod.service_account = account.into();
            pod.created = Some(seconds_later(-86));
            pod.containers = vec![Container {
                name: "main".into(),
                image: "registry/main:1".into(),
                ..Container::default()
            }];
            (name, pod)
        };
        let mut pods = BTreeMap::from([
            member("shop", "web", "web"),
            member("shop", "web-2", "web"),
            member("payments", "api", "api"),
            member("kube-system", "agent", "eks-pod-identity-agent"),
        ]);
        let owner = "DaemonSet/eks-pod-identity-agent".to_owned();
        pods.get_mut("agent").unwrap().owner = Some(owner);
        let account = |namespace: &str, name: &str| ServiceAccount {
            namespace: namespace.into(),
            name: name.into(),
            uid: None,
            role_arn: None,
            audience: None,
        };
        let scene = Self {
            pods,
            accounts: vec![account("shop", "web"), account("payments", "api")],
            service_accounts: ServiceAccounts::default(),
            associations: Vec::new(),
            snapshot: None,
            policy: Policy::default(),
            process: process(),
            for_write: false,
            taken: Vec::new(),
            duration_us: None,
            history: None,
            familiarity: Familiarity::Unjudged,
            container: event::Container {
                id: "9c".repeat(32),
                name: Some("main".into()),
                image: Some("registry/main:1".into()),
            },
            candidates: vec!["shop/web".into(), "payments/api".into()],
        };
        scene.accounts_read_at(1).bindings_begun_at(1, true)
    }

    pub(in crate::audit) fn pod(&self, name: &str) -> &Pod {
        &self.pods[name]
    }

    pub(in crate::audit) fn owner(&self, name: &str) -> OwnerRef {
        self.pod(name).owner_ref()
    }

    pub(in crate::audit) fn edit_pod(mut self, name: &str, edit: impl FnOnce(&mut Pod)) -> Self {
        edit(self.pods.get_mut(name).unwrap());
        self
    }

    pub(in crate::audit) fn env_role(self, name: &str, role: &str) -> Self {
        self.edit_pod(name, |p| {
            p.containers[0].env.role_arn = Some(role.into());
        })
    }

    pub(in crate::audit) fn annotate(mut self, name: &str, role: &str) -> Self {
        let account = self.pods[name].service_account.clone();
        for known in self.accounts.iter_mut().filter(|a| a.name == account) {
            known.role_arn = Some(role.into());
        }
        let read_at = self.service_accounts.read_at().unwrap();
        self.service_accounts.replace(self.accounts.clone());
        self.service_accounts.confirm(read_at);
        self
    }

    pub(in crate::audit) fn without_service_accounts(mut self) -> Self {
        self.service_accounts = ServiceAccounts::default();
        self
    }

    /// `shop/web` was asked for after the event, and there is none.
    pub(in crate::audit) fn account_is_gone(&mut self) {
        let (namespace, name) = ("shop".into(), "web".into());
        self.service_accounts
            .learn(&namespace, &name, None, seconds_later(1));
    }

    /// Seconds after the event.
    pub(in crate::audit) fn accounts_read_at(mut self, seconds: i64) -> Self {
        self.service_accounts.replace(self.accounts.clone());
        self.service_accounts.confirm(seconds_later(seconds));
        self
    }

    pub(in crate::audit) fn associate(mut self, name: &str) -> Self {
        let pod = &self.pods[name];
        self.associations.push(Association {
            id: format!("a-{name}").into(),
            arn: None,
            cluster: None,
            namespace: pod.namespace.clone(),
            service_account: pod.service_account.clone(),
            role_arn: Some(ROLE.into()),
            target_role_arn: None,
            external_id: None,
            disable_session_tags: false,
            policy: None,
            created: None,
            modified: None,
        });
        self.bindings_begun_at(1, true)
    }

    /// When the associations were made, in seconds after the event.
    pub(in crate::audit) fn associated_at(mut self, seconds: i64) -> Self {
        for association in &mut self.associations {
            association.created = Some(seconds_later(seconds));
        }
        self.bindings_begun_at(1, true)
    }

    /// Seconds after the event.
    pub(in crate::audit) fn bindings_begun_at(mut self, seconds: i64, complete: bool) -> Self {
        self.snapshot = Some(Snapshot::new(
            "file:associations.json".into(),
            1,
            "hash".to_owned(),
            seconds_later(seconds),
            complete,
            self.associations.clone(),
        ));
        self
    }

    pub(in crate::audit) fn without_bindings(mut self) -> Self {
        self.snapshot = None;
        self
    }

    pub(in crate::audit) fn policy(mut self, yaml: &str) -> Self {
        self.policy = Policy::parse(format!("version: 1\n{yaml}").as_bytes()).unwrap();
        self
    }

    pub(in crate::audit) fn edit(mut self, edit: impl FnOnce(&mut Self)) -> Self {
        edit(&mut self);
        self
    }

    pub(in crate::audit) fn knowledge(&self) -> Knowledge<'_> {
        Knowledge {
            service_accounts: &self.service_accounts,
            bindings: self.snapshot.as_ref(),
            policy: &self.policy,
            cluster_name: Some("prod"),
            now: seconds_later(2),
        }
    }
}
