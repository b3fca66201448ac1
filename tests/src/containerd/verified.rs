//! That the auditor's container is as the manifest says, by the kernel's word and not by what the runtime was told.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use super::{
    contained::Deployed,
    daemonset::{SecurityContext, VolumeMount},
};
use crate::{
    auditor::Auditor,
    confinement::{self, Rights},
    sys::capabilities,
};

/// What a runtime itself mounts for writing: containerd's default mounts (`pkg/oci/mounts.go`), of which a CRI gives all but `/run`,
/// which is `ctr`'s. The masked paths below /proc and /sys are read-only or empty.
const RUNTIMES: [&str; 4] = ["/proc", "/dev", "/run", "/sys/firmware"];

/// # Errors
/// With what differs.
pub fn verify(auditor: &Auditor, deployed: &Deployed) -> Result<()> {
    let pid = auditor.pid();
    confinement::verify(pid, &rights(&deployed.security)?)?;
    let path = format!("/proc/{pid}/mountinfo");
    let mounts = fs::read_to_string(&path).with_context(|| path.clone())?;
    judge(&mounts, deployed).context(path)?;
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

fn rights(security: &SecurityContext) -> Result<Rights> {
    let names = security.capabilities.add.iter();
    let bits: Result<Vec<u64>> = names.map(|name| capabilities::named(name)).collect();
    Ok(Rights {
        uid: security.run_as_user,
        gid: security.run_as_group,
        capabilities: bits?.into_iter().fold(0, |set, bit| set | bit),
        no_new_privs: !security.allow_privilege_escalation,
    })
}

/// proc_pid_mountinfo(5)
fn judge(mountinfo: &str, deployed: &Deployed) -> Result<()> {
    let mut is_there = vec![false; deployed.mounts.len()];
    let mut has_root = false;
    for line in mountinfo.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (Some(&point), Some(&options)) = (words.get(4), words.get(5)) else {
            bail!("not understood: {line}");
        };
        let is_read_only = options.split(',').any(|option| option == "ro");
        let of_manifest = |mount: &VolumeMount| mount.mount_path == point;
        let wanted = match deployed.mounts.iter().position(of_manifest) {
            Some(at) => {
                is_there[at] = true;
                Some(deployed.mounts[at].read_only)
            }
            None if point == "/" => {
                has_root = true;
                Some(deployed.security.read_only_root_filesystem)
            }
            None => None,
        };
        match wanted {
            Some(wanted) => ensure!(
                is_read_only == wanted,
                "{point} is mounted {options}, and the manifest has readOnly: {wanted}"
            ),
            // Below a mount of the manifest's lie the node's own, which `readOnly` does not reach (docs/least-privilege.md, "Mounts").
            None => ensure!(
                is_read_only
                    || lies_below(point, RUNTIMES)
                    || lies_below(point, deployed.mounts.iter().map(|m| m.mount_path.as_str())),
                "{point} is mounted {options}, and the manifest does not have it"
            ),
        }
    }
    ensure!(has_root, "no root mount");
    for (mount, is_there) in deployed.mounts.iter().zip(is_there) {
        ensure!(is_there, "nothing is mounted at {}", mount.mount_path);
    }
    Ok(())
}

fn lies_below<'a>(point: &str, dirs: impl IntoIterator<Item = &'a str>) -> bool {
    dirs.into_iter()
        .any(|dir| Path::new(point).starts_with(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containerd::daemonset::PodTemplate;

    const MOUNTS: &str = "1 0 0:50 / / ro,relatime - overlay overlay rw\n\
        2 1 0:5 / /dev rw - tmpfs tmpfs rw\n\
        3 1 0:6 / /sys ro - sysfs sysfs ro\n\
        4 1 0:7 / /host/proc ro - proc proc rw\n\
        5 4 0:8 / /host/proc/sys/fs/binfmt_misc rw - binfmt_misc binfmt_misc rw\n\
        6 1 0:9 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n\
        7 1 8:1 /p /var/lib/kubelet/pods ro master:1 - ext4 /dev/sda rw\n\
        8 1 8:1 /c /etc/credential-auditor ro - ext4 /dev/sda rw\n\
        9 1 8:1 /s /var/lib/credential-auditor rw - ext4 /dev/sda rw\n";

    fn deployed() -> Deployed {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../manifests/kustomize/base/workloads.yaml");
        let pod = PodTemplate::read(&file).unwrap();
        let auditor = pod.auditor().unwrap();
        Deployed {
            id: String::new(),
            argv: Vec::new(),
            security: auditor.security_context.clone(),
            mounts: auditor.volume_mounts.clone(),
            not_applied: Vec::new(),
            is_helped: false,
        }
    }

    #[test]
    fn any_mount_beyond_or_short_of_the_manifests_is_told() {
        judge(MOUNTS, &deployed()).unwrap();
        for (from, to) in [
            ("/ / ro", "/ / rw"),
            ("/host/proc ro", "/host/proc rw"),
            ("/sys/fs/cgroup ro", "/sys/fs/cgroup rw"),
            ("/var/lib/kubelet/pods ro", "/var/lib/kubelet/pods rw"),
            ("/etc/credential-auditor ro", "/etc/credential-auditor rw"),
            (
                "/var/lib/credential-auditor rw",
                "/var/lib/credential-auditor ro",
            ),
            ("/sys ro", "/sys rw"),
            ("/ / ro", "/ /elsewhere ro"),
            ("/host/proc ro", "/host/process ro"),
            ("2 1 0:5 / /dev rw", "2 1 0:5 / /root rw"),
            ("2 1 0:5", "2 1"),
        ] {
            let other = MOUNTS.replacen(from, to, 1);
            assert_ne!(other, MOUNTS, "{from}");
            assert!(judge(&other, &deployed()).is_err(), "{to}");
        }
        assert!(judge("", &deployed()).is_err());
        let mut writable_root = deployed();
        writable_root.security.read_only_root_filesystem = false;
        assert!(judge(MOUNTS, &writable_root).is_err());
    }

    #[test]
    fn its_rights_are_the_manifests() {
        let rights = rights(&deployed().security).unwrap();
        assert_eq!((rights.uid, rights.gid), (0, 0));
        assert_eq!(rights.capabilities.count_ones(), 4);
        assert!(rights.no_new_privs);
    }
}
