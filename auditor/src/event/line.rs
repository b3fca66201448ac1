//! One line of output: the envelope and its body.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Access, Attribution, Binding, Connection, Container, Evidence, Finding, InodeId, OwnerRef,
    PodRef, Process, Relation, TokenRef, Verdict,
};

/// Version of the event contract.
pub const SCHEMA: &str = "auditor/v1";

/// One JSON object a line, under 16 KiB.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Line {
    pub schema: &'static str,
    /// UUIDv7.
    pub id: String,
    /// UUIDv7 of this run of the auditor.
    pub run_id: Arc<str>,
    /// From 0 in each run; given just before the sink, without holes but those that a `loss` event explains.
    pub seq: u64,
    /// When it happened, by the kernel's clock.
    #[schemars(with = "String")]
    pub time: Timestamp,
    pub cluster: Option<Arc<str>>,
    /// AWS account of the role that the binding names, else null.
    pub account: Option<String>,
    pub region: Option<String>,
    pub node: Arc<str>,
    pub instance_id: Option<Arc<str>>,
    #[serde(flatten)]
    pub body: Body,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Body {
    Ready(Box<Ready>),
    Stopped(Stopped),
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
    Summary(Box<Summary>),
    Loss(Loss),
    Health(Health),
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenOpen {
    pub verdict: Verdict,
    /// Which inputs a rule lacked.
    pub undetermined: Vec<String>,
    pub relation: Relation,
    pub findings: Vec<Finding>,
    pub process: Process,
    pub container: Option<Container>,
    /// The opener's.
    pub pod: Option<PodRef>,
    pub token: TokenRef,
    pub access: Access,
    /// The owner's.
    pub binding: Option<Binding>,
    pub evidence: Evidence,
    pub attribution: Attribution,
    pub repeats: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct CredentialConnect {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    /// Always null: a connect has no owner to relate to.
    pub relation: Option<Relation>,
    pub findings: Vec<Finding>,
    pub process: Process,
    pub container: Option<Container>,
    /// The connector's.
    pub pod: Option<PodRef>,
    pub connection: Connection,
    /// The connector's.
    pub binding: Option<Binding>,
    pub evidence: Evidence,
    pub attribution: Attribution,
    pub repeats: u64,
}

/// The end of a connection whose `credential_connect` had the id `connect_id`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionClosed {
    pub connect_id: String,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    /// From the connect to the close.
    pub duration_us: u64,
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
    pub pod: Option<PodRef>,
    pub connection: Connection,
}

/// A connection that was accepted on a credential address: that no connect seen on this node explains, or that somebody other than
/// the agent accepted (the first one of each).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AgentAccept {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
    /// As `connection.endpoint` of a connect.
    pub endpoint: String,
    /// `ADDR:PORT`, IPv6 in brackets.
    pub peer: String,
    pub local: String,
    /// Inode number of the network namespace that it was accepted in.
    pub net_ns: u32,
    /// By the peer's address: null where no pod of this node, or more than one, has it.
    pub pod: Option<PodRef>,
    /// Whose socket listened, by its cgroup: null where it is no pod's.
    pub listener: Option<PodRef>,
    /// Id of the `credential_connect` that it belongs to; null where there is none.
    pub connect_id: Option<String>,
    /// The peer's.
    pub binding: Option<Binding>,
    pub evidence: Evidence,
    pub attribution: Attribution,
}

/// Somebody listens on a credential address.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listen {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
    pub process: Process,
    pub container: Option<Container>,
    pub pod: Option<PodRef>,
    pub socket: ListenSocket,
    pub attribution: Attribution,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenSocket {
    /// As `connection.endpoint` of a connect.
    pub endpoint: String,
    /// `ADDR:PORT`, IPv6 in brackets.
    pub local: String,
    /// Inode number of the socket's network namespace.
    pub net_ns: u32,
    /// It is the agent's, as `--agent-netns` names it.
    pub agent_net_ns: bool,
}

/// A descriptor of a token, or of a connection to a credential endpoint, arrived in a process that did not open it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenReceived {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    /// The receiver against the token's owner, or against whose process made the connection.
    pub relation: Relation,
    pub findings: Vec<Finding>,
    /// The receiver.
    pub process: Process,
    pub container: Option<Container>,
    /// The receiver's.
    pub pod: Option<PodRef>,
    /// Null where it is a connection's descriptor.
    pub token: Option<TokenRef>,
    /// Null where it is a token's descriptor.
    pub connection: Option<ReceivedConnection>,
    pub access: Access,
    /// The process that it was taken from; null where the kernel does not tell (a message does not say who sent it).
    pub from: Option<OtherProcess>,
    /// The owner's.
    pub binding: Option<Binding>,
    pub evidence: Evidence,
    pub attribution: Attribution,
    pub repeats: u64,
}

