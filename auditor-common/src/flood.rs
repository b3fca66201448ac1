//! Flood control: how often one and the same is told of. A token bucket in the form of the generic cell rate algorithm (ITU-T I.371):
//! one number, the theoretical arrival time, and no division.
//!
//! Two levels. The first is one executable of one cgroup (and in it of one exec session) at one object. The second leaves out the executable, and for what is a
//! pod's own the object too, so that a thousand copies of a program, or mounts of a token, gain nothing. For strangers it keeps the
//! object: noise at one pod's token must not fold the theft of another's.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Key of `FLOOD`: who does what to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FloodKey {
    pub cgroup_id: u64,
    /// Address of the volume's superblock, index of the endpoint; 0 where a key stands for all of them.
    pub object: u64,
    /// 0 where a key stands for all executables.
    pub exe_ino: u64,
    pub exe_dev: u32,
    /// Of the volume, as the kernel encodes it; 0 for an endpoint, and where a key stands for all objects.
    pub dev: u32,
    /// See [`crate::kind`].
    pub kind: u16,
    /// 1: the kernel half does not know that the cgroup is of the volume's own pod.
    pub stranger: u16,
    /// Pid, in its container, of the process that came in from outside and of which whoever does it descends (`kubectl exec`); 0 where it
    /// descends from the container's init, or that cannot be told. Nobody inside can bring it about.
    pub session: u32,
}

/// Value of `FLOOD`. All times are CLOCK_BOOTTIME, ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct FloodState {
    /// Theoretical arrival time: when the bucket will be full again. Two CPUs may write it at once; then one more is told of.
    pub tat: u64,
    /// Since the entry was made; added to atomically.
    pub folded: u64,
    /// When the first was folded.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

/// So many at once, and then so many a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// From one that conforms to the next, ns.
    pub interval: u64,
    /// How far ahead of the clock the theoretical arrival time may be, ns.
    pub tolerance: u64,
}

impl Bucket {
    const fn new(burst: u64, per_second: u64) -> Self {
        let interval = 1_000_000_000 / per_second;
        Self {
            interval,
            tolerance: (burst - 1) * interval,
        }
    }

    /// The new theoretical arrival time where one more conforms.
    #[inline(always)]
    pub const fn next(&self, tat: u64, now: u64) -> Option<u64> {
        if self.is_full(tat, now) {
            return None;
        }
        Some(self.after(tat, now))
    }

    /// Whether one more does not conform.
    #[inline(always)]
    pub const fn is_full(&self, tat: u64, now: u64) -> bool {
        tat > now && tat - now > self.tolerance
    }

    /// The theoretical arrival time after one that conforms.
    #[inline(always)]
    pub const fn after(&self, tat: u64, now: u64) -> u64 {
        (if tat > now { tat } else { now }) + self.interval
    }
}

/// One executable at one object. An SDK that starts reads its token a few times, a shell's script a dozen; after that the kubelet
/// renews it once an hour, and an SDK asks for credentials as seldom.
pub const PER_EXECUTABLE: Bucket = Bucket::new(32, 8);
/// All executables of a cgroup with what is their pod's own: four that start at once.
pub const PER_CGROUP: Bucket = Bucket::new(128, 32);
/// All executables of a cgroup at one pod's volume that is not theirs: each is a finding, and the first tell all there is to know.
pub const PER_VICTIM: Bucket = Bucket::new(64, 16);

/// Keys that are held at one time. Not least recently used: what is pushed out would be counted nowhere.
pub const FLOOD_KEYS: u32 = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn passed(bucket: Bucket, times: impl Iterator<Item = u64>) -> u64 {
        let (mut tat, mut passed) = (0, 0);
        for now in times {
            if let Some(next) = bucket.next(tat, now) {
                tat = next;
                passed += 1;
            }
        }
        passed
    }

    #[test]
    fn a_burst_is_whole_and_then_the_rate_holds() {
        let at_once = core::iter::repeat_n(SECOND, 1000);
        assert_eq!(passed(PER_EXECUTABLE, at_once), 32);
        // Ten seconds of a flood.
        let flood = (0..100_000).map(|n| SECOND + n * SECOND / 10_000);
        assert_eq!(passed(PER_EXECUTABLE, flood), 32 + 8 * 10 - 1);
        // What is below the rate is never folded.
        let slow = (0..1000).map(|n| SECOND + n * SECOND / 8);
        assert_eq!(passed(PER_EXECUTABLE, slow), 1000);
        // After a rest it is whole again.
        let twice = core::iter::repeat_n(SECOND, 100).chain(core::iter::repeat_n(9 * SECOND, 100));
        assert_eq!(passed(PER_EXECUTABLE, twice), 64);
    }

    #[test]
    fn no_time_overflows() {
        assert_eq!(PER_CGROUP.next(0, 0), Some(PER_CGROUP.interval));
        assert!(PER_CGROUP.is_full(u64::MAX, 0));
    }
}
