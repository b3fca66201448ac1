//! What happens in the cluster, and what is said of it: by one rule, or by all.

use super::Scene;
use crate::{
    audit::{
        Actor, CloseCase, ConnectCase, DeniedCase, Judgement, MemoryCase, OpenCase, Received,
        ReceivedCase, ReceivedOwner, SocketCase, Target, judge_close, judge_connect, judge_denied,
        judge_memory, judge_open, judge_received, judge_socket,
        ruling::Ruling,
        testing::{Said, Who, Whose, event_time, untold},
    },
    event::{EndpointKind, MemoryVia, Outcome, TokenKind, TokenRef, Via},
};

impl Scene {
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
