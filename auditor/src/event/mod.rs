//! The vocabulary of the event contract (`docs/event.schema.json`): what every stage passes on and what a line carries.
//!
//! These types hold no logic but their names: the node stage fills [`Process`] and [`TokenRef`], the cluster stage [`PodRef`], the audit
//! stage [`Finding`] and [`Verdict`], and the report stage writes [`Line`]s.

mod access;
mod finding;
mod identity;
mod line;
mod process;
mod word;

pub use access::{Access, AccessFlag, Connection, EndpointKind, Outcome, TokenKind, TokenRef, Via};
pub use finding::{Finding, FindingId, Relation, Severity, Verdict};
pub use identity::{
    Attribution, Binding, BindingKind, Container, Evidence, Injected, OwnerRef, PodRef,
};
pub use line::{
    AgentAccept, Body, ConnectionClosed, CredentialConnect, Health, HookStatus, Line, Listen,
    ListenSocket, Loss, MemoryAccess, MemoryMode, MemoryVia, OtherProcess, Posture, PostureState,
    PostureSubject, RawSocket, Ready, ReceivedConnection, SCHEMA, SocketCreate, Stopped, Summary,
    SummaryToken, TokenOpen, TokenReceived,
};
pub use process::{InodeId, Namespaces, Parent, Process};
pub(crate) use word::word;
