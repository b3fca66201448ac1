//! The cluster itself, and what happens in it.

use std::collections::BTreeMap;

use super::{ROLE, Said, Who, Whose, event_time, process, seconds_later, untold};
use crate::audit::{
    Actor, CloseCase, ConnectCase, DeniedCase, Familiarity, Judgement, Knowledge, MemoryCase,
    OpenCase, PodHistory, Received, ReceivedCase, ReceivedOwner, SocketCase, Target, judge_close,
    judge_connect, judge_denied, judge_memory, judge_open, judge_received, judge_socket,
    ruling::Ruling,
};
use crate::{
    association::{Association, Snapshot},
    cluster::{Container, Pod, ServiceAccount, ServiceAccounts, testing::pod},
    event::{self, EndpointKind, MemoryVia, Outcome, OwnerRef, Process, TokenKind, TokenRef, Via},
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

    fn actor(&self, who: Who) -> Actor<'_> {
        match who {
            Who::Pod(name) => Actor::Pod {
                pod: self.pod(name),
                container: Some(&self.container),
            },
            Who::Unlisted(uid) => Actor::UnlistedPod { uid },
            Who::Host => Actor::Host,
            Who::Conflict => Actor::Conflict {
                candidates: &self.candidates,
            },
            Who::Unknown => Actor::Unknown,
        }
    }

    pub(in crate::audit) fn with_open<T>(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
        then: impl FnOnce(&OpenCase<'_>) -> T,
    ) -> T {
        let (owner_pod, owner) = match whose {
            Whose::Pod(name) => (Some(self.pod(name)), Some(self.pod(name).owner_ref())),
            Whose::Untold(uid) => (None, Some(untold(uid))),
            Whose::Nobody => (None, None),
        };
        let token = TokenRef {
            kind,
            volume: Some("volume".into()),
            file: "token".into(),
            audience: None,
            expiration_seconds: None,
            owner,
        };
        then(&OpenCase {
            ancestors_args: &[],
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            token: &token,
            owner_pod,
            for_write: self.for_write,
            taken: &self.taken,
            familiarity: self.familiarity,
            knowledge: self.knowledge(),
        })
    }

    pub(in crate::audit) fn open(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
        rule: fn(&OpenCase<'_>) -> Ruling,
    ) -> Said {
        self.with_open(who, whose, kind, rule).into()
    }

    pub(in crate::audit) fn judge_open(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
    ) -> Judgement {
        self.with_open(who, whose, kind, judge_open)
    }

    fn with_denied<T>(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
        then: impl FnOnce(&DeniedCase<'_>) -> T,
    ) -> T {
        self.with_open(who, whose, kind, |open| {
            then(&DeniedCase {
                time: open.time,
                actor: open.actor,
                process: open.process,
                token: open.token,
                owner_pod: open.owner_pod,
                errno: libc::EACCES,
                knowledge: open.knowledge,
            })
        })
    }

    pub(in crate::audit) fn denied(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
        rule: fn(&DeniedCase<'_>) -> Ruling,
    ) -> Said {
        self.with_denied(who, whose, kind, rule).into()
    }

    pub(in crate::audit) fn judge_denied(
        &self,
        who: Who,
        whose: Whose,
        kind: TokenKind,
    ) -> Judgement {
        self.with_denied(who, whose, kind, judge_denied)
    }

    fn received_case<'a>(
        &'a self,
        who: Who,
        what: Received<'a>,
        owner: ReceivedOwner<'a>,
    ) -> ReceivedCase<'a> {
        ReceivedCase {
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            what,
            owner,
            via: Via::ScmRights,
            knowledge: self.knowledge(),
        }
    }

    fn with_received<T>(
        &self,
        who: Who,
        whose: Whose,
        what: Received<'_>,
        then: impl FnOnce(&ReceivedCase<'_>) -> T,
    ) -> T {
        let owner_ref;
        let owner = match whose {
            Whose::Pod(name) => {
                owner_ref = self.owner(name);
                ReceivedOwner::Pod {
                    owner: &owner_ref,
                    pod: Some(self.pod(name)),
                }
            }
            Whose::Untold(uid) => {
                owner_ref = untold(uid);
                ReceivedOwner::Pod {
                    owner: &owner_ref,
                    pod: None,
                }
            }
            Whose::Nobody => ReceivedOwner::Unknown,
        };
        then(&self.received_case(who, what, owner))
    }

    pub(in crate::audit) fn received(
        &self,
        who: Who,
        whose: Whose,
        what: Received<'_>,
        rule: fn(&ReceivedCase<'_>) -> Ruling,
    ) -> Said {
        self.with_received(who, whose, what, rule).into()
    }

    /// A connection that a process outside every pod made.
    pub(in crate::audit) fn received_of_host(
        &self,
        who: Who,
        rule: fn(&ReceivedCase<'_>) -> Ruling,
    ) -> Said {
        let what = Received::Connection("pod-identity-agent", EndpointKind::PodIdentityAgent);
        rule(&self.received_case(who, what, ReceivedOwner::Host)).into()
    }

    pub(in crate::audit) fn judge_received(
        &self,
        who: Who,
        whose: Whose,
        what: Received<'_>,
    ) -> Judgement {
        self.with_received(who, whose, what, judge_received)
    }

    fn connect_case(&self, who: Who, endpoint: EndpointKind, outcome: Outcome) -> ConnectCase<'_> {
        ConnectCase {
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            endpoint,
            outcome,
            duration_us: self.duration_us,
            history: self.history,
            familiarity: self.familiarity,
            knowledge: self.knowledge(),
        }
    }

    pub(in crate::audit) fn connect(
        &self,
        who: Who,
        endpoint: EndpointKind,
        outcome: Outcome,
        rule: fn(&ConnectCase<'_>) -> Ruling,
    ) -> Said {
        rule(&self.connect_case(who, endpoint, outcome)).into()
    }

    pub(in crate::audit) fn judge_connect(
        &self,
        who: Who,
        endpoint: EndpointKind,
        outcome: Outcome,
    ) -> Judgement {
        judge_connect(&self.connect_case(who, endpoint, outcome))
    }

    pub(in crate::audit) fn close_case(
        &self,
        who: Who,
        endpoint: EndpointKind,
        bytes_received: u64,
    ) -> CloseCase<'_> {
        CloseCase {
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            endpoint,
            bytes_received,
            knowledge: self.knowledge(),
        }
    }

    pub(in crate::audit) fn close(
        &self,
        who: Who,
        endpoint: EndpointKind,
        bytes_received: u64,
        rule: fn(&CloseCase<'_>) -> Ruling,
    ) -> Said {
        rule(&self.close_case(who, endpoint, bytes_received)).into()
    }

    pub(in crate::audit) fn judge_close(
        &self,
        who: Who,
        endpoint: EndpointKind,
        bytes_received: u64,
    ) -> Judgement {
        judge_close(&self.close_case(who, endpoint, bytes_received))
    }

    fn memory_case(&self, who: Who, whose: Whose) -> MemoryCase<'_> {
        MemoryCase {
            via: MemoryVia::ProcessVmReadv,
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            target: match whose {
                Whose::Pod(name) => Target::Pod(self.pod(name)),
                Whose::Untold(uid) => Target::UnlistedPod { uid },
                Whose::Nobody => Target::Unknown,
            },
            knowledge: self.knowledge(),
        }
    }

    pub(in crate::audit) fn memory(
        &self,
        who: Who,
        whose: Whose,
        rule: fn(&MemoryCase<'_>) -> Ruling,
    ) -> Said {
        rule(&self.memory_case(who, whose)).into()
    }

    pub(in crate::audit) fn judge_memory(&self, who: Who, whose: Whose) -> Judgement {
        judge_memory(&self.memory_case(who, whose))
    }

    fn socket_case<'a>(&'a self, who: Who, family: &'a str) -> SocketCase<'a> {
        SocketCase {
            time: event_time(),
            actor: self.actor(who),
            process: &self.process,
            family,
            knowledge: self.knowledge(),
        }
    }

    pub(in crate::audit) fn socket(
        &self,
        who: Who,
        family: &str,
        rule: fn(&SocketCase<'_>) -> Ruling,
    ) -> Said {
        rule(&self.socket_case(who, family)).into()
    }

    pub(in crate::audit) fn judge_socket(&self, who: Who, family: &str) -> Judgement {
        judge_socket(&self.socket_case(who, family))
    }
}
