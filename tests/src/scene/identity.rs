//! Processes that pretend to be somewhere else.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Result, bail};

use super::{HOST_KUBELET, Scene, associate, associated, host_path_of, token_path};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
};

pub const SCENES: &[Scene] = &[
    Scene {
        name: "moved-into-victims-cgroup",
        about: "shop/feed moves a process into payments/wire's cgroup, then reads its token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "wire")?;
            let hierarchy = stage.lab.cgroup_root().to_owned();
            let kubelet = stage.lab.kubelet_root();
            let spec = PodSpec::new("shop", "feed")
                .with_host_path(&hierarchy, "/host/cgroup")
                .with_host_path(&kubelet, HOST_KUBELET);
            let thief = stage.lab.start(spec)?;
            let cgroup = format!(
                "/host/cgroup/{}",
                victim.cgroup.strip_prefix(&hierarchy)?.display()
            );
            let path = host_path_of(&victim);
            stage
                .lab
                .run(&thief, &["enter", "--cgroup", &cgroup, "--", "peek", &path])?;
            // The namespaces are the thief's, whose init it descends from.
            Ok(vec![mismatch(&victim, &role, &thief.key())])
        },
    },
    Scene {
        name: "host-process-in-victims-cgroup",
        about: "a process of the node moves itself into payments/swift's cgroup, then reads its token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "swift")?;
            let path = victim.token_below(&stage.lab.kubelet_root(), POD_IDENTITY);
            stage
                .lab
                .run_in_cgroup(&victim.cgroup, &["peek", &path.to_string_lossy()])?;
            Ok(vec![
                mismatch(&victim, &role, "host").with(&[("host_namespaces", "true")]),
            ])
        },
    },
    Scene {
        name: "recycled-namespace",
        about: "ops/agentless (hostPID) reads its own token in a mount namespace with the number of a deleted pod's",
        play: |stage| {
            let lab = &mut stage.lab;
            let role = associate(lab, "ops", "agentless")?;
            associate(lab, "ops", "gone")?;
            let mut expected = Vec::new();
            let mut numbers = BTreeSet::new();
            let mut gone = Vec::new();
            for _ in 0..3 {
                let pod = lab.start(PodSpec::daemon("ops", "gone").with_pod_identity())?;
                lab.run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
                numbers.insert(mount_namespace(&pod)?);
                gone.push(pod);
            }
            let role_of_gone = format!("{ROLES}/ops-gone");
            for pod in gone {
                expected.push(
                    Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role_of_gone),
                );
                lab.remove_from_node(&pod)?;
            }
            // The kernel gives out the lowest free number, to whatever namespace comes next.
            for _ in 0..40 {
                let mut spec = PodSpec::daemon("ops", "agentless").with_pod_identity();
                spec.host_pid = true;
                let pod = lab.start(spec)?;
                lab.run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
                expected.push(Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role));
                if numbers.contains(&mount_namespace(&pod)?) {
                    return Ok(expected);
                }
            }
            bail!("no namespace number came again")
        },
    },
];

/// As in `/proc/PID/ns`.
fn mount_namespace(pod: &Pod) -> Result<PathBuf> {
    Ok(fs::read_link(format!("/proc/{}/ns/mnt", pod.init_pid))?)
}

/// Neither the cgroup nor the namespaces are trusted.
fn mismatch(victim: &Pod, role: &str, other: &str) -> Expected {
    let mut candidates = [victim.key(), other.to_owned()];
    candidates.sort();
    Expected::own_open(victim, POD_IDENTITY)
        .bound("pod-identity", role)
        .with(&[
            ("pod", "null"),
            ("service_account", "null"),
            ("relation", "unknown"),
            ("candidates", &candidates.join(" ")),
            ("attribution", "conflict"),
        ])
        .whatever("container")
        .whatever("exec_session")
        .judged("violation", "identity-mismatch:critical")
}
