//! Workloads that use what is theirs.

use std::{thread, time::Duration};

use super::{Scene, annotate, annotated, associate, associated, token_path};
use crate::{
    cgroup::{Driver, Qos},
    expect::Expected,
    node::{
        PodSpec,
        pod::{IRSA, POD_IDENTITY},
    },
    service::agent,
};

const AGENT: &str = "pod-identity-agent";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "own-irsa",
        about: "payments/api reads its own IRSA token",
        play: |stage| {
            let (pod, role) = annotated(&mut stage.lab, "payments", "api")?;
            stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            Ok(vec![Expected::own_open(&pod, IRSA).bound("irsa", &role)])
        },
    },
    Scene {
        name: "own-pod-identity-v4",
        about: "shop/cart's SDK reads its own token and asks the agent at 169.254.170.23",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "cart")?;
            stage.lab.run(&pod, &["sdk"])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("comm", "sdk")]),
                Expected::connect(&pod, AGENT, agent::V4).bound("pod-identity", &role),
                Expected::closed(&pod, AGENT, agent::V4),
            ])
        },
    },
    Scene {
        name: "own-pod-identity-v6",
        about: "shop/checkout's SDK reads its own token and asks the agent at [fd00:ec2::23]",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "checkout")?;
            let spec =
                PodSpec::new("shop", "checkout").with_pod_identity_at(&format!("[{}]", agent::V6));
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["sdk"])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("comm", "sdk")]),
                Expected::connect(&pod, AGENT, agent::V6).bound("pod-identity", &role),
                Expected::closed(&pod, AGENT, agent::V6),
            ])
        },
    },
    Scene {
        name: "own-service-account-token",
        about: "shop/search reads its token for the API server: counted by policy, no line",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "search"))?;
            let volume = pod
                .spec
                .tokens
                .first()
                .map(|t| t.path())
                .unwrap_or_default();
            stage.lab.run(&pod, &["peek", &volume])?;
            Ok(vec![])
        },
    },
    Scene {
        name: "short-lived-container",
        about: "batch/job's container reads its own token, ends and is gone within milliseconds",
        play: |stage| {
            let role = associate(&mut stage.lab, "batch", "job")?;
            let mut spec = PodSpec::new("batch", "job").with_pod_identity();
            spec.argv = vec![
                "peek".into(),
                spec.token(POD_IDENTITY)
                    .map(|t| t.path())
                    .unwrap_or_default(),
            ];
            let pod = stage.lab.start(spec)?;
            stage.lab.wait(&pod)?;
            stage.lab.remove_from_node(&pod)?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role),
            ])
        },
    },
    Scene {
        name: "pod-not-yet-listed",
        about: "shop/eager reads its own token before the control plane has told of the pod",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "eager")?;
            let pod = stage
                .lab
                .start_unlisted(PodSpec::new("shop", "eager").with_pod_identity())?;
            stage
                .lab
                .run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
            thread::sleep(Duration::from_millis(200));
            stage.lab.list(&pod)?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role),
            ])
        },
    },
    Scene {
        name: "host-pid-pod-not-yet-listed",
        about: "ops/early (hostPID) reads its own token a second before the control plane has told of the pod",
        play: |stage| {
            let role = associate(&mut stage.lab, "ops", "early")?;
            let mut spec = PodSpec::new("ops", "early").with_pod_identity();
            spec.host_pid = true;
            let pod = stage.lab.start_unlisted(spec)?;
            stage
                .lab
                .run(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
            thread::sleep(Duration::from_secs(1));
            stage.lab.list(&pod)?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role),
            ])
        },
    },
    Scene {
        name: "cgroupfs-driver",
        about: "payments/legacy reads its own token; its cgroup has the cgroupfs driver's name",
        play: |stage| {
            let role = annotate(&mut stage.lab, "payments", "legacy")?;
            let mut spec = PodSpec::new("payments", "legacy").with_irsa(&role);
            spec.driver = Driver::Cgroupfs;
            spec.qos = Qos::BestEffort;
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            Ok(vec![Expected::own_open(&pod, IRSA).bound("irsa", &role)])
        },
    },
    Scene {
        name: "guaranteed-qos",
        about: "payments/core reads its own token; its cgroup lies directly below kubepods.slice",
        play: |stage| {
            let role = annotate(&mut stage.lab, "payments", "core")?;
            let mut spec = PodSpec::new("payments", "core").with_irsa(&role);
            spec.qos = Qos::Guaranteed;
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            Ok(vec![Expected::own_open(&pod, IRSA).bound("irsa", &role)])
        },
    },
    Scene {
        name: "nested-cgroup",
        about: "ci/runner reads its own token from a cgroup that it made below its container's",
        play: |stage| {
            let role = annotate(&mut stage.lab, "ci", "runner")?;
            let hierarchy = stage.lab.cgroup_root().to_owned();
            let spec = PodSpec::new("ci", "runner")
                .with_irsa(&role)
                .with_host_path(&hierarchy, "/sys/fs/cgroup");
            let pod = stage.lab.start(spec)?;
            let nested = format!(
                "/sys/fs/cgroup/{}/nested",
                pod.cgroup.strip_prefix(&hierarchy)?.display()
            );
            stage.lab.run(&pod, &["arrange", "mkdir", &nested])?;
            stage.lab.run(
                &pod,
                &[
                    "enter",
                    "--cgroup",
                    &nested,
                    "--",
                    "peek",
                    &token_path(&pod, IRSA),
                ],
            )?;
            let expected = Expected::own_open(&pod, IRSA).bound("irsa", &role);
            Ok(vec![expected.with(&[("attribution", "cgroup-ancestor")])])
        },
    },
];
