//! Packet and raw TCP sockets that pods ask for.

use std::time::Instant;

use auditor_common::{SocketKind, SocketRecord};
use uuid::Uuid;

use super::{
    Pipeline,
    actor::{Attributed, doubt},
    fair::{Class, about},
    held::Attempt,
    knowledge,
    memory::backend_name,
    waiting::{Queue, Waiting},
};
use crate::{
    audit::{SocketCase, judge_socket},
    event::{Attribution, Body, RawSocket, SocketCreate, Verdict},
    node::Clock,
};

pub type SocketCreates = Queue<SocketRecord>;

impl Pipeline {
    pub(super) fn on_socket_create(&mut self, record: &SocketRecord) {
        // A canary that came after its time.
        if record.task.pid == self.settings.own_tgid {
            return;
        }
        if self.settings.own_cgroup == Some(record.task.cgroup_id) {
            self.count_only();
            return;
        }
        self.consider_socket(Waiting::first(Box::new(*record)), Attempt::First);
    }

    /// Looks again at those whose time has come; `last`: nothing may wait any longer.
    pub(super) fn retry_sockets(&mut self, last: bool) {
        let most = self.room_for_retries(last);
        for waiting in self.sockets.take_due(Instant::now(), last, most) {
            self.consider_socket(waiting, Attempt::again(last));
        }
    }

    fn consider_socket(&mut self, mut waiting: Waiting<SocketRecord>, attempt: Attempt) {
        let record = &*waiting.event;
        self.refresh_sources();
        let attributed = self.attribute_again(&record.task, waiting.attributed.take());
        let time = self.clock.wall(record.header.time);
        let family = family(record.kind);
        let mut judgement = judge_socket(&SocketCase {
            time,
            actor: attributed.who.actor(),
            process: &attributed.process,
            family,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(attributed.by, &mut judgement);
        if judgement.verdict == Verdict::Allowed && judgement.findings.is_empty() {
            self.count_only();
            return;
        }
        if attempt != Attempt::Last && self.may_become_clear(&judgement, record.header.time) {
            // A socket is nobody's but its maker's: all of them have the whole queue.
            let party = self.party(record.task.cgroup_id, Class::Stranger);
            waiting.attributed = Some(attributed);
            let (task, kind) = (&record.task, record.kind);
            let about = about((
                task.exe_dev,
                task.exe_ino,
                kind.family,
                kind.socket_type,
                kind.protocol,
            ));
            if let Some(spare) = self.sockets.hold(party, about, waiting, Instant::now()) {
                self.consider_socket(spare, Attempt::Last);
            }
            return;
        }
        let Attributed {
            who,
            by,
            mut process,
        } = attributed;
        self.count_unattributed(&who);
        process.args = self.settings.args.apply(process.args);
        let line = SocketCreate {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            socket: RawSocket {
                family: family.to_owned(),
                socket_type: socket_type(record.kind),
                protocol: record.kind.protocol,
                net_ns: record.task.net_ns,
                backend: backend_name(record.header.backend).to_owned(),
            },
            evidence: judgement.evidence,
            attribution: Attribution {
                process: by.to_owned(),
                owner: None,
                latency_us: u64::try_from(Clock::since(record.header.time).as_micros())
                    .unwrap_or(u64::MAX),
                cluster_age_ms: self.cluster_age_ms(),
                waited_ms: attempt.waited_ms(record.header.time),
                reason: who.reason().map(str::to_owned),
            },
            repeats: 0,
        };
        let party = self.party_id(record.task.cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::SocketCreate(Box::new(line)),
        );
    }
}

/// The kernel half tells of these three only.
fn family(kind: SocketKind) -> &'static str {
    match kind.family.cast_signed() {
        libc::AF_INET => "inet",
        libc::AF_INET6 => "inet6",
        _ => "packet",
    }
}

fn socket_type(kind: SocketKind) -> String {
    match kind.socket_type.cast_signed() {
        libc::SOCK_RAW => "raw".to_owned(),
        libc::SOCK_DGRAM => "dgram".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_by_name() {
        for (kind, expected) in [
            ((libc::AF_PACKET, libc::SOCK_RAW), ("packet", "raw")),
            ((libc::AF_PACKET, libc::SOCK_DGRAM), ("packet", "dgram")),
            // SOCK_PACKET, which the kernel turns into AF_PACKET.
            ((libc::AF_PACKET, 10), ("packet", "10")),
            ((libc::AF_INET, libc::SOCK_RAW), ("inet", "raw")),
            ((libc::AF_INET6, libc::SOCK_RAW), ("inet6", "raw")),
        ] {
            let kind = SocketKind {
                family: kind.0.cast_unsigned(),
                socket_type: kind.1.cast_unsigned(),
                protocol: 0,
            };
            assert_eq!((family(kind), socket_type(kind).as_str()), expected);
        }
    }
}
