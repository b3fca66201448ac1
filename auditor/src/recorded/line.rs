//! A line, as far as it is read back. Unknown fields and types of event are left out: a newer auditor may have written it.

use jiff::Timestamp;
use serde::Deserialize;

use crate::event::{
    AgentAccept, Attribution, ConnectionClosed, Container, CredentialConnect, Evidence, Finding,
    FindingId, Listen, MemoryAccess, PodRef, Posture, Process, Relation, SocketCreate, TokenOpen,
    TokenReceived, Verdict,
};

#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    pub id: String,
    pub run_id: String,
    pub seq: u64,
    pub time: Timestamp,
    pub cluster: Option<String>,
    pub node: Option<String>,
    #[serde(flatten)]
    pub body: Body,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    TokenOpen(Box<TokenOpen>),
    CredentialConnect(Box<CredentialConnect>),
    ConnectionClosed(Box<ConnectionClosed>),
    AgentAccept(Box<AgentAccept>),
    Listen(Box<Listen>),
    TokenReceived(Box<TokenReceived>),
    MemoryAccess(Box<MemoryAccess>),
    SocketCreate(Box<SocketCreate>),
    #[serde(rename = "finding")]
    Posture(Box<Posture>),
    Summary(Folded),
    /// The auditor's words about itself, and what a newer one may tell.
    #[serde(other)]
    Other,
}

/// Of a `summary`.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Folded {
    pub count: u64,
}

/// What was made of an event.
#[derive(Clone, Copy, Debug)]
pub struct Verdicts<'l> {
    /// Null for a posture finding.
    pub verdict: Option<Verdict>,
    pub undetermined: &'l [String],
    pub findings: &'l [Finding],
}

