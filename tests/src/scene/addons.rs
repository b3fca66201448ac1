//! EKS's own add-ons, as the default policy knows them: nothing that they do by default is more than information.

use super::{Scene, Stage, annotate, associate, token_path};
use crate::{
    expect::Expected,
    node::{
        Pod, PodSpec,
        pod::{IRSA, POD_IDENTITY},
    },
    service::{agent, imds::V4},
};

const IMDS: &str = "imds";
const AGENT: &str = "pod-identity-agent";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "eks-csi-nodes",
        about: "the EBS and EFS CSI drivers' DaemonSets take the node's role, as policy allows",
        play: |stage| {
            let mut expected = Vec::new();
            for (app, account) in [
                ("ebs-csi-node", "ebs-csi-node-sa"),
                ("efs-csi-node", "efs-csi-node-sa"),
            ] {
                let mut spec = PodSpec::daemon("kube-system", app);
                spec.service_account = account.into();
                let pod = stage.lab.start(spec)?;
                expected.extend([ask(stage, &pod, "credentials")?, closed(&pod)]);
            }
            Ok(expected)
        },
    },
    Scene {
        name: "eks-controllers",
        about: "Karpenter, the EBS CSI controller and the load-balancer controller use roles of their own; the latter asks IMDS for its region",
        play: |stage| {
            let mut expected = Vec::new();
            for (app, account) in [
                ("karpenter", "karpenter"),
                ("ebs-csi-controller", "ebs-csi-controller-sa"),
            ] {
                let role = associate(&mut stage.lab, "kube-system", account)?;
                let mut spec = PodSpec::new("kube-system", app).with_pod_identity();
                spec.service_account = account.into();
                let pod = stage.lab.start(spec)?;
                stage.lab.run(&pod, &["sdk"])?;
                expected.extend([
                    Expected::own_open(&pod, POD_IDENTITY)
                        .bound("pod-identity", &role)
                        .with(&[("comm", "sdk")]),
                    Expected::connect(&pod, AGENT, agent::V4).bound("pod-identity", &role),
                    Expected::closed(&pod, AGENT, agent::V4),
                ]);
            }
            let account = "aws-load-balancer-controller";
            let role = annotate(&mut stage.lab, "kube-system", account)?;
            let spec = PodSpec::new("kube-system", account).with_irsa(&role);
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            expected.extend([
                Expected::own_open(&pod, IRSA).bound("irsa", &role),
                ask(stage, &pod, "region")?
                    .bound("irsa", &role)
                    .judged("allowed", "node-role-fallback:info"),
                closed(&pod),
            ]);
            Ok(expected)
        },
    },
    Scene {
        name: "eks-coredns",
        about: "CoreDNS reads its token for the API server: counted by policy, no line",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("kube-system", "coredns"))?;
            let path = pod.spec.tokens.first().map(|token| token.path());
            stage.lab.run(&pod, &["peek", &path.unwrap_or_default()])?;
            Ok(vec![])
        },
    },
];

fn ask(stage: &mut Stage, pod: &Pod, what: &str) -> anyhow::Result<Expected> {
    stage.lab.run(pod, &["metadata", V4, what])?;
    Ok(Expected::connect(pod, IMDS, V4).with(&[("comm", "metadata")]))
}

fn closed(pod: &Pod) -> Expected {
    Expected::closed(pod, IMDS, V4)
}
