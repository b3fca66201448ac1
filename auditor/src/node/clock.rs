//! The kernel half's clock (CLOCK_BOOTTIME) to wall time.

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The offset moves when the wall clock is stepped: refresh it now and then.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    realtime_minus_boottime_ns: i128,
}

impl Clock {
    pub fn now() -> Self {
        Self {
            realtime_minus_boottime_ns: nanoseconds(ClockId::Realtime)
                - nanoseconds(ClockId::Boottime),
        }
    }

    /// The wall time at which the boot clock showed `boot_ns`.
    pub fn wall(&self, boot_ns: u64) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(boot_ns) + self.realtime_minus_boottime_ns)
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// What the boot clock shows now, in ns.
    pub fn boot_ns() -> u64 {
        u64::try_from(nanoseconds(ClockId::Boottime)).unwrap_or(0)
    }

    /// How long ago the boot clock showed `boot_ns`.
    pub fn since(boot_ns: u64) -> Duration {
        let age = nanoseconds(ClockId::Boottime) - i128::from(boot_ns);
        Duration::from_nanos(u64::try_from(age).unwrap_or(0))
    }
}

fn nanoseconds(clock: ClockId) -> i128 {
    let time = clock_gettime(clock);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}