/// A connection to a credential endpoint whose socket was handed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceivedConnection {
    /// As `connection.endpoint` of a connect.
    pub endpoint: String,
    /// `ADDR:PORT`, IPv6 in brackets; null while the source port is not known.
    pub src: Option<String>,
    pub dst: String,
    /// Id of the `credential_connect` that made it; null where it was not seen.
    pub connect_id: Option<String>,
    /// Whose process made it.
    pub owner: Option<OwnerRef>,
}

/// A process that something was done to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OtherProcess {
    /// In the host's (initial) pid namespace.
    pub pid: u32,
    #[schemars(with = "String")]
    pub start_time: Timestamp,
    /// Can be forged by the process.
    pub comm: String,
    pub container: Option<Container>,
    pub pod: Option<PodRef>,
}

/// A process asked for another's memory, in a way that lets it read what that one holds (`PTRACE_MODE_ATTACH`).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MemoryAccess {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    /// The actor's pod against the target's.
    pub relation: Relation,
    pub findings: Vec<Finding>,
    /// The actor.
    pub process: Process,
    pub container: Option<Container>,
    /// The actor's.
    pub pod: Option<PodRef>,
    pub target: OtherProcess,
    pub mode: MemoryMode,
    pub via: MemoryVia,
    /// `fentry` or `kprobe`.
    pub backend: String,
    /// The target's.
    pub binding: Option<Binding>,
    pub evidence: Evidence,
    pub attribution: Attribution,
    pub repeats: u64,
}

/// By whose credentials the kernel asked (include/linux/ptrace.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryMode {
    /// `PTRACE_MODE_ATTACH_REALCREDS`: ptrace(2), process_vm_readv(2), pidfd_getfd(2).
    AttachRealCreds,
    /// `PTRACE_MODE_ATTACH_FSCREDS`: `/proc/PID/mem`.
    AttachFsCreds,
}

/// The system call that asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemoryVia {
    Ptrace,
    ProcessVmReadv,
    ProcessVmWritev,
    /// An open of `/proc/PID/mem`, or of another file there that the kernel asks the same for.
    ProcFile,
    /// It copies a descriptor, and reads no memory.
    PidfdGetfd,
    /// Another one, a 32-bit one, or a ring of io_uring.
    #[default]
    Other,
}

/// A pod asked for a socket that a TCP stack of its own can be built on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SocketCreate {
    pub verdict: Verdict,
    pub undetermined: Vec<String>,
    pub findings: Vec<Finding>,
    pub process: Process,
    pub container: Option<Container>,
    pub pod: Option<PodRef>,
    pub socket: RawSocket,
    pub evidence: Evidence,
    pub attribution: Attribution,
    pub repeats: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RawSocket {
    /// `packet`, `inet` or `inet6`.
    pub family: String,
    /// `raw`, `dgram`, or the number.
    #[serde(rename = "type")]
    pub socket_type: String,
    /// As given to socket(2): an EtherType in network byte order for `packet`, else an IP protocol.
    pub protocol: u32,
    /// Inode number of the network namespace that it was made in.
    pub net_ns: u32,
    /// `fentry` or `kprobe`.
    pub backend: String,
}

/// A finding about a state, not an event: raised once, cleared once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Posture {
    pub state: PostureState,
    pub subject: PostureSubject,
    /// With `cleared`, those that no longer hold.
    pub findings: Vec<Finding>,
    pub binding: Option<Binding>,
    pub evidence: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PostureState {
    Raised,
    Cleared,
}

/// What a posture finding is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct PostureSubject {
    /// `pod` or `service-account`.
    pub kind: String,
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    /// The pod's; null for a ServiceAccount that was not read.
    pub uid: Option<Arc<str>>,
    pub service_account: Arc<str>,
}

