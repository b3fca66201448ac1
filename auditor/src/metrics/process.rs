//! What every Prometheus client library says of its process, under the usual names; all but its start read at each scrape.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::time::{ClockId, clock_gettime};

#[derive(Debug)]
pub(super) struct ProcessCollector {
    /// Read once: by /proc it moves with the clock, and an alert takes each move for a restart.
    started: Option<f64>,
}

impl ProcessCollector {
    pub fn new() -> Self {
        Self {
            started: start_time_seconds(),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let cpu = ConstCounter::new(cpu_seconds());
        let described = encoder.encode_descriptor(
            "process_cpu_seconds",
            "User and system CPU time in seconds",
            None,
            cpu.metric_type(),
        )?;
        cpu.encode(described)?;
        let gauges = [
            (
                "process_resident_memory_bytes",
                "Resident memory in bytes",
                resident_bytes(),
            ),
            (
                "process_start_time_seconds",
                "Start time since the Unix epoch in seconds",
                self.started,
            ),
            ("process_open_fds", "Open file descriptors", open_fds()),
        ];
        // What /proc does not tell is left out rather than 0.
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

fn cpu_seconds() -> f64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec as f64 + spent.tv_nsec as f64 / 1e9
}

fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024.0)
}

fn start_time_seconds() -> Option<f64> {
    /// USER_HZ: part of the kernel's ABI on x86-64 and arm64.
    const TICKS_PER_SECOND: f64 = 100.0;
    let boot: f64 = fs::read_to_string("/proc/stat")
        .ok()?
        .lines()
        .find_map(|l| l.strip_prefix("btime "))?
        .parse()
        .ok()?;
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // proc_pid_stat(5): starttime is field 22; the second, in parentheses, may hold anything.
    let ticks: f64 = stat
        .rsplit_once(')')?
        .1
        .split_ascii_whitespace()
        .nth(22 - 3)?
        .parse()
        .ok()?;
    Some(boot + ticks / TICKS_PER_SECOND)
}

fn open_fds() -> Option<f64> {
    // The directory being read is one of them.
    Some(
        fs::read_dir("/proc/self/fd")
            .ok()?
            .count()
            .saturating_sub(1) as f64,
    )
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn this_process_is_described_truly() {
        let kept = vec![1_u8; 32 << 20];
        let resident = resident_bytes().unwrap();
        assert!(
            resident > kept.iter().map(|&b| f64::from(b)).sum::<f64>(),
            "{resident}"
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let started = start_time_seconds().unwrap();
        assert!(
            started < now + 2.0 && now - started < 3600.0,
            "{started} against {now}"
        );
        let before = cpu_seconds();
        while cpu_seconds() < before + 0.01 {}
        let (fds, _one_more) = (open_fds().unwrap(), fs::File::open("/dev/null").unwrap());
        assert!(fds >= 3.0);
    }
}
