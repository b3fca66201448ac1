//! What a process has and takes, from /proc.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

/// proc_pid_status(5), proc_pid_stat(5).
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// MiB.
    pub resident: f64,
    /// MiB, since the process began or [`forget_peak`].
    pub peak: f64,
    pub threads: u64,
    pub descriptors: u64,
    /// User and system time of all its threads, also of those that have ended.
    pub processor: Duration,
}

/// # Errors
/// Where the process has ended.
pub fn of(pid: u32) -> Result<Usage> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.with_context(|| format!("process {pid} has ended"))?;
    let field = |key: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("/proc/{pid}/status has no {key}"))
    };
    Ok(Usage {
        resident: field("VmRSS:")? as f64 / 1024.0,
        peak: field("VmHWM:")? as f64 / 1024.0,
        threads: field("Threads:")?,
        descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64,
        processor: processor(pid)?,
    })
}

/// # Errors
/// Where the process has ended.
pub fn processor(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.with_context(|| format!("process {pid} has ended"))?;
    // utime and stime, fields 14 and 15; the second, the program's name in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture that this runs on.
    Ok(Duration::from_millis(ticks * 10))
}

/// The peak of resident memory begins anew (proc_pid_clear_refs(5), value 5).
pub fn forget_peak(pid: u32) -> Result<()> {
    let file = format!("/proc/{pid}/clear_refs");
    fs::write(&file, "5").with_context(|| format!("write {file}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_threads() {
        let usage = of(std::process::id()).unwrap();
        assert!(usage.resident > 0.5 && usage.peak >= usage.resident * 0.9);
        assert!(usage.threads >= 1 && usage.descriptors >= 3);
        assert!(of(0).is_err());
    }
}
