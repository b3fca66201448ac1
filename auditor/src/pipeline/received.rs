//! Descriptors that arrived in a process: of tokens, and of connections to credential endpoints.

use auditor_common::{
    CANARY_ENDPOINT, Header, OpenRecord, ReceivedRecord, backend, caller, class, kind, until_nul,
};
use uuid::Uuid;

use super::{
    Pipeline,
    actor::{Attributed, doubt, is_surely_own},
    held::{Attempt, Found},
    knowledge,
    opens::{NO_VOLUME, access, class_of},
    tuple::socket,
};
use crate::{
    audit::{Received, ReceivedCase, ReceivedOwner, judge_received},
    cluster::Pod,
    event::{
        Access, Attribution, Body, Container, OtherProcess, OwnerRef, ReceivedConnection, Relation,
        TokenReceived, TokenRef, Via,
    },
    node::{Clock, Member, OwnerSource},
};

/// What the receiver was in when the descriptor came. Only two calls take one themselves; seccomp's ADDFD puts it into a process that
/// waits in whatever call its filter asked about, so that one in recvmsg counts as SCM_RIGHTS. A ring of io_uring and a 32-bit
/// caller, whose numbers are others, are taken for the usual case.
fn via(syscall: u32, flags: u32) -> Via {
    if flags & (caller::IO_WORKER | caller::COMPAT) != 0 {
        return Via::ScmRights;
    }
    match libc::c_long::from(syscall) {
        libc::SYS_pidfd_getfd => Via::PidfdGetfd,
        libc::SYS_recvmsg
        | libc::SYS_recvmmsg
        | libc::SYS_io_uring_enter
        | libc::SYS_io_uring_setup => Via::ScmRights,
        _ => Via::SeccompAddfd,
    }
}

/// Between asking and taking lie some microseconds; a thread that asks and does something else is asked nothing again.
const TAKEN_WITHIN_NS: u64 = 1_000_000_000;

/// Whose process made a connection.
enum Maker {
    Pod(OwnerRef, Option<std::sync::Arc<Pod>>),
    Host,
    Unknown,
}

impl Pipeline {
    pub(super) fn on_received_file(&mut self, record: &ReceivedRecord) {
        // A canary that came after its time.
        if record.file.class == class::CANARY {
            return;
        }
        let open = OpenRecord {
            header: Header {
                kind: kind::OPEN,
                len: size_of::<OpenRecord>() as u32,
                ..record.header
            },
            file: record.file,
            task: record.task,
        };
        let via = via(record.syscall, record.caller);
        let found = Found {
            via,
            from: self.taken_from(record, via),
            ..Found::default()
        };
        self.consider_open(&open, found, Attempt::First);
    }

