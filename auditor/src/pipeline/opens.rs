//! Opens of token files.

use auditor_common::{OpenRecord, TaskContext, class};
use jiff::Timestamp;
use uuid::Uuid;

use super::{
    Pipeline,
    actor::{Attributed, Who, doubt, is_surely_own},
    fair::Class,
    files::TokenFile,
    held::{Attempt, Found, lacks_service_account},
    knowledge,
    older::is_found,
    received::backend_name,
};
use crate::{
    audit::{
        CredentialUse, OpenCase, OpenerKey, TokenSpec, is_counted_theft, judge_open, token_kind,
    },
    cluster::Pod,
    event::{
        Access, AccessFlag, Attribution, Body, OwnerRef, Process, Relation, TokenKind, TokenOpen,
        TokenRef, Verdict, Via,
    },
    node::{Clock, OwnerSource, VolumeOwner, Whose, read_args},
    policy::OpenLog,
};

/// include/linux/fs.h
const FMODE_WRITE: u32 = 2;
/// Why an owner is not known.
pub(super) const NO_VOLUME: &str = "a superblock that is no volume of the kubelet";

impl Pipeline {
    pub(super) fn on_open(&mut self, record: &OpenRecord) {
        // A canary that came after its time.
        if record.file.class == class::CANARY {
            return;
        }
        self.consider_open(record, Found::default(), Attempt::First);
    }

    pub(super) fn consider_open(
        &mut self,
        record: &OpenRecord,
        mut found: Found,
        attempt: Attempt,
    ) {
        if found.owner.is_none() {
            found.owner = match self.volumes.owner_of(&record.file, &mut self.maps) {
                Whose::Pod(owner, source) => Some((owner, source)),
                Whose::Unknown => None,
                Whose::AnotherKubelets => {
                    self.count_only();
                    return;
                }
            };
        }
        let volume = found.owner.as_ref().map(|(volume, _)| volume);
        if let Some(volume) = volume {
            self.floods.learn_volume(&record.file, volume);
        }
        if record.task.pid == self.settings.own_tgid
            || self.settings.own_cgroup == Some(record.task.cgroup_id)
            || volume.is_some_and(|volume| !volume.may_hold_tokens())
        {
            self.count_only();
            return;
        }
        self.refresh_sources();
        let pod = volume
            .and_then(|volume| self.sources.cluster().pod(&volume.pod_uid))
            .cloned();
        let Some(file) = self.files.token(&record.file, volume, pod.as_deref()) else {
            self.count_only();
            return;
        };
        if self.kubelet.is(&record.task, &self.cgroups) {
            self.count_only();
            return;
        }
        let token = self.token(file, volume, pod.as_deref());
        self.want_account(&token, pod.as_deref(), None);
        match found.via {
            Via::Open | Via::Held | Via::Mapped => {
                self.judge(record, found, token, pod.as_deref(), attempt);
            }
            Via::ScmRights | Via::PidfdGetfd | Via::SeccompAddfd => {
                self.judge_received_token(record, found, token, pod.as_deref(), attempt);
            }
        }
    }

    pub(super) fn token(
        &self,
        file: TokenFile,
        volume: Option<&VolumeOwner>,
        pod: Option<&Pod>,
    ) -> TokenRef {
        let unknown = TokenSpec {
            kind: TokenKind::Unknown,
            audience: None,
            expiration_seconds: None,
        };
        let spec = match (pod, volume) {
            (Some(pod), Some(volume)) => {
                let account = self
                    .sources
                    .cluster()
                    .service_accounts()
                    .get(&pod.namespace, &pod.service_account);
                let path = file.spec_path.as_deref().unwrap_or(&file.path);
                token_kind(pod, &volume.volume, path, account, self.sources.policy())
            }
            _ => unknown,
        };
        let owner = match (pod, volume) {
            (Some(pod), _) => Some(pod.owner_ref()),
            (None, Some(volume)) => Some(OwnerRef {
                namespace: None,
                name: None,
                uid: volume.pod_uid.clone(),
                service_account: None,
            }),
            (None, None) => None,
        };
        TokenRef {
            kind: spec.kind,
            volume: volume.map(|volume| volume.volume.to_string()),
            file: file.path,
            audience: spec.audience,
            expiration_seconds: spec.expiration_seconds,
            owner,
        }
    }

