/// Slots of the per-CPU counter array. Each counts since load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Opens that matched the filter, canaries not counted.
    OpenMatched = 0,
    /// Connects to a watched endpoint, canaries not counted.
    ConnectMatched = 1,
    /// Outcomes and closes of those connects.
    OutcomeMatched = 2,
    /// Cgroups made, removed, entered.
    LifecycleMatched = 3,
    /// Records that found the event ring full.
    EventRingFull = 4,
    /// Records that found the lifecycle ring full.
    LifecycleRingFull = 5,
    /// Own canaries.
    Canary = 6,
    /// Connections accepted on a watched address, canaries not counted.
    AcceptMatched = 7,
    /// Sockets that began to listen on a watched address, canaries not counted.
    ListenMatched = 8,
    /// Commands of exec sessions that found the event ring full. They are no events, so they count nowhere else.
    SessionRingFull = 9,
    /// Refused opens, the auditor's own not counted. Only with `--watch-denied`.
    DeniedMatched = 10,
    /// Refused opens that found their ring full.
    DeniedRingFull = 11,
    /// Accesses to another process's memory that the kernel allowed, canaries not counted.
    MemoryMatched = 13,
    /// Those of them that an earlier one stands for.
    MemoryFolded = 14,
    /// Packet and raw TCP sockets asked for, canaries not counted.
    SocketMatched = 15,
    /// Those of them that an earlier one stands for.
    SocketFolded = 17,
    /// Descriptors of tokens and of connections to watched endpoints that arrived, canaries not counted.
    ReceivedMatched = 12,
    /// Connects to a watched endpoint that ended before a SYN, canaries not counted. Apart from `ConnectMatched`, which tells how much
    /// `CONNECTS` and `TUPLES` had to remember: these are free to make, and never there.
    ConnectAttempted = 18,
    /// Opens that flood control folded.
    OpenFolded = 19,
    /// Connects that it folded, and those that ended before a SYN.
    ConnectFolded = 20,
    /// Outcomes and closes of folded connects.
    OutcomeFolded = 21,
    /// What was accepted of folded connects.
    AcceptFolded = 22,
    /// Descriptors that arrived and that flood control folded.
    ReceivedFolded = 23,
    /// Records that found the strangers' ring full.
    StrangerRingFull = 24,
    /// Own canaries that found a ring full: nobody's events, and no loss.
    CanaryRingFull = 25,
}

/// Number of slots.
pub const COUNTERS: u32 = 26;