    /// A token's descriptor in a process that is not the kubelet.
    pub(super) fn judge_received_token(
        &mut self,
        record: &OpenRecord,
        mut found: Found,
        token: TokenRef,
        owner: Option<&Pod>,
        attempt: Attempt,
    ) {
        let time = self.clock.wall(record.header.time);
        let source = found.owner.as_ref().map(|(_, source)| *source);
        let attributed = self.attribute_again(&record.task, found.attributed.take());
        found.attributed = Some(attributed.clone());
        let whose = match &token.owner {
            Some(of) => ReceivedOwner::Pod {
                owner: of,
                pod: owner,
            },
            None => ReceivedOwner::Unknown,
        };
        let mut judgement = judge_received(&ReceivedCase {
            time,
            actor: attributed.who.actor(),
            process: &attributed.process,
            what: Received::Token(token.kind),
            owner: whose,
            via: found.via,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(attributed.by, &mut judgement);
        let relation = judgement.relation.unwrap_or(Relation::Unknown);
        if relation == Relation::Own && attributed.is_settled() {
            self.count_only();
            return;
        }
        // It is open in that process from now on.
        self.told.note(&record.task, &record.file);
        if attempt != Attempt::Last && self.may_become_clear(&judgement, record.header.time) {
            self.hold(record, found, class_of(relation));
            return;
        }
        if source.is_none() {
            self.metrics.add_unattributed(NO_VOLUME);
        }
        let access = Access {
            via: found.via,
            ..access(record.file.flags, record.header.backend, None)
        };
        let attribution = Attribution {
            process: attributed.by.to_owned(),
            owner: Some(source.map_or("unknown", OwnerSource::name).to_owned()),
            latency_us: u64::try_from(Clock::since(record.header.time).as_micros())
                .unwrap_or(u64::MAX),
            cluster_age_ms: self.cluster_age_ms(),
            waited_ms: attempt.waited_ms(record.header.time),
            reason: attributed
                .who
                .reason()
                .or(source.is_none().then_some(NO_VOLUME))
                .map(str::to_owned),
        };
        self.write_received(
            record.task.cgroup_id,
            time,
            attributed,
            judgement,
            Some(token),
            None,
            access,
            found.from,
            attribution,
        );
    }

    pub(super) fn on_received_socket(&mut self, record: &ReceivedRecord) {
        let state = &record.connect;
        if state.endpoint == CANARY_ENDPOINT {
            return;
        }
        let Some(endpoint) = self.endpoint(state.endpoint) else {
            self.undecodable(&"a connection to an endpoint that was never registered");
            return;
        };
        if record.task.pid == self.settings.own_tgid
            || self.settings.own_cgroup == Some(record.task.cgroup_id)
        {
            self.count_only();
            return;
        }
        self.refresh_sources();
        let time = self.clock.wall(record.header.time);
        let attributed = self.attribute(&record.task);
        let maker = self.maker(state.cgroup_id);
        let owner = match &maker {
            Maker::Pod(owner, pod) => ReceivedOwner::Pod {
                owner,
                pod: pod.as_deref(),
            },
            Maker::Host => ReceivedOwner::Host,
            Maker::Unknown => ReceivedOwner::Unknown,
        };
        let via = via(record.syscall, record.caller);
        let mut judgement = judge_received(&ReceivedCase {
            time,
            actor: attributed.who.actor(),
            process: &attributed.process,
            what: Received::Connection(&endpoint.name, endpoint.kind),
            owner,
            via,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(attributed.by, &mut judgement);
        let is_hosts_own = matches!(
            (&maker, judgement.relation),
            (Maker::Host, Some(Relation::Host))
        );
        if is_surely_own(attributed.by, judgement.relation) || is_hosts_own {
            self.count_only();
            return;
        }
        let tuple = state.tuple;
        let connection = ReceivedConnection {
            endpoint: endpoint.name.to_string(),
            src: (tuple.src_port != 0).then(|| socket(tuple.src, tuple.src_port)),
            dst: socket(tuple.dst, tuple.dst_port),
            connect_id: self.connects.id_of(&record.key).map(|id| id.to_string()),
            owner: match maker {
                Maker::Pod(owner, _) => Some(owner),
                Maker::Host | Maker::Unknown => None,
            },
        };
        let access = Access {
            via,
            flags: Vec::new(),
            ..access(0, record.header.backend, None)
        };
        let attribution = Attribution {
            process: attributed.by.to_owned(),
            owner: connection.owner.as_ref().map(|_| "cgroup".to_owned()),
            latency_us: u64::try_from(Clock::since(record.header.time).as_micros())
                .unwrap_or(u64::MAX),
            cluster_age_ms: self.cluster_age_ms(),
            waited_ms: None,
            reason: attributed.who.reason().map(str::to_owned),
        };
        let from = self.taken_from(record, via);
        self.write_received(
            record.task.cgroup_id,
            time,
            attributed,
            judgement,
            None,
            Some(connection),
            access,
            from,
            attribution,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one line")]
    fn write_received(
        &mut self,
        cgroup_id: u64,
        time: jiff::Timestamp,
        attributed: Attributed,
        judgement: crate::audit::Judgement,
        token: Option<TokenRef>,
        connection: Option<ReceivedConnection>,
        access: Access,
        from: Option<Box<OtherProcess>>,
        attribution: Attribution,
    ) {
        let Attributed {
            who, mut process, ..
        } = attributed;
        self.count_unattributed(&who);
        process.args = self.settings.args.apply(process.args);
        let line = TokenReceived {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            relation: judgement.relation.unwrap_or(Relation::Unknown),
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            token,
            connection,
            access,
            from: from.map(|from| *from),
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution,
            repeats: 0,
        };
        let party = self.party_id(cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::TokenReceived(Box::new(line)),
        );
    }

    /// The process that pidfd_getfd(2) took the descriptor from: it asked for the right to right before.
    fn taken_from(&mut self, record: &ReceivedRecord, via: Via) -> Option<Box<OtherProcess>> {
        let from = &record.from;
        let is_just_before = record.header.time.saturating_sub(from.time) < TAKEN_WITHIN_NS;
        if via != Via::PidfdGetfd || from.pid == 0 || !is_just_before {
            return None;
        }
        let member = self.cgroups.member_or_look(from.cgroup_id);
        let (pod, container) = match member {
            Member::Pod(owner) => {
                let pod = self.sources.cluster().pod(&owner.pod_uid).cloned();
                let container = owner.container_id.as_deref().map(|id| match &pod {
                    Some(pod) => pod.container_ref(id),
                    None => Container {
                        id: id.to_owned(),
                        name: None,
                        image: None,
                    },
                });
                (pod, container)
            }
            Member::Host | Member::Unknown => (None, None),
        };
        Some(Box::new(OtherProcess {
            pid: from.pid,
            start_time: self.clock.wall(from.start_time),
            comm: String::from_utf8_lossy(until_nul(&from.comm)).into_owned(),
            container,
            pod: pod.map(|pod| self.sources.cluster().pod_ref(&pod)),
        }))
    }

    fn maker(&mut self, cgroup_id: u64) -> Maker {
        match self.cgroups.member_or_look(cgroup_id) {
            Member::Pod(owner) => match self.sources.cluster().pod(&owner.pod_uid).cloned() {
                Some(pod) => Maker::Pod(pod.owner_ref(), Some(pod)),
                None => {
                    let untold = OwnerRef {
                        namespace: None,
                        name: None,
                        uid: owner.pod_uid.as_str().into(),
                        service_account: None,
                    };
                    Maker::Pod(untold, None)
                }
            },
            Member::Host => Maker::Host,
            Member::Unknown => Maker::Unknown,
        }
    }
}

/// As lines name what wrote a record.
pub(super) fn backend_name(by: u16) -> &'static str {
    match by {
        backend::FENTRY => "fentry",
        backend::KPROBE => "kprobe",
        backend::ITERATOR => "iterator",
        backend::PROC => "proc",
        _ => "syscall",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_the_receiver_is_in_tells_how_it_came() {
        for (call, flags, expected) in [
            (libc::SYS_recvmsg, 0, Via::ScmRights),
            (libc::SYS_recvmmsg, 0, Via::ScmRights),
            (libc::SYS_io_uring_enter, 0, Via::ScmRights),
            (libc::SYS_pidfd_getfd, 0, Via::PidfdGetfd),
            (libc::SYS_openat, 0, Via::SeccompAddfd),
            (libc::SYS_getppid, 0, Via::SeccompAddfd),
            // What a thread did that set up a ring, or whatever a 32-bit number means.
            (libc::SYS_openat, caller::IO_WORKER, Via::ScmRights),
            (libc::SYS_pidfd_getfd, caller::COMPAT, Via::ScmRights),
        ] {
            let number = u32::try_from(call).unwrap();
            assert_eq!(via(number, flags), expected, "{call} {flags}");
        }
    }
}
