//! Processes that pretend to be somewhere else.

use super::{HOST_KUBELET, Scene, associated, host_path_of};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, pod::POD_IDENTITY},
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
];

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
