//! Files of `/proc/PID` as text (proc_pid_stat(5), proc_pid_status(5)). A process names itself, and may name cgroups, with any bytes
//! it likes; whoever is not UTF-8 must not be overlooked for that.

use std::{fs, io, path::Path};

/// USER_HZ is 100 on every architecture that this runs on (include/uapi/asm-generic/param.h).
pub const NS_PER_TICK: u64 = 10_000_000;

/// Bytes that are no UTF-8 become U+FFFD.
pub fn read(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A process's cgroup in the default hierarchy, as `/proc/PID/cgroup` has it.
pub fn cgroup_of(process: &Path) -> Option<String> {
    default_cgroup(&read(&process.join("cgroup")).ok()?).map(str::to_owned)
}

/// cgroup_path(7) has no newline in it: `cgroup_mkdir` refuses one.
pub fn default_cgroup(cgroups: &str) -> Option<&str> {
    cgroups.lines().find_map(|line| line.strip_prefix("0::"))
}

/// `starttime` of `/proc/PID/stat`, in ns since boot.
pub fn start_ns(stat: &str) -> Option<u64> {
    // comm may hold blanks and parentheses.
    let behind_comm = stat.rsplit_once(')')?.1;
    let ticks: u64 = behind_comm.split_whitespace().nth(19)?.parse().ok()?;
    ticks.checked_mul(NS_PER_TICK)
}

/// When a process, or thread, began, in ns since boot: to [`NS_PER_TICK`].
pub fn start_of(process: &Path) -> Option<u64> {
    start_ns(&read(&process.join("stat")).ok()?)
}

/// The first number behind `key` in `/proc/PID/status`. A newline in the name, its first line, is written as `\n`
/// (fs/proc/array.c `proc_task_name`).
pub fn number(status: &str, key: &str, radix: u32) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(line.split_whitespace().next()?, radix).ok()
}

/// A process's pid in each pid namespace that it is in, the outermost first (`NSpid:` of `/proc/PID/status`).
pub fn pids(status: &str) -> Option<Vec<u32>> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    let pids = line.split_whitespace();
    Some(pids.map_while(|pid| pid.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_name_that_is_no_utf8_hides_nobody() {
        thread::spawn(|| {
            rustix::thread::set_name(c"\xff) 1 \n\x1b[2J").unwrap();
            let tid = rustix::thread::gettid().as_raw_nonzero();
            let thread = Path::new("/proc/thread-self");
            assert!(fs::read_to_string(thread.join("stat")).is_err());
            assert!(fs::read_to_string(thread.join("status")).is_err());

            let status = read(&thread.join("status")).unwrap();
            let tgid = u64::from(std::process::id());
            assert_eq!(number(&status, "Tgid:", 10), Some(tgid));
            let pids = pids(&status).unwrap();
            assert_eq!(pids.first().copied(), u32::try_from(tid.get()).ok());
            let start = start_ns(&read(&thread.join("stat")).unwrap()).unwrap();
            let first = start_ns(&read(Path::new("/proc/self/stat")).unwrap()).unwrap();
            assert!(start >= first);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn only_the_default_hierarchy_counts() {
        assert_eq!(default_cgroup("1:name=x:/a\n0::/b\n"), Some("/b"));
        assert_eq!(default_cgroup("1:name=x:/a\n"), None);
    }
}
