//! What happens on every node all day: none of it may raise anything high.

use super::{Scene, agent::token_in_inbox, annotate, annotated, associate, associated, token_path};
use crate::{
    expect::Expected,
    node::{
        Pod, PodSpec,
        pod::{IRSA, POD_IDENTITY},
    },
    patience,
    service::agent::V4,
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";
/// Pods of the Deployment that is rolled. An emulated processor would roll 50 for half of all scenes' time.
fn replicas() -> usize {
    if patience() == 1 { 50 } else { 10 }
}

/// Whom the kubelet hands other pods' tokens (CSI tokenRequests): the project's own chart, the EKS add-on, Mountpoint S3 from v2.
const CSI_DRIVERS: [(&str, &str); 3] = [
    ("kube-system", "csi-secrets-store-provider-aws"),
    (
        "aws-secrets-manager",
        "aws-secrets-store-csi-driver-provider",
    ),
    ("mount-s3", "default"),
];

pub const SCENES: &[Scene] = &[
    Scene {
        name: "rolling-update",
        about: "a Deployment of 50 pods (10 in a VM) is rolled: each new pod asks for credentials as its predecessor goes",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "fleet")?;
            let spec = || PodSpec::new("shop", "fleet").with_pod_identity();
            let mut old = Vec::with_capacity(replicas());
            for _ in 0..replicas() {
                old.push(stage.lab.start(spec())?);
            }
            let mut expected = Vec::new();
            for gone in old {
                let new = stage.lab.start(spec())?;
                stage.lab.run(&new, &["sdk"])?;
                stage.lab.retire(&gone)?;
                expected.extend(asks(&new, &role));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "sdk-asks-again",
        about: "shop/eager-sdk makes a session of its own for each of eight calls, one right after the other",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "eager-sdk")?;
            let mut expected = Vec::new();
            for _ in 0..8 {
                stage.lab.run(&pod, &["sdk"])?;
                expected.extend(asks(&pod, &role));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "csi-driver-for-others",
        about: "CSI drivers (secrets-store's two, Mountpoint S3's) show the agent a token that the kubelet handed them for another pod",
        play: |stage| {
            let (mounting, _) = associated(&mut stage.lab, "shop", "mounting")?;
            let inbox = stage.lab.inbox();
            let token = token_in_inbox(stage, &mounting)?;
            let mut expected = Vec::new();
            for (namespace, account) in CSI_DRIVERS {
                let mut spec =
                    PodSpec::daemon(namespace, "csi-driver").with_host_path(&inbox, "/inbox");
                spec.service_account = account.into();
                let driver = stage.lab.start(spec)?;
                stage.lab.run(&driver, &["dial", ADDRESS, &token])?;
                expected.extend([
                    Expected::connect(&driver, AGENT, V4)
                        .with(&[("comm", "dial")])
                        .whatever("observed_since")
                        .whatever("exempted")
                        .judged(
                            "allowed",
                            "agent-connect-without-token:medium unassociated-agent-connect:high",
                        ),
                    Expected::closed(&driver, AGENT, V4),
                ]);
            }
            Ok(expected)
        },
    },
    Scene {
        name: "host-network-and-host-pid",
        about: "ops/exporter lives in the host's network and pid namespaces by its spec, and uses its own identity",
        play: |stage| {
            let role = associate(&mut stage.lab, "ops", "exporter")?;
            let mut spec = PodSpec::daemon("ops", "exporter").with_pod_identity();
            spec.host_pid = true;
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["sdk"])?;
            Ok(asks(&pod, &role))
        },
    },
    Scene {
        name: "annotated-again-with-the-same-role",
        about: "payments/steady's annotation is applied again after its pod started, as GitOps tools do each few minutes",
        play: |stage| {
            let (pod, role) = annotated(&mut stage.lab, "payments", "steady")?;
            for _ in 0..3 {
                annotate(&mut stage.lab, "payments", "steady")?;
                stage.lab.run(&pod, &["peek", &token_path(&pod, IRSA)])?;
            }
            let open = Expected::own_open(&pod, IRSA).bound("irsa", &role);
            Ok(vec![open.clone(), open.clone(), open])
        },
    },
];

/// An SDK reads its token and asks the agent.
fn asks(pod: &Pod, role: &str) -> Vec<Expected> {
    vec![
        Expected::own_open(pod, POD_IDENTITY)
            .bound("pod-identity", role)
            .with(&[("comm", "sdk")]),
        Expected::connect(pod, AGENT, V4).bound("pod-identity", role),
        Expected::closed(pod, AGENT, V4),
    ]
}
