//! Who comes from outside: exec sessions, probes, ephemeral containers, other pods.

use std::path::Path;

use super::{Scene, associated, by, own, peek};
use crate::{
    cgroup,
    containerd::pod::{ContainerSpec, DEBUG, Role},
    expect::Expected,
    node::{PodSpec, kubelet, pod::POD_IDENTITY},
    wire::argv,
};

const EXEC: &str = "exec-session-token-open";
const HOST_KUBELET: &str = "/host/kubelet";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "kubelet-and-impostor",
        about: "the kubelet writes, reads and rotates a pod's token: no line; another program in the kubelet's cgroup reads it",
        play: |node| {
            let (spec, role) = associated(node, "real", "synced")?;
            // Its container is yet to start: nobody but the kubelet touches the volume.
            let slot = node.admit(spec, vec![ContainerSpec::main("app")])?;
            let pod = node.pod(slot).pod.clone();
            node.lab.kubelet_do(&kubelet::Request::Sync)?;
            node.lab.rotate(&pod, POD_IDENTITY)?;
            node.lab.kubelet_do(&kubelet::Request::Sync)?;
            let path = pod.token_below(&node.lab.kubelet_root(), POD_IDENTITY);
            let cgroup = node.lab.cgroup_root().join(cgroup::KUBELET);
            node.lab
                .run_in_cgroup(&cgroup, &["peek", &path.to_string_lossy()])?;
            Ok(vec![
                Expected::host_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .judged("violation", "host-token-open:critical"),
            ])
        },
    },
    Scene {
        name: "exec-and-probe",
        about: "the liveness probe reads the token by exec; then somebody's kubectl exec does",
        play: |node| {
            let (spec, role) = associated(node, "real", "probed")?;
            let path = spec
                .token(POD_IDENTITY)
                .map(|t| t.path())
                .unwrap_or_default();
            let mut main = ContainerSpec::main("app");
            let probe = ["peek", &path];
            main.liveness_probe = Some(argv(probe));
            let slot = node.start(spec, vec![main])?;
            node.exec(slot, "app", &probe)?;
            node.exec(slot, "app", &["peek", "--openat2", &path])?;
            let session = own(node, slot, "app", &role)?.with(&[("exec_session", "true")]);
            Ok(vec![
                session.clone().judged("allowed", &format!("{EXEC}:info")),
                session.judged("violation", &format!("{EXEC}:high")),
            ])
        },
    },
    Scene {
        name: "ephemeral-container",
        about: "kubectl debug's container has no token of its own and reads its target's through /proc/1/root",
        play: |node| {
            let (spec, role) = associated(node, "real", "debugged")?;
            let slot = node.start(spec, vec![ContainerSpec::main("app")])?;
            peek(node, slot, "app")?;
            let expected = own(node, slot, "app", &role)?;
            let debugger = Role::Ephemeral { target: "app" };
            let debugger = ContainerSpec::new("debugger", debugger, DEBUG);
            node.pod(slot).containers.push(debugger);
            node.start_container(slot, "debugger")?;
            node.report(slot)?;
            let path = node.pod(slot).token_path(POD_IDENTITY);
            node.run(slot, "debugger", &["peek", &format!("/proc/1/root{path}")])?;
            // It came into the workload's pid namespace from outside: a person, not the workload.
            let debugged = own(node, slot, "debugger", &role)?
                .with(&[("exec_session", "true")])
                .judged("violation", &format!("{EXEC}:high"));
            Ok(vec![expected, debugged])
        },
    },
    Scene {
        name: "theft-through-host-path",
        about: "a container with the kubelet's directory as a hostPath reads another pod's token",
        play: |node| {
            let (spec, role) = associated(node, "real", "victim")?;
            let victim = node.start(spec, vec![ContainerSpec::main("app")])?;
            let root = node.lab.kubelet_root();
            let spec = PodSpec::new("real", "thief").with_host_path(&root, HOST_KUBELET);
            let thief = node.start(spec, vec![ContainerSpec::main("app")])?;
            let victim = node.pod(victim).pod.clone();
            let path = victim.token_below(Path::new(HOST_KUBELET), POD_IDENTITY);
            node.run(thief, "app", &["peek", &path.to_string_lossy()])?;
            let pod = node.pod(thief).pod.clone();
            let theft = Expected::foreign_open(&pod, &victim, POD_IDENTITY, "other-pod")
                .bound("pod-identity", &role)
                .judged("violation", "foreign-token-open:critical");
            Ok(vec![by(theft, node, thief, "app")?])
        },
    },
];