impl Line {
    /// As the field `event` has it.
    #[must_use]
    pub fn event(&self) -> &'static str {
        match self.body {
            Body::TokenOpen(_) => "token_open",
            Body::CredentialConnect(_) => "credential_connect",
            Body::ConnectionClosed(_) => "connection_closed",
            Body::AgentAccept(_) => "agent_accept",
            Body::Listen(_) => "listen",
            Body::TokenReceived(_) => "token_received",
            Body::MemoryAccess(_) => "memory_access",
            Body::SocketCreate(_) => "socket_create",
            Body::Posture(_) => "finding",
            Body::Summary(_) => "summary",
            Body::Other => "other",
        }
    }

    /// Null for what was never judged.
    #[must_use]
    pub fn verdicts(&self) -> Option<Verdicts<'_>> {
        let judged = |verdict, undetermined, findings| {
            Some(Verdicts {
                verdict: Some(verdict),
                undetermined,
                findings,
            })
        };
        match &self.body {
            Body::TokenOpen(b) => judged(b.verdict, &b.undetermined[..], &b.findings[..]),
            Body::CredentialConnect(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::ConnectionClosed(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::AgentAccept(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::Listen(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::TokenReceived(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::MemoryAccess(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::SocketCreate(b) => judged(b.verdict, &b.undetermined, &b.findings),
            Body::Posture(b) => Some(Verdicts {
                verdict: None,
                undetermined: &[],
                findings: &b.findings,
            }),
            Body::Summary(_) | Body::Other => None,
        }
    }

    /// Who did it; null where the line does not tell of a process.
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        match &self.body {
            Body::TokenOpen(b) => Some(&b.process),
            Body::CredentialConnect(b) => Some(&b.process),
            Body::Listen(b) => Some(&b.process),
            Body::TokenReceived(b) => Some(&b.process),
            Body::MemoryAccess(b) => Some(&b.process),
            Body::SocketCreate(b) => Some(&b.process),
            Body::ConnectionClosed(_)
            | Body::AgentAccept(_)
            | Body::Posture(_)
            | Body::Summary(_)
            | Body::Other => None,
        }
    }

    /// The acting pod; of an accepted connection the peer's.
    #[must_use]
    pub fn pod(&self) -> Option<&PodRef> {
        match &self.body {
            Body::TokenOpen(b) => b.pod.as_ref(),
            Body::CredentialConnect(b) => b.pod.as_ref(),
            Body::ConnectionClosed(b) => b.pod.as_ref(),
            Body::AgentAccept(b) => b.pod.as_ref(),
            Body::Listen(b) => b.pod.as_ref(),
            Body::TokenReceived(b) => b.pod.as_ref(),
            Body::MemoryAccess(b) => b.pod.as_ref(),
            Body::SocketCreate(b) => b.pod.as_ref(),
            Body::Posture(_) | Body::Summary(_) | Body::Other => None,
        }
    }

    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match &self.body {
            Body::TokenOpen(b) => b.container.as_ref(),
            Body::CredentialConnect(b) => b.container.as_ref(),
            Body::Listen(b) => b.container.as_ref(),
            Body::TokenReceived(b) => b.container.as_ref(),
            Body::MemoryAccess(b) => b.container.as_ref(),
            Body::SocketCreate(b) => b.container.as_ref(),
            Body::ConnectionClosed(_)
            | Body::AgentAccept(_)
            | Body::Posture(_)
            | Body::Summary(_)
            | Body::Other => None,
        }
    }

    /// Null where the event has none, as connects.
    #[must_use]
    pub fn relation(&self) -> Option<Relation> {
        match &self.body {
            Body::TokenOpen(b) => Some(b.relation),
            Body::TokenReceived(b) => Some(b.relation),
            Body::MemoryAccess(b) => Some(b.relation),
            _ => None,
        }
    }

    #[must_use]
    pub fn attribution(&self) -> Option<&Attribution> {
        match &self.body {
            Body::TokenOpen(b) => Some(&b.attribution),
            Body::CredentialConnect(b) => Some(&b.attribution),
            Body::AgentAccept(b) => Some(&b.attribution),
            Body::Listen(b) => Some(&b.attribution),
            Body::TokenReceived(b) => Some(&b.attribution),
            Body::MemoryAccess(b) => Some(&b.attribution),
            Body::SocketCreate(b) => Some(&b.attribution),
            Body::ConnectionClosed(_) | Body::Posture(_) | Body::Summary(_) | Body::Other => None,
        }
    }

    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match &self.body {
            Body::TokenOpen(b) => Some(&b.evidence),
            Body::CredentialConnect(b) => Some(&b.evidence),
            Body::AgentAccept(b) => Some(&b.evidence),
            Body::TokenReceived(b) => Some(&b.evidence),
            Body::MemoryAccess(b) => Some(&b.evidence),
            Body::SocketCreate(b) => Some(&b.evidence),
            Body::Posture(b) => Some(&b.evidence),
            Body::ConnectionClosed(_) | Body::Listen(_) | Body::Summary(_) | Body::Other => None,
        }
    }

    #[must_use]
    pub fn binding(&self) -> Option<&crate::event::Binding> {
        match &self.body {
            Body::TokenOpen(b) => b.binding.as_ref(),
            Body::CredentialConnect(b) => b.binding.as_ref(),
            Body::AgentAccept(b) => b.binding.as_ref(),
            Body::TokenReceived(b) => b.binding.as_ref(),
            Body::MemoryAccess(b) => b.binding.as_ref(),
            Body::Posture(b) => b.binding.as_ref(),
            _ => None,
        }
    }

    /// The finding of that rule, if it stands on the line.
    #[must_use]
    pub fn finding(&self, id: FindingId) -> Option<&Finding> {
        let findings = self.verdicts()?.findings;
        findings.iter().find(|finding| finding.id == id)
    }

    /// Whether the verdict lacked that input.
    #[must_use]
    pub fn lacked(&self, input: &str) -> bool {
        self.verdicts()
            .is_some_and(|v| v.undetermined.iter().any(|lacking| lacking == input))
    }
}
