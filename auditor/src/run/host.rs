//! What the machine must give before anything is loaded.

use std::path::Path;

use super::mounts::MountWatch;
use crate::{
    cli::{Failure, RunConfig},
    probe::{RingWatch, Rings},
};

/// include/linux/proc_ns.h `PROC_PID_INIT_INO`
const INITIAL: &str = "pid:[4026531836]";
/// Programs, maps and rings are some 60, and a scrape, the API server and a look at /proc need theirs.
pub const LEAST_FILES: u64 = 256;

/// Our own tgid as the kernel's helpers tell it: the host's /proc names it whatever pid namespace this is.
///
/// # Errors
/// `--host-proc` is not the host's, or no /proc at all.
pub fn own_tgid(host_proc: &Path) -> Result<u32, Failure> {
    let link = host_proc.join("self");
    let tgid = std::fs::read_link(&link).map_err(|error| {
        let what = format!("cannot read {}", link.display());
        Failure::environment(anyhow::Error::new(error).context(what))
            .help("mount the host's /proc and name it with --host-proc")
    })?;
    let is_ours = std::fs::read_link("/proc/self/ns/pid").map(|ns| ns.as_os_str() == INITIAL);
    let status = std::fs::read_to_string(host_proc.join("self/status")).unwrap_or_default();
    let first = std::fs::read_link(host_proc.join("1/ns/pid")).ok();
    let first = first.as_ref().and_then(|ns| ns.to_str());
    // Where /proc itself is not mounted, what was given decides.
    if is_ours.unwrap_or_default() {
        return Ok(std::process::id());
    }
    if !is_hosts(first, &status) {
        return Err(Failure::environment(anyhow::anyhow!(
            "--host-proc {}: this is the /proc of the container's pid namespace, not the host's",
            host_proc.display()
        ))
        .help(
            "in a pod mount the host's /proc (hostPath: /proc) and name it with --host-proc /host/proc",
        ));
    }
    tgid.to_str()
        .and_then(|tgid| tgid.parse().ok())
        .ok_or_else(|| Failure::environment(anyhow::anyhow!("{} names no process", link.display())))
}

/// `first`: the pid namespace of its process 1, where that may be read. `status`: ours in it, whose `NSpid` has a number for each
/// pid namespace from that of the mount to ours (fs/proc/array.c `task_state`).
fn is_hosts(first: Option<&str>, status: &str) -> bool {
    if let Some(first) = first {
        return first == INITIAL;
    }
    status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))
        .is_some_and(|pids| pids.split_whitespace().count() > 1)
}

/// Raises what may be open to the hard limit, and gives back the limit.
///
/// # Errors
/// It is too low.
pub fn open_files() -> Result<u64, Failure> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let current = current.unwrap_or(u64::MAX);
    if current < LEAST_FILES {
        return Err(Failure::environment(anyhow::anyhow!(
            "only {current} files may be open at a time (RLIMIT_NOFILE), and the auditor needs {LEAST_FILES}"
        ))
        .help("raise it: LimitNOFILE=1024 in a systemd unit, `ulimit -n 1024` in a shell"));
    }
    Ok(current)
}

/// # Errors
/// The kernel lets them not be polled.
pub fn watch_rings(rings: &Rings) -> Result<RingWatch, Failure> {
    rings.watch().map_err(|error| {
        Failure::environment(anyhow::Error::new(error).context("cannot wait for the kernel's events"))
            .help("EMFILE and ENFILE mean a limit on open files (LimitNOFILE), ENOSPC fs.epoll.max_user_watches")
    })
}

/// # Errors
/// It is not the kernel's file, or cannot be polled.
pub fn watch_mounts(config: &RunConfig) -> Result<MountWatch, Failure> {
    MountWatch::new(&config.host_proc).map_err(|error| {
        let path = config.host_proc.join("1/mountinfo");
        let what = format!("cannot watch the host's mounts ({})", path.display());
        Failure::environment(anyhow::Error::new(error).context(what))
            .help("mount the host's /proc and name it with --host-proc; a plain file in its place cannot be watched")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_proc_is_told_from_a_containers() {
        assert!(is_hosts(Some(INITIAL), ""));
        assert!(!is_hosts(Some("pid:[4026532500]"), "NSpid:\t4711\t1\n"));
        // Where its process 1 is out of sight.
        assert!(is_hosts(None, "Name:\tauditor\nNSpid:\t4711\t1\n"));
        assert!(!is_hosts(None, "Name:\tauditor\nNSpid:\t1\n"));
        assert!(!is_hosts(None, ""));
    }

    #[test]
    fn no_proc_is_an_error_that_names_the_flag() {
        let failure = own_tgid(Path::new("/nonexistent")).unwrap_err();
        assert!(failure.reason().contains("/nonexistent/self"));
        assert!(failure.remedy().unwrap().contains("--host-proc"));
        let is_initial =
            std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link == Path::new(INITIAL));
        match own_tgid(Path::new("/proc")) {
            Ok(tgid) => assert_eq!(tgid, std::process::id()),
            Err(failure) => assert!(!is_initial, "{}", failure.reason()),
        }
    }

    #[tokio::test]
    async fn a_plain_file_in_the_place_of_mountinfo_is_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("1")).unwrap();
        std::fs::write(dir.path().join("1/mountinfo"), "").unwrap();
        let error = MountWatch::new(dir.path()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
}
