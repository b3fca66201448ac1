//! Workloads in real containers that use what is theirs.

use super::{Scene, associated, by, own, peek};
use crate::{
    cgroup::{self, Driver, Qos},
    containerd::pod::{ContainerSpec, PROXY, Role},
    expect::Expected,
    node::pod::{POD_IDENTITY, SubPath},
    service::agent,
};

const AGENT: &str = "pod-identity-agent";
/// Where the cgroup hierarchy is mounted in a container.
const HOST_CGROUP: &str = "/host/cgroup";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "main-process",
        about: "the main process itself reads its token, with both cgroup drivers' names and each QoS class",
        play: |node| {
            let mut expected = Vec::new();
            for (app, driver, qos) in [
                ("systemd", Driver::Systemd, Qos::Burstable),
                ("systemd-guaranteed", Driver::Systemd, Qos::Guaranteed),
                ("cgroupfs", Driver::Cgroupfs, Qos::Burstable),
                ("cgroupfs-besteffort", Driver::Cgroupfs, Qos::BestEffort),
            ] {
                let (mut spec, role) = associated(node, "real", app)?;
                (spec.driver, spec.qos) = (driver, qos);
                let path = spec
                    .token(POD_IDENTITY)
                    .map(|t| t.path())
                    .unwrap_or_default();
                // Answers each request after a read by the shell itself, without a child.
                let script = format!(
                    "while read -r request; do read -r token <{path}; \
                     echo '{{\"Ok\":{{\"pid\":1,\"status\":0,\"stdout\":\"\"}}}}'; done"
                );
                let main = ContainerSpec::main("app").running(&["sh", "-c", &script]);
                let slot = node.start(spec, vec![main])?;
                node.run(slot, "app", &["go"])?;
                expected.push(own(node, slot, "app", &role)?.with(&[("comm", "sh")]));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "shared-network",
        about: "app and proxy share their pod's network; each asks the agent by itself",
        play: |node| {
            let (spec, role) = associated(node, "real", "meshed")?;
            let proxy = ContainerSpec::new("proxy", Role::Main, PROXY);
            let slot = node.start(spec, vec![ContainerSpec::main("app"), proxy])?;
            let mut expected = Vec::new();
            for container in ["app", "proxy"] {
                node.run(slot, container, &["sdk"])?;
                expected.push(own(node, slot, container, &role)?.with(&[("comm", "sdk")]));
                let pod = node.pod(slot).pod.clone();
                let connect =
                    Expected::connect(&pod, AGENT, agent::V4).bound("pod-identity", &role);
                expected.push(by(connect, node, slot, container)?);
                expected.push(Expected::closed(&pod, AGENT, agent::V4));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "rotation",
        about: "the token is rotated twice while the container runs; it reads each",
        play: |node| {
            let (spec, role) = associated(node, "real", "rotated")?;
            let slot = node.start(spec, vec![ContainerSpec::main("app")])?;
            let pod = node.pod(slot).pod.clone();
            let mut expected = Vec::new();
            for _ in 0..2 {
                node.lab.rotate(&pod, POD_IDENTITY)?;
                peek(node, slot, "app")?;
                expected.push(own(node, slot, "app", &role)?);
            }
            Ok(expected)
        },
    },
    Scene {
        name: "sub-path",
        about: "a token by subPath keeps its old inode after a rotation, and its owner",
        play: |node| {
            let (spec, role) = associated(node, "real", "frozen")?;
            let mut main = ContainerSpec::main("app");
            main.sub_paths.push(SubPath {
                volume: POD_IDENTITY.into(),
                file: POD_IDENTITY.into(),
                target: "/etc/aws/jwt".into(),
            });
            let slot = node.start(spec, vec![main])?;
            let pod = node.pod(slot).pod.clone();
            node.lab.rotate(&pod, POD_IDENTITY)?;
            node.run(slot, "app", &["peek", "/etc/aws/jwt"])?;
            Ok(vec![own(node, slot, "app", &role)?])
        },
    },
    Scene {
        name: "nested-cgroup",
        about: "a process reads its token from a cgroup that the container made below its own",
        play: |node| {
            let (spec, role) = associated(node, "real", "nested")?;
            let hierarchy = node.lab.cgroup_root().to_owned();
            let driver = spec.driver;
            let spec = spec.with_host_path(&hierarchy, HOST_CGROUP);
            let slot = node.start(spec, vec![ContainerSpec::main("app")])?;
            let name = node.lab.cgroup_name();
            let pod = node.pod(slot);
            let below = pod.cgroup.strip_prefix(name)?;
            let below = below.join(cgroup::container_name(driver, pod.id_of("app")?));
            let nested = format!("{HOST_CGROUP}/{}/nested", below.display());
            let path = pod.token_path(POD_IDENTITY);
            node.run(slot, "app", &["arrange", "mkdir", &nested])?;
            let enter = ["enter", "--cgroup", &nested, "--", "peek", &path];
            node.run(slot, "app", &enter)?;
            let expected = own(node, slot, "app", &role)?;
            Ok(vec![expected.with(&[("attribution", "cgroup-ancestor")])])
        },
    },
    Scene {
        name: "copied-executable",
        about: "a program copied into the container's writable layer reads its token; the image's own does, too",
        play: |node| {
            let (spec, role) = associated(node, "real", "dropper")?;
            let slot = node.start(spec, vec![ContainerSpec::main("app")])?;
            peek(node, slot, "app")?;
            let path = node.pod(slot).token_path(POD_IDENTITY);
            node.run(slot, "app", &["cp", "/lab/bin/peek", "/tmp/dropped"])?;
            node.run(slot, "app", &["/tmp/dropped", &path])?;
            let image = own(node, slot, "app", &role)?;
            let copied = image
                .clone()
                .with(&[("comm", "dropped"), ("exe_upper_layer", "true")])
                .judged("violation", "foreign-executable:high");
            Ok(vec![image, copied])
        },
    },
];
