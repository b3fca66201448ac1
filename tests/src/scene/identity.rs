//! Processes that pretend to be somewhere else.

use anyhow::Result;

use super::{HOST_CGROUP, Scene, associated, host_cgroup_of, host_path_of, with_host_kubelet};
use crate::{
    expect::Expected,
    node::{Lab, Pod, PodSpec, pod::POD_IDENTITY},
    service::agent::V4,
    wire::argv,
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "moved-into-victims-cgroup",
        about: "shop/feed moves a process into payments/wire's cgroup, then reads its token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "wire")?;
            let thief = intruder(&mut stage.lab, PodSpec::new("shop", "feed"))?;
            let cgroup = host_cgroup_of(&stage.lab, &victim)?;
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
        name: "unshared-in-victims-cgroup",
        about: "shop/menu moves a process into payments/card's cgroup and new pid and mount namespaces, then reads its token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "card")?;
            let spec = PodSpec::new("shop", "menu").with_caps(&["SYS_ADMIN"]);
            let thief = intruder(&mut stage.lab, spec)?;
            let cgroup = host_cgroup_of(&stage.lab, &victim)?;
            let path = host_path_of(&victim);
            let enter = ["enter", "--cgroup", &cgroup, "--unshare", "--"];
            stage
                .lab
                .run(&thief, &[&enter[..], &["peek", &path]].concat())?;
            // Nested namespaces follow their parent.
            Ok(vec![mismatch(&victim, &role, &thief.key())])
        },
    },
    Scene {
        name: "init-in-victims-cgroup",
        about: "shop/lunch's own init moves itself into payments/cash's cgroup, and its child reads its token",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "cash")?;
            let mut spec = PodSpec::new("shop", "lunch");
            let cgroup = host_cgroup_of(&stage.lab, &victim)?;
            spec.argv = argv(["enter", "--cgroup", &cgroup, "--", "pause"]);
            let thief = intruder(&mut stage.lab, spec)?;
            stage.lab.run(&thief, &["peek", &host_path_of(&victim)])?;
            Ok(vec![mismatch(&victim, &role, &thief.key())])
        },
    },
    Scene {
        name: "cgroup-named-like-the-victim",
        about: "shop/copy names cgroups below its own container's as payments/safe's are named, and reads its token there",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "safe")?;
            let thief = intruder(&mut stage.lab, PodSpec::new("shop", "copy"))?;
            let own = host_cgroup_of(&stage.lab, &thief)?;
            let pod = format!("{own}/pod{}", victim.spec.uid);
            let container = format!("{pod}/{}", victim.container_id);
            for dir in [&pod, &container] {
                stage.lab.run(&thief, &["arrange", "mkdir", dir])?;
            }
            let path = host_path_of(&victim);
            let enter = ["enter", "--cgroup", &container, "--"];
            stage
                .lab
                .run(&thief, &[&enter[..], &["peek", &path]].concat())?;
            Ok(vec![
                Expected::foreign_open(&thief, &victim, POD_IDENTITY, "other-pod")
                    .bound("pod-identity", &role)
                    .with(&[("attribution", "cgroup-ancestor")])
                    .judged("violation", "foreign-token-open:critical"),
            ])
        },
    },
    Scene {
        name: "pod-in-host-cgroup",
        about: "shop/guest has no association, moves a process into a host service's cgroup and connects to the agent",
        play: |stage| {
            let pod = intruder(&mut stage.lab, PodSpec::new("shop", "guest"))?;
            let cgroup = format!("{HOST_CGROUP}/system.slice/ssh.service");
            let enter = ["enter", "--cgroup", &cgroup, "--"];
            stage
                .lab
                .run(&pod, &[&enter[..], &["dial", ADDRESS]].concat())?;
            let connect = Expected::connect(&pod, AGENT, V4)
                .with(&[("comm", "dial")])
                .whatever("observed_since");
            Ok(vec![
                nobodys(connect, [pod.key(), "host".into()]),
                Expected::closed(&pod, AGENT, V4).with(&[("pod", "null")]),
            ])
        },
    },
];

/// Starts a pod that has the kubelet's directory and the cgroup hierarchy as hostPaths.
fn intruder(lab: &mut Lab, spec: PodSpec) -> Result<Pod> {
    let hierarchy = lab.cgroup_root().to_owned();
    with_host_kubelet(lab, spec.with_host_path(&hierarchy, HOST_CGROUP))
}

fn mismatch(victim: &Pod, role: &str, other: &str) -> Expected {
    let open = Expected::own_open(victim, POD_IDENTITY)
        .bound("pod-identity", role)
        .with(&[("relation", "unknown")]);
    nobodys(open, [victim.key(), other.to_owned()])
}

/// Neither the cgroup nor the namespaces are trusted.
fn nobodys(expected: Expected, mut candidates: [String; 2]) -> Expected {
    candidates.sort();
    expected
        .with(&[
            ("pod", "null"),
            ("service_account", "null"),
            ("candidates", &candidates.join(" ")),
            ("attribution", "conflict"),
        ])
        .whatever("container")
        .whatever("exec_session")
        .judged("violation", "identity-mismatch:critical")
}
