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
}

/// Number of slots.
pub const COUNTERS: u32 = 7;
