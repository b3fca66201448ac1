//! Resident memory and processor time of a running auditor, from /proc.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Resident memory, MiB.
pub struct Memory {
    pub now: f64,
    pub peak: f64,
}

pub fn read(pid: u32) -> Result<Memory> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file);
    let status = status.with_context(|| format!("{file}: the auditor has ended"))?;
    let mib = |key| {
        let kib = parse_kib(&status, key).with_context(|| format!("{file}: no {key}"));
        kib.map(|kib| kib / 1024.0)
    };
    Ok(Memory {
        now: mib("VmRSS:")?,
        peak: mib("VmHWM:")?,
    })
}

/// User and system time of all threads, also of those that have ended.
pub fn processor(pid: u32) -> Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file);
    let stat = stat.with_context(|| format!("{file}: the auditor has ended"))?;
    // utime and stime, fields 14 and 15; the second, the program's name in parentheses, may hold anything.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every architecture that this runs on.
    Ok(Duration::from_millis(ticks * 10))
}

fn parse_kib(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_kibibytes() {
        assert_eq!(
            parse_kib("Name:\tx\nVmRSS:\t    2048 kB\n", "VmRSS:"),
            Some(2048.0)
        );
        assert_eq!(parse_kib("Name:\tx\n", "VmRSS:"), None);
    }
}
