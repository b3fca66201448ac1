//! What each rule says of a case, one by one: for who wants to know why, and not only what came of it.

use jiff::Timestamp;

use super::{
    AcceptCase, CloseCase, ConnectCase, DeniedCase, Judgement, ListenCase, MemoryCase, OpenCase,
    ReceivedCase, Ruling, SocketCase, accept, connect, denied, listen, memory, open, received,
    socket,
};
use crate::{event::FindingId, policy::Subject};

/// A case of any kind.
#[derive(Clone, Copy, Debug)]
pub enum Case<'a> {
    Open(OpenCase<'a>),
    Denied(DeniedCase<'a>),
    Connect(ConnectCase<'a>),
    Close(CloseCase<'a>),
    Received(ReceivedCase<'a>),
    Memory(MemoryCase<'a>),
    Socket(SocketCase<'a>),
    Accept(AcceptCase<'a>),
    Listen(ListenCase<'a>),
}

impl<'a> Case<'a> {
    /// All rules that are asked about such an event, in the order in which findings stand on the line.
    #[must_use]
    pub fn rulings(&self) -> Vec<(FindingId, Ruling)> {
        match self {
            Self::Open(case) => open::rules(case).into(),
            Self::Denied(case) => denied::rules(case).into(),
            Self::Connect(case) => connect::rules(case).into(),
            Self::Close(case) => connect::close_rules(case).into(),
            Self::Received(case) => received::rules(case).into(),
            Self::Memory(case) => memory::rules(case),
            Self::Socket(case) => socket::rules(case).into(),
            Self::Accept(case) => accept::rules(case).into(),
            Self::Listen(case) => listen::rules(case).into(),
        }
    }

    #[must_use]
    pub fn judge(&self) -> Judgement {
        match self {
            Self::Open(case) => super::judge_open(case),
            Self::Denied(case) => super::judge_denied(case),
            Self::Connect(case) => super::judge_connect(case),
            Self::Close(case) => super::judge_close(case),
            Self::Received(case) => super::judge_received(case),
            Self::Memory(case) => super::judge_memory(case),
            Self::Socket(case) => super::judge_socket(case),
            Self::Accept(case) => super::judge_accept(case),
            Self::Listen(case) => super::judge_listen(case),
        }
    }

    /// Whom exemptions are matched against.
    #[must_use]
    pub fn subject(&self) -> Subject<'a> {
        match self {
            Self::Open(case) => open::subject(case),
            Self::Denied(case) => case.actor.subject(case.process, Some(case.relation())),
            Self::Connect(case) => case.actor.subject(case.process, None),
            Self::Close(case) => case.actor.subject(case.process, None),
            Self::Received(case) => case.actor.subject(case.process, Some(case.relation())),
            Self::Memory(case) => case.actor.subject(case.process, Some(case.relation())),
            Self::Socket(case) => case.actor.subject(case.process, None),
            Self::Accept(case) => accept::subject(case),
            Self::Listen(case) => case.actor.subject(case.process, None),
        }
    }

    #[must_use]
    pub fn time(&self) -> Timestamp {
        match self {
            Self::Open(case) => case.time,
            Self::Denied(case) => case.time,
            Self::Connect(case) => case.time,
            Self::Close(case) => case.time,
            Self::Received(case) => case.time,
            Self::Memory(case) => case.time,
            Self::Socket(case) => case.time,
            Self::Accept(case) => case.time,
            Self::Listen(case) => case.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            conclude,
            testing::{Scene, Who, Whose},
        },
        event::TokenKind,
    };

    #[test]
    fn the_rulings_add_up_to_the_judgement() {
        let scene = Scene::new()
            .policy("exempt: [{match: {finding: foreign-token-open}, reason: x}]")
            .edit(|s| {
                s.for_write = true;
                s.process.exec_session = Some(true);
            });
        scene.with_open(
            Who::Pod("web"),
            Whose::Pod("api"),
            TokenKind::Irsa,
            |open| {
                let case = Case::Open(*open);
                let policy = open.knowledge.policy;
                let rulings = case.rulings();
                assert_eq!(rulings.len(), 10);
                let conclusion = conclude(rulings, &case.subject(), policy, case.time());
                let judgement = case.judge();
                assert_eq!(conclusion.findings.len(), 3);
                assert_eq!(conclusion.findings, judgement.findings);
                assert_eq!(conclusion.verdict, judgement.verdict);
            },
        );
    }
}
