//! Judges who asks for a packet or raw TCP socket.

use jiff::Timestamp;

use super::{
    Actor, Judgement, Knowledge,
    evidence::evidence,
    findings::{identity_mismatch, raw_socket},
    ruling::{Ruling, conclude},
};
use crate::event::{FindingId, Process};

/// A packet or raw TCP socket was asked for, whether or not the kernel then made it.
#[derive(Clone, Copy, Debug)]
pub struct SocketCase<'a> {
    /// When it happened.
    pub time: Timestamp,
    pub actor: Actor<'a>,
    pub process: &'a Process,
    /// `packet`, `inet` or `inet6`.
    pub family: &'a str,
    pub knowledge: Knowledge<'a>,
}

/// In the order of the design's table.
pub(super) fn rules(case: &SocketCase<'_>) -> [(FindingId, Ruling); 2] {
    [
        (FindingId::IdentityMismatch, identity_mismatch(&case.actor)),
        (FindingId::RawSocket, raw_socket(case)),
    ]
}

#[must_use]
pub fn judge_socket(case: &SocketCase<'_>) -> Judgement {
    let knowledge = &case.knowledge;
    let conclusion = conclude(
        rules(case),
        &case.actor.subject(case.process, None),
        knowledge.policy,
        case.time,
    );
    let (pod, container) = (case.actor.pod(), case.actor.container_name());
    let mut evidence = evidence(pod, container, case.time, knowledge);
    if let Actor::Conflict { candidates } = case.actor {
        evidence.candidates = candidates.to_vec();
    }
    Judgement {
        verdict: conclusion.verdict,
        undetermined: conclusion.undetermined,
        relation: None,
        findings: conclusion.findings,
        binding: None,
        evidence,
    }
}
