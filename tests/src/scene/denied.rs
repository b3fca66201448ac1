//! Opens that the kernel refuses. They are played with `--watch-denied`.

use std::{fs, os::unix::fs::PermissionsExt};

use super::{Scene, associated, host_path_of, token_path, with_host_kubelet};
use crate::{
    expect::Expected,
    node::{PodSpec, pod::POD_IDENTITY},
};

const NOBODY: &str = "65534";
const EACCES: &str = "13";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "denied-own-token",
        about: "shop/rootless runs as nobody, and its own token is for root only",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "rootless")?;
            let file = pod.token_below(&stage.lab.kubelet_root(), POD_IDENTITY);
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
            let path = token_path(&pod, POD_IDENTITY);
            stage.lab.run(&pod, &["peek", "--refused", NOBODY, &path])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("errno", EACCES)])
                    .judged("allowed", "denied-token-open:info"),
            ])
        },
    },
    Scene {
        name: "denied-foreign-token",
        about: "shop/curious, as nobody, tries payments/guarded's token through a hostPath, and is refused",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "guarded")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "curious"))?;
            let path = host_path_of(&victim);
            stage
                .lab
                .run(&thief, &["peek", "--refused", NOBODY, &path])?;
            Ok(vec![
                Expected::foreign_open(&thief, &victim, POD_IDENTITY, "other-pod")
                    .bound("pod-identity", &role)
                    .with(&[("errno", EACCES)])
                    .judged("suspicious", "denied-token-open:medium"),
            ])
        },
    },
    Scene {
        name: "denied-something-else",
        about: "shop/prober, as nobody, is refused a file that is no token: no line",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "prober"))?;
            stage
                .lab
                .run(&pod, &["peek", "--refused", NOBODY, "/proc/1/environ"])?;
            Ok(vec![])
        },
    },
];
