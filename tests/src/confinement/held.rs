//! What a running process may do, by the kernel's word: proc_pid_status(5).

use std::{fs, io};

use anyhow::{Context, Result, ensure};

/// What it is to have, no more and no less. Nothing is inheritable or ambient, there are no further groups, and seccomp filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Real, effective, saved and of the file system.
    pub uid: u32,
    pub gid: u32,
    /// Permitted, effective and bounding, as the kernel counts them.
    pub capabilities: u64,
    pub no_new_privs: bool,
}

/// Holds each thread of a process against `rights`: the kernel keeps all of these for each thread.
///
/// # Errors
/// One may do more, or less.
pub fn verify(pid: u32, rights: &Rights) -> Result<()> {
    let tasks = format!("/proc/{pid}/task");
    let mut looked = 0;
    for task in fs::read_dir(&tasks).with_context(|| tasks.clone())? {
        let path = task?.path().join("status");
        match fs::read_to_string(&path) {
            Ok(status) => judge(&status, rights).with_context(|| path.display().to_string())?,
            // A thread that ended meanwhile: ENOENT before the file is opened, ESRCH after.
            Err(error) if is_gone(&error) => continue,
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        looked += 1;
    }
    ensure!(looked > 0, "{tasks}: no thread");
    Ok(())
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

fn judge(status: &str, rights: &Rights) -> Result<()> {
    let field = |name: &str| {
        let mut lines = status.lines();
        lines
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(str::trim)
            .with_context(|| format!("no {name}"))
    };
    let Rights {
        uid,
        gid,
        capabilities,
        no_new_privs,
    } = *rights;
    let set = format!("{capabilities:016x}");
    let none = format!("{:016x}", 0);
    for (name, expected) in [
        ("CapInh", none.clone()),
        ("CapPrm", set.clone()),
        ("CapEff", set.clone()),
        ("CapBnd", set),
        ("CapAmb", none),
        ("Uid", format!("{uid}\t{uid}\t{uid}\t{uid}")),
        ("Gid", format!("{gid}\t{gid}\t{gid}\t{gid}")),
        ("NoNewPrivs", u8::from(no_new_privs).to_string()),
        // SECCOMP_MODE_FILTER
        ("Seccomp", "2".to_owned()),
    ] {
        let found = field(name)?;
        ensure!(
            found == expected,
            "{name} is {found}, and the manifest's container has {expected}"
        );
    }
    // containerd names the primary group among them (from 1.6.18 on, `pkg/oci/spec_opts.go`, `ensureAdditionalGids`), which adds nothing.
    let groups = field("Groups")?;
    ensure!(
        groups
            .split_whitespace()
            .all(|group| group == gid.to_string()),
        "Groups is {groups}, and the manifest's container is in {gid} only"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tauditor\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nGroups:\t \nCapInh:\t0000000000000000\n\
        CapPrm:\t000000c000080004\nCapEff:\t000000c000080004\nCapBnd:\t000000c000080004\nCapAmb:\t0000000000000000\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    const RIGHTS: Rights = Rights {
        uid: 0,
        gid: 0,
        capabilities: 0xc0_0008_0004,
        no_new_privs: true,
    };

    #[test]
    fn a_process_with_more_or_less_is_told() {
        judge(STATUS, &RIGHTS).unwrap();
        judge(&STATUS.replace("Groups:\t ", "Groups:\t0 "), &RIGHTS).unwrap();
        let all = "000001ffffffffff";
        let one_less = "0000008000080004";
        for (name, other) in [
            ("CapInh", "000000c000080004"),
            ("CapPrm", all),
            ("CapPrm", one_less),
            ("CapEff", all),
            ("CapEff", one_less),
            ("CapBnd", all),
            ("CapBnd", one_less),
            ("CapAmb", "0000000000000004"),
            ("NoNewPrivs", "0"),
            ("Seccomp", "0"),
            // SECCOMP_MODE_STRICT
            ("Seccomp", "1"),
            ("Uid", "65534\t0\t0\t0"),
            ("Uid", "0\t65534\t0\t0"),
            ("Uid", "0\t0\t65534\t0"),
            ("Uid", "0\t0\t0\t65534"),
            ("Gid", "65534\t0\t0\t0"),
            ("Gid", "0\t65534\t0\t0"),
            ("Gid", "0\t0\t65534\t0"),
            ("Gid", "0\t0\t0\t65534"),
            ("Groups", "27 "),
            ("Groups", "0 27 "),
        ] {
            let told = with(name, Some(other));
            let error = judge(&told, &RIGHTS).expect_err(other).to_string();
            assert!(error.starts_with(&format!("{name} is ")), "{error}");
        }
        let fields = STATUS.lines().filter_map(|line| line.split(':').next());
        for name in fields.filter(|name| !["Name", "Seccomp_filters"].contains(name)) {
            let error = judge(&with(name, None), &RIGHTS).expect_err(name);
            assert_eq!(error.to_string(), format!("no {name}"));
        }
        let other = Rights {
            no_new_privs: false,
            ..RIGHTS
        };
        assert!(judge(STATUS, &other).is_err());
    }

    /// The status with another value for a field, or without it.
    fn with(name: &str, value: Option<&str>) -> String {
        let is_it = |line: &&str| line.split(':').next() == Some(name);
        let rest = STATUS.lines().filter(|line| !is_it(line));
        let mut lines: Vec<String> = rest.map(str::to_owned).collect();
        assert_eq!(lines.len() + 1, STATUS.lines().count(), "{name}");
        lines.extend(value.map(|value| format!("{name}:\t{value}")));
        lines.join("\n")
    }

    #[test]
    fn each_thread_is_looked_at() {
        // This one has no filter, or not these rights; either way it is a thread's file that is named.
        let error = verify(std::process::id(), &RIGHTS).unwrap_err();
        assert!(error.to_string().contains("/task/"), "{error:#}");
        assert!(verify(u32::MAX, &RIGHTS).is_err());
    }
}
