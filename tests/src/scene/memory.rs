//! Looks into other processes' memory.

use std::{fs, thread, time::Duration};

use anyhow::Result;

use super::{HOST_CGROUP, Scene, Stage, annotated, associated};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec},
};

const HOOK: &str = "memory_access";
const FINDING: &str = "credential-memory-access:high";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "memory-from-another-pod",
        about: "ops/spy (hostPID) looks into payments/coins' memory: process_vm_readv, ptrace, /proc/PID/mem",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "coins")?;
            let spy = host_pid_pod(stage, "spy")?;
            let pid = victim.init_pid.to_string();
            let mut expected = Vec::new();
            for (way, mode) in WAYS {
                stage.lab.run(&spy, &["memory", way, &pid])?;
                expected.push(
                    Expected::memory_access(&spy, &victim, "other-pod", mode)
                        .bound("pod-identity", &role)
                        .judged("violation", FINDING),
                );
            }
            Ok(stage.where_watched(HOOK, expected))
        },
    },
    Scene {
        name: "memory-of-irsa-pod-from-host",
        about: "somebody debugs payments/mint, a pod with IRSA, from the node itself",
        play: |stage| {
            let (victim, role) = annotated(&mut stage.lab, "payments", "mint")?;
            let pid = victim.init_pid.to_string();
            stage.lab.run_on_host(&["memory", "ptrace", &pid])?;
            Ok(stage.where_watched(
                HOOK,
                vec![
                    Expected::memory_access(&victim, &victim, "host", "attach-real-creds")
                        .of_host()
                        .bound("irsa", &role)
                        .judged("violation", FINDING),
                ],
            ))
        },
    },
    Scene {
        name: "memory-from-exec-session",
        about: "someone in a kubectl exec session looks into the memory of payments/purse, the container that he is in",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "payments", "purse")?;
            let mut expected = Vec::new();
            for (way, mode) in WAYS {
                stage.lab.exec(&pod, &["memory", way, "1"])?;
                expected.push(
                    Expected::memory_access(&pod, &pod, "own", mode)
                        .bound("pod-identity", &role)
                        .with(&[("exec_session", "true")])
                        .judged("violation", FINDING),
                );
            }
            Ok(stage.where_watched(HOOK, expected))
        },
    },
    Scene {
        name: "memory-again-and-again",
        about: "ops/greedy (hostPID) looks into payments/chest's memory two thousand times: one line, the others are counted",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "chest")?;
            let spy = host_pid_pod(stage, "greedy")?;
            let pid = victim.init_pid.to_string();
            stage
                .lab
                .run(&spy, &["memory", "--times", "2000", "readv", &pid])?;
            // A slow machine may need longer than the ten seconds that one line stands for.
            let line = Expected::memory_access(&spy, &victim, "other-pod", "attach-real-creds")
                .bound("pod-identity", &role)
                .judged("violation", FINDING);
            Ok(stage.where_watched(HOOK, line.one_to(2)))
        },
    },
    Scene {
        name: "memory-of-pod-not-yet-listed",
        about: "ops/hasty (hostPID) looks into payments/fresh's memory before the control plane has told of that pod",
        play: |stage| {
            let role = super::associate(&mut stage.lab, "payments", "fresh")?;
            let spy = host_pid_pod(stage, "hasty")?;
            let victim = stage
                .lab
                .start_unlisted(PodSpec::new("payments", "fresh").with_pod_identity())?;
            let pid = victim.init_pid.to_string();
            stage.lab.run(&spy, &["memory", "mem", &pid])?;
            thread::sleep(Duration::from_millis(500));
            stage.lab.list(&victim)?;
            Ok(stage.where_watched(
                HOOK,
                vec![
                    Expected::memory_access(&spy, &victim, "other-pod", "attach-fs-creds")
                        .bound("pod-identity", &role)
                        .judged("violation", FINDING),
                ],
            ))
        },
    },
    Scene {
        name: "debugger-in-the-pod",
        about: "shop/debugged's own processes debug and profile each other: no line",
        play: |stage| {
            let (pod, _) = associated(&mut stage.lab, "shop", "debugged")?;
            for (way, _) in WAYS {
                stage.lab.run(&pod, &["memory", way, "1"])?;
            }
            stage
                .lab
                .run(&pod, &["memory", "--times", "2000", "readv", "1"])?;
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
    Scene {
        name: "profiler-sidecar",
        about: "a sampling profiler in another container of shop/profiled, which shares its pid namespace: no line",
        play: |stage| {
            let hierarchy = stage.lab.cgroup_root().to_owned();
            super::associate(&mut stage.lab, "shop", "profiled")?;
            let mut spec = PodSpec::new("shop", "profiled")
                .with_pod_identity()
                .with_host_path(&hierarchy, HOST_CGROUP);
            spec.share_process_namespace = true;
            let pod = stage.lab.start(spec)?;
            // The lab's pods have one container: the cgroup is what makes another of it.
            let sidecar = pod
                .cgroup
                .with_file_name(format!("cri-containerd-{}.scope", "5c".repeat(32)));
            fs::create_dir(&sidecar)?;
            let below = sidecar.strip_prefix(stage.lab.cgroup_root())?;
            let cgroup = format!("{HOST_CGROUP}/{}", below.display());
            let enter = ["enter", "--cgroup", &cgroup, "--"];
            for look in [
                &["memory", "--times", "2000", "readv", "1"][..],
                &["memory", "ptrace", "1"],
            ] {
                stage.lab.run(&pod, &[&enter[..], look].concat())?;
            }
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
    Scene {
        name: "status-of-other-pods",
        about: "ops/top (hostPID) reads environ and status of payments/ledgers' process, as ps and top do: no line",
        play: |stage| {
            let (other, _) = associated(&mut stage.lab, "payments", "ledgers")?;
            let pod = host_pid_pod(stage, "top")?;
            let pid = other.init_pid.to_string();
            stage.lab.run(&pod, &["memory", "status", &pid])?;
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
    Scene {
        name: "memory-of-pod-without-credentials",
        about: "ops/gdb (hostPID) debugs shop/static, a pod with a token for the API server only: no line",
        play: |stage| {
            let other = stage.lab.start(PodSpec::new("shop", "static"))?;
            let pod = host_pid_pod(stage, "gdb")?;
            let pid = other.init_pid.to_string();
            stage.lab.run(&pod, &["memory", "ptrace", &pid])?;
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
];

/// Ways to look, and the mode that the kernel asks for.
const WAYS: [(&str, &str); 3] = [
    ("readv", "attach-real-creds"),
    ("ptrace", "attach-real-creds"),
    ("mem", "attach-fs-creds"),
];

/// A pod that sees all of the node's processes.
fn host_pid_pod(stage: &mut Stage, app: &str) -> Result<Pod> {
    let mut spec = PodSpec::new("ops", app);
    spec.host_pid = true;
    stage.lab.start(spec)
}
