//! What was done: a token opened, a credential endpoint reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OwnerRef;

/// By the audience in the pod's spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    Irsa,
    PodIdentity,
    /// The default audience: the API server's.
    ServiceAccount,
    /// Another audience.
    Other,
    /// The owner's spec is not known, or names no such file.
    Unknown,
}

/// Never the token's bytes: nobody reads those.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenRef {
    pub kind: TokenKind,
    /// Name of the projected volume.
    pub volume: Option<String>,
    /// Path within the volume, below the timestamp directory.
    pub file: String,
    pub audience: Option<String>,
    pub expiration_seconds: Option<u64>,
    /// Null when the superblock could not be traced to a pod.
    pub owner: Option<OwnerRef>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    #[default]
    Open,
    ScmRights,
    PidfdGetfd,
    SeccompAddfd,
    /// Found open when the auditor looked: opened before its start, or in a way that it does not see.
    Held,
    /// Found mapped when the auditor looked.
    Mapped,
}

/// `open(2)` flags worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AccessFlag {
    ORdonly,
    OWronly,
    ORdwr,
    OCreat,
    OTrunc,
    OAppend,
    ONonblock,
    ODirect,
    ONofollow,
    OCloexec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Access {
    pub via: Via,
    pub flags: Vec<AccessFlag>,
    /// `fentry`, `kprobe` or `syscall`; `iterator` or `proc` for what was found.
    pub backend: String,
    /// Why the kernel refused it; only with `--watch-denied`, and then the token is as the path claims.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointKind {
    PodIdentityAgent,
    Imds,
    /// Named by `--endpoint`.
    Custom,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Established,
    Refused,
    Unreachable,
    Timeout,
    /// The process closed the socket before the handshake ended: usually its own time limit.
    Aborted,
    /// No outcome within 10 s.
    Pending,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// `pod-identity-agent`, `imds`, or the name given by `--endpoint`.
    pub endpoint: String,
    /// `ADDR:PORT`, IPv6 in brackets; null while the source port is not known.
    pub src: Option<String>,
    pub dst: String,
    pub outcome: Outcome,
    pub errno: Option<i32>,
    /// From the connect to its outcome.
    pub duration_us: Option<u64>,
}
