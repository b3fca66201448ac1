//! At the instance metadata service.

use super::{Scene, Stage, associated};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec},
    service::imds::{V4, V6},
};

const IMDS: &str = "imds";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "imds-fallback",
        about: "shop/report has a role of its own and takes the node's from the metadata service",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "report")?;
            ask(stage, &pod, V4, "credentials")?;
            Ok(vec![
                connect(&pod, V4)
                    .bound("pod-identity", &role)
                    .judged("allowed", "node-role-fallback:info"),
                Expected::closed(&pod, IMDS, V4).judged("suspicious", "node-role-fallback:medium"),
            ])
        },
    },
    Scene {
        name: "imds-fallback-v6",
        about: "shop/export does the same over IPv6",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "export")?;
            ask(stage, &pod, V6, "credentials")?;
            Ok(vec![
                connect(&pod, V6)
                    .bound("pod-identity", &role)
                    .judged("allowed", "node-role-fallback:info"),
                Expected::closed(&pod, IMDS, V6).judged("suspicious", "node-role-fallback:medium"),
            ])
        },
    },
    Scene {
        name: "imds-region-only",
        about: "shop/locale has a role of its own and asks the metadata service for the region only",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "locale")?;
            ask(stage, &pod, V4, "region")?;
            Ok(vec![
                connect(&pod, V4)
                    .bound("pod-identity", &role)
                    .judged("allowed", "node-role-fallback:info"),
                Expected::closed(&pod, IMDS, V4),
            ])
        },
    },
    Scene {
        name: "imds-without-role",
        about: "shop/plain has no role of its own and takes the node's; policy does not name it",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "plain"))?;
            ask(stage, &pod, V4, "credentials")?;
            Ok(vec![
                connect(&pod, V4).judged("allowed", "node-role-fallback:info"),
                Expected::closed(&pod, IMDS, V4),
            ])
        },
    },
    Scene {
        name: "imds-by-policy",
        about: "kube-system/aws-node takes the node's role, as policy allows",
        play: |stage| {
            let pod = stage
                .lab
                .start(PodSpec::daemon("kube-system", "aws-node"))?;
            ask(stage, &pod, V4, "credentials")?;
            Ok(vec![connect(&pod, V4), Expected::closed(&pod, IMDS, V4)])
        },
    },
];

fn ask(stage: &mut Stage, pod: &Pod, address: &str, what: &str) -> anyhow::Result<()> {
    stage.lab.run(pod, &["metadata", address, what]).map(drop)
}

fn connect(pod: &Pod, address: &str) -> Expected {
    Expected::connect(pod, IMDS, address).with(&[("comm", "metadata")])
}
