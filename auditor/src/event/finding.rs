//! Findings and verdicts. The ids are a contract: scripts and alerts depend on them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A rule's name, in the order of the design's table.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FindingId {
    ForeignTokenOpen,
    TokenHarvest,
    HostTokenOpen,
    ForeignTokenReceived,
    StealthAgentConnection,
    AgentImpersonation,
    IdentityMismatch,
    CredentialMemoryAccess,
    UnassociatedAgentConnect,
    UnboundTokenOpen,
    RoleDrift,
    TokenWrite,
    ExecSessionTokenOpen,
    ForeignExecutable,
    UnexpectedExecutable,
    RawSocket,
    AgentConnectWithoutToken,
    NodeRoleFallback,
    DeniedTokenOpen,
    AgentUnreachable,
    IdentityNotInjected,
    UnusedCredential,
}

/// Ordered from least to most severe.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    Info,
    Medium,
    High,
    Critical,
}

/// One rule that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub id: FindingId,
    pub severity: Severity,
    /// One sentence for a human: who did what to whom.
    pub message: String,
    /// The reason given by the policy's exemption, when one matched: the finding stays, but does not count towards the verdict.
    pub exempted_by: Option<String>,
}

/// What the findings of one event add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    Allowed,
    Suspicious,
    /// A rule that could have decided lacked its input; the line's `undetermined` names what was missing.
    Undetermined,
    Violation,
}

/// The opener's pod against the token's owner.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    Own,
    SameServiceAccount,
    OtherPod,
    Host,
    Unknown,
}
