//! What the API server tells, and when.

use std::{path::Path, thread, time::Duration};

use super::{Health, Scene, annotated, own, peek, role, running, unnamed};
use crate::{
    expect::Expected,
    node::{
        PodSpec,
        pod::{IRSA, POD_IDENTITY},
    },
};

const HOST_KUBELET: &str = "/host/kubelet";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "own-and-foreign",
        about: "with the rights of manifests/rbac: own IRSA and Pod Identity tokens, and a theft through a hostPath",
        health: Health::Good,
        play: |stage| {
            let irsa = running(stage, "irsa")?;
            let association = role("associated");
            stage
                .control
                .lab
                .cluster
                .associate("api", "associated", &association)?;
            let associated = PodSpec::new("api", "associated").with_pod_identity();
            let associated = stage.control.start(associated)?;
            let root = stage.control.lab.kubelet_root();
            let thief = PodSpec::new("api", "thief").with_host_path(&root, HOST_KUBELET);
            let thief = stage.control.start(thief)?;
            peek(stage, &irsa)?;
            let path = associated
                .spec
                .token(POD_IDENTITY)
                .map(|t| t.path())
                .unwrap_or_default();
            stage.control.lab.run(&associated, &["peek", &path])?;
            let path = irsa.token_below(Path::new(HOST_KUBELET), IRSA);
            let path = path.to_string_lossy();
            stage.control.lab.run(&thief, &["peek", &path])?;
            Ok(vec![
                own(&irsa),
                Expected::own_open(&associated, POD_IDENTITY).bound("pod-identity", &association),
                Expected::foreign_open(&thief, &irsa, IRSA, "other-pod")
                    .bound("irsa", &role("irsa"))
                    .judged("violation", "foreign-token-open:critical"),
            ])
        },
    },
    Scene {
        name: "status-later",
        about: "a pod reads its token before its status names the container, and after",
        health: Health::Good,
        play: |stage| {
            let spec = annotated(stage, "early")?;
            let pod = stage.control.start_unreported(spec)?;
            peek(stage, &pod)?;
            // The line must have been judged before the status comes.
            thread::sleep(Duration::from_secs(2));
            stage.control.report(&pod)?;
            peek(stage, &pod)?;
            Ok(vec![unnamed(own(&pod)), own(&pod)])
        },
    },
    Scene {
        name: "deleted",
        about: "a pod is deleted from the API server, its process still reads its token",
        health: Health::Good,
        play: |stage| {
            let pod = running(stage, "deleted")?;
            peek(stage, &pod)?;
            stage.control.delete_object(&pod)?;
            thread::sleep(Duration::from_secs(1));
            peek(stage, &pod)?;
            Ok(vec![own(&pod), own(&pod)])
        },
    },
    Scene {
        name: "annotated-later",
        about: "a ServiceAccount gets its role while its pod runs; the next read of the token raises no alarm",
        health: Health::Good,
        play: |stage| {
            stage.control.service_account("api", "late", None)?;
            let role = role("late");
            let mut spec = PodSpec::new("api", "late").with_irsa(&role);
            // As of before the webhook knew a role: a token, and nothing in the environment.
            spec.env.clear();
            let pod = stage.control.start(spec)?;
            stage.control.service_account("api", "late", Some(&role))?;
            peek(stage, &pod)?;
            Ok(vec![own(&pod)])
        },
    },
];
