//! That a process is confined as the manifest says, by the kernel's word.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::daemonset::SecurityContext;
use crate::{auditor::Auditor, sys::capabilities};

/// That the process is confined as the manifest says, by the kernel's word.
///
/// # Errors
/// With what differs.
pub fn verify(auditor: &Auditor, security: &SecurityContext) -> Result<()> {
    let pid = auditor.pid();
    let read = |name: &str| {
        let path = format!("/proc/{pid}/{name}");
        fs::read_to_string(&path).with_context(|| path)
    };
    let (status, mounts) = (read("status")?, read("mountinfo")?);
    let names: Result<Vec<u64>> = security
        .capabilities
        .add
        .iter()
        .map(|name| capabilities::named(name))
        .collect();
    let set: u64 = names?.into_iter().fold(0, |set, bit| set | bit);
    let no_new_privs = !security.allow_privilege_escalation;
    judge(
        &status,
        &mounts,
        set,
        no_new_privs,
        security.read_only_root_filesystem,
    )?;
    // The lab's own are the node's; process 1 may be one that nobody may look at.
    for kind in ["pid", "net", "mnt", "ipc", "uts"] {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}"));
        ensure!(
            of(&pid.to_string())? != of("self")?,
            "it is in the node's {kind} namespace"
        );
    }
    Ok(())
}

fn judge(
    status: &str,
    mountinfo: &str,
    capabilities: u64,
    no_new_privs: bool,
    read_only: bool,
) -> Result<()> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).with_context(|| format!("no {name}"))
    };
    for name in ["CapBnd:", "CapEff:", "CapPrm:"] {
        let set = u64::from_str_radix(field(name)?, 16)?;
        ensure!(
            set == capabilities,
            "{name} {set:016x}, the manifest says {capabilities:016x}"
        );
    }
    ensure!(
        field("CapAmb:")?.bytes().all(|b| b == b'0'),
        "ambient capabilities"
    );
    for name in ["Uid:", "Gid:"] {
        ensure!(
            field(name)?.split_whitespace().all(|id| id == "0"),
            "{name} is not 0"
        );
    }
    ensure!(
        field("NoNewPrivs:")? == if no_new_privs { "1" } else { "0" },
        "NoNewPrivs: {}",
        field("NoNewPrivs:")?
    );
    // SECCOMP_MODE_FILTER
    ensure!(field("Seccomp:")? == "2", "no seccomp filter");
    let root = mountinfo
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|words| words.get(4) == Some(&"/"))
        .context("no root mount")?;
    let is_read_only = root[5].split(',').any(|option| option == "ro");
    ensure!(is_read_only == read_only, "the root is mounted {}", root[5]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nCapPrm:\t000000c000080004\nCapEff:\t000000c000080004\n\
        CapBnd:\t000000c000080004\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n";
    const MOUNTS: &str =
        "1 0 0:50 / / ro,relatime - overlay overlay rw\n2 1 0:5 / /dev rw - tmpfs tmpfs rw\n";
    const SET: u64 = 0xc0_0008_0004;

    #[test]
    fn any_right_beyond_the_manifests_is_told() {
        assert!(judge(STATUS, MOUNTS, SET, true, true).is_ok());
        for (from, to) in [
            ("CapBnd:\t000000c000080004", "CapBnd:\t000000c000280004"),
            ("CapEff:\t000000c000080004", "CapEff:\t0000008000080004"),
            ("CapAmb:\t0000000000000000", "CapAmb:\t0000000000000004"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("Uid:\t0\t0", "Uid:\t0\t1000"),
        ] {
            assert!(
                judge(&STATUS.replace(from, to), MOUNTS, SET, true, true).is_err(),
                "{to}"
            );
        }
        assert!(judge(STATUS, &MOUNTS.replace("ro,", "rw,"), SET, true, true).is_err());
        assert!(judge(STATUS, "", SET, true, true).is_err());
    }
}