    /// What the owner's ServiceAccount says counts for credentials of AWS, and `after` a time only as it is then.
    fn want_account(&mut self, token: &TokenRef, owner: Option<&Pod>, after: Option<Timestamp>) {
        let Some(owner) = owner else { return };
        if !matches!(token.kind, TokenKind::ServiceAccount | TokenKind::Unknown) {
            self.want_service_account(owner, after);
        }
    }

    fn judge(
        &mut self,
        record: &OpenRecord,
        mut found: Found,
        token: TokenRef,
        owner: Option<&Pod>,
        attempt: Attempt,
    ) {
        let time = self.clock.wall(record.header.time);
        let source = found.owner.as_ref().map(|(_, source)| *source);
        let is_first = found.attributed.is_none();
        let mut attributed = self.attribute_again(&record.task, found.attributed.take());
        if is_first && is_found(found.via) {
            let pid = attributed.process.pid;
            attributed.process.args = read_args(&self.settings.host_proc, pid).unwrap_or_default();
        }
        found.attributed = Some(attributed.clone());
        let Attributed {
            who,
            by,
            mut process,
        } = attributed;
        let attribution = Attribution {
            process: by.to_owned(),
            owner: Some(source.map_or("unknown", OwnerSource::name).to_owned()),
            latency_us: u64::try_from(Clock::since(record.header.time).as_micros())
                .unwrap_or(u64::MAX),
            cluster_age_ms: self.cluster_age_ms(),
            waited_ms: attempt.waited_ms(record.header.time),
            reason: who
                .reason()
                .or(source.is_none().then_some(NO_VOLUME))
                .map(str::to_owned),
        };
        let ancestors_args = self.ancestors_args(&who, &process, &record.task);
        let opener = opener_key(&who, &process, record.task.cgroup_id);
        let taken = opener
            .as_ref()
            .map_or_else(Vec::new, |opener| self.harvests.taken(opener, time));
        let familiarity = self.familiarity(&who, &process, CredentialUse::Open, time);
        let mut judgement = judge_open(&OpenCase {
            time,
            actor: who.actor(),
            process: &process,
            ancestors_args: &ancestors_args,
            token: &token,
            owner_pod: owner,
            for_write: record.file.mode & FMODE_WRITE != 0,
            taken: &taken,
            familiarity,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(by, &mut judgement);
        if !is_surely_own(by, judgement.relation) {
            let is_news = self.told.note(&record.task, &record.file);
            if is_found(found.via) && attempt == Attempt::First && !is_news {
                self.count_only();
                return;
            }
        } else if is_found(found.via) {
            self.history.note_open(&token, Relation::Own, time);
            self.count_only();
            return;
        }
        if attempt != Attempt::Last && self.may_become_clear(&judgement, record.header.time) {
            // Its connect may be judged first.
            let relation = judgement.relation.unwrap_or(Relation::Unknown);
            self.history.note_open(&token, relation, time);
            if lacks_service_account(&judgement) {
                self.want_account(&token, owner, Some(time));
            }
            self.hold(record, found, class_of(relation));
            return;
        }
        if source.is_none() {
            self.metrics.add_unattributed(NO_VOLUME);
        }
        self.count_unattributed(&who);
        let relation = judgement.relation.unwrap_or(Relation::Unknown);
        self.history.note_open(&token, relation, time);
        if let Some(pod) = who.pod() {
            let binding = judgement.binding.as_ref();
            self.postures
                .note_open(pod, &token, relation, binding, time);
        }
        if relation == Relation::Own
            && matches!(token.kind, TokenKind::Irsa | TokenKind::PodIdentity)
        {
            self.learn(&who, &process, CredentialUse::Open, time, &judgement);
        }
        if let (Some(opener), Some(owner)) = (opener, &token.owner)
            && is_counted_theft(&judgement.findings, relation)
        {
            self.harvests.note(opener, owner, time);
        }
        // client-go reads its token each minute.
        if token.kind == TokenKind::ServiceAccount
            && relation == Relation::Own
            && judgement.verdict == Verdict::Allowed
            && judgement.findings.is_empty()
            && self.sources.policy().log.allowed_service_account_opens == OpenLog::Count
        {
            self.count_only();
            return;
        }
        process.args = self.settings.args.apply(process.args);
        let open = TokenOpen {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            relation,
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            token,
            access: Access {
                via: found.via,
                ..access(record.file.flags, record.header.backend, None)
            },
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution,
            repeats: 0,
        };
        let party = self.party_id(record.task.cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::TokenOpen(Box::new(open)),
        );
    }
}

impl Pipeline {
    /// A probe's `sh -c` waits for what it started, so its argv can still be read; what began the session was told of.
    fn ancestors_args(&self, who: &Who, process: &Process, task: &TaskContext) -> Vec<Vec<String>> {
        let has_commands = who.pod().is_some_and(|pod| {
            pod.containers
                .iter()
                .any(|container| !container.commands.is_empty())
        });
        if process.exec_session != Some(true) || !has_commands {
            return Vec::new();
        }
        let parents = process.parents.iter();
        parents
            .filter_map(|parent| read_args(&self.settings.host_proc, parent.pid))
            .chain(self.sessions.args_of(task))
            .collect()
    }
}

/// What is not known to be somebody's own has the places that are kept for strangers.
pub(super) fn class_of(relation: Relation) -> Class {
    match relation {
        Relation::Own | Relation::SameServiceAccount => Class::Own,
        Relation::OtherPod | Relation::Host | Relation::Unknown => Class::Stranger,
    }
}

/// Null where nothing is known that would outlive the process.
fn opener_key(who: &Who, process: &Process, cgroup_id: u64) -> Option<OpenerKey> {
    match who {
        Who::Pod { pod, .. } => Some(OpenerKey::Pod(pod.uid.clone())),
        Who::UnlistedPod { owner } => Some(OpenerKey::Pod(owner.pod_uid.as_str().into())),
        Who::Host => Some(OpenerKey::Host {
            cgroup_id,
            executable: process.exe_inode,
        }),
        Who::Conflict { .. } => Some(OpenerKey::Conflict { cgroup_id }),
        Who::Unknown { .. } => None,
    }
}

pub(super) fn access(flags: u32, by: u16, errno: Option<i32>) -> Access {
    let flag = |bit: i32| flags & bit.cast_unsigned() != 0;
    let mode = match flags.cast_signed() & libc::O_ACCMODE {
        libc::O_WRONLY => AccessFlag::OWronly,
        libc::O_RDWR => AccessFlag::ORdwr,
        _ => AccessFlag::ORdonly,
    };
    let others = [
        (libc::O_CREAT, AccessFlag::OCreat),
        (libc::O_TRUNC, AccessFlag::OTrunc),
        (libc::O_APPEND, AccessFlag::OAppend),
        (libc::O_NONBLOCK, AccessFlag::ONonblock),
        (libc::O_DIRECT, AccessFlag::ODirect),
        (libc::O_NOFOLLOW, AccessFlag::ONofollow),
        (libc::O_CLOEXEC, AccessFlag::OCloexec),
    ];
    let flags = std::iter::once(mode)
        .chain(
            others
                .into_iter()
                .filter(|(bit, _)| flag(*bit))
                .map(|(_, name)| name),
        )
        .collect();
    Access {
        via: Via::Open,
        flags,
        backend: backend_name(by).to_owned(),
        errno,
    }
}