/// Once every probe is attached.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Ready {
    pub version: &'static str,
    pub kernel: String,
    /// Hook (`file_open`, `connect`, `connect_outcome`, `agent_accept`, `listen`, `exec_session`, `cgroup_lifecycle`,
    /// `descriptor_received`, `open_before`, `memory_access`, `socket_create`; `denied_open` with `--watch-denied`) to how it is watched.
    pub backends: BTreeMap<String, HookStatus>,
    /// Technique of the evasion corpus (`tests/evasion/`, such as `io_uring_openat`) to whether it is seen with these backends.
    pub coverage: BTreeMap<&'static str, bool>,
    /// `memory`, or the state directory's path.
    pub state: String,
    pub policy_hash: Option<String>,
    /// Pods of this node; null while the API server has not told of them.
    pub pods: Option<u64>,
    pub associations: Option<u64>,
    /// Address that the metrics are served on.
    pub metrics: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HookStatus {
    /// `fentry`, `kprobe`, `syscall`, `tracepoint`, `iterator`, `proc`; `none` where no way works here and the auditor runs without.
    pub backend: String,
    /// `live`: its canary fired; `unproven`: it has no canary and no real event has come yet; `unavailable`.
    pub state: String,
    /// What this backend misses, if anything.
    pub misses: Vec<String>,
    /// Why the better ones are not in use, by backend, in the kernel's words.
    pub refused: BTreeMap<String, String>,
    /// The kernel's id of each program, by program name.
    pub programs: BTreeMap<String, u32>,
}

/// Totals of the run: `matched` = `lines` + `counted_only` + `folded` + `lost` + `queued` + `merged`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Stopped {
    pub reason: String,
    /// Events that the kernel half matched, and listeners and open tokens that were there before.
    pub matched: u64,
    /// Lines that came of them.
    pub lines: u64,
    /// Known and not reported one by one: the kubelet's reads, allowed ServiceAccount tokens, files that are no tokens.
    pub counted_only: u64,
    pub folded: u64,
    /// Of those, what flood control folded: the counts of all `summary` lines add up to it.
    pub flooded: u64,
    /// Outcomes that were written as part of their connect's line.
    pub merged: u64,
    pub lost: u64,
    pub queued: u64,
    /// Runs of probes that the kernel left out. What they would have told of is in none of the other numbers.
    pub missed_runs: u64,
    pub uptime_seconds: u64,
}

/// What flood control folded in the kernel, by one key: nothing else is known of each one. The counts of all summaries of a run add
/// up to what `stopped` says was `flooded`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Summary {
    /// The event that each would have been: `token_open`, `token_received`, `credential_connect`, `connect_outcome`,
    /// `connection_closed`, `agent_accept`. Null where the key was forgotten as it was counted: then only `count` holds.
    pub of: Option<String>,
    /// Since the last summary of that key.
    pub count: u64,
    /// Since the key is counted: it is forgotten when it has been idle.
    pub total: u64,
    /// When the first of `count` was; where the key was told of before, when the last that was told then was.
    #[schemars(with = "String")]
    pub first: Timestamp,
    #[schemars(with = "String")]
    pub last: Timestamp,
    /// The kernel half did not know them to be of the pod whose token it is.
    pub stranger: bool,
    /// As of a `token_open`; null for connections.
    pub relation: Option<Relation>,
    /// Of whoever did it.
    pub cgroup_id: Option<u64>,
    /// The cgroup's; null where it is no pod's, or one that the cluster has not told of.
    pub pod: Option<PodRef>,
    /// As a process's: each exec session is counted apart. Null where it cannot be told, and for what comes of a connect (its outcome,
    /// its close, what the agent accepts), which is counted by cgroup alone.
    pub exec_session: Option<bool>,
    /// The executable's; null where they may be several.
    pub exe_inode: Option<InodeId>,
    /// Null where they may be several, and for connections.
    pub token: Option<SummaryToken>,
    /// As `connection.endpoint` of a connect; null where they may be several, and for tokens.
    pub endpoint: Option<String>,
}

/// A token volume. Which of its files is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SummaryToken {
    pub volume: Option<String>,
    pub owner: Option<OwnerRef>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Loss {
    /// `ring-full`, `queue-full`, `sink`, `decode`.
    pub reason: String,
    pub ring: Option<String>,
    pub count: u64,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Health {
    /// `cluster`, `associations`, `policy`, `capabilities`, `kubelet`, `sink`, `probe`, `self-test`, `auditor`.
    pub component: String,
    /// `ok`, `degraded`, `reload-refused`, `restart-gap`.
    pub state: String,
    pub message: String,
}
