//! At the Pod Identity agent.

use std::fs;

use jiff::Timestamp;

use super::{Scene, Stage, associated};
use crate::{
    expect::Expected,
    node::{NODE_NAME, Pod, PodSpec, pod::POD_IDENTITY},
    service::agent::{V4, V6},
    token::{self, Subject},
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "unassociated-pod-at-agent",
        about: "shop/banner has no association and no token, and connects to the agent",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "banner"))?;
            stage.lab.run(&pod, &["dial", ADDRESS])?;
            Ok(vec![
                Expected::connect(&pod, AGENT, V4)
                    .with(&[("comm", "dial")])
                    .whatever("observed_since")
                    .judged(
                        "violation",
                        "agent-connect-without-token:medium unassociated-agent-connect:high",
                    ),
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "unassociated-pod-at-agent-v6",
        about: "shop/footer does the same over IPv6",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "footer"))?;
            stage.lab.run(&pod, &["dial", "[fd00:ec2::23]:80"])?;
            Ok(vec![
                Expected::connect(&pod, AGENT, V6)
                    .with(&[("comm", "dial")])
                    .whatever("observed_since")
                    .judged(
                        "violation",
                        "agent-connect-without-token:medium unassociated-agent-connect:high",
                    ),
                Expected::closed(&pod, AGENT, V6),
            ])
        },
    },
    Scene {
        name: "late-handshake",
        about: "shop/slowly, of no association, filters the agent's answer away until its connect has gone out as pending",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "slowly"))?;
            stage
                .lab
                .run(&pod, &["dial", "--deaf-ms", "11500", ADDRESS])?;
            let established = Expected::connect(&pod, AGENT, V4)
                .with(&[("comm", "dial")])
                .whatever("observed_since")
                .judged(
                    "violation",
                    "agent-connect-without-token:medium unassociated-agent-connect:high",
                );
            Ok(vec![
                established
                    .clone()
                    .with(&[("outcome", "pending"), ("undetermined", "outcome")])
                    .judged("undetermined", "agent-unreachable:medium"),
                established,
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "association-deleted",
        about: "shop/gift's association is gone, and its SDK still asks the agent",
        play: |stage| {
            let (pod, _) = associated(&mut stage.lab, "shop", "gift")?;
            stage.lab.cluster.dissociate("shop", "gift")?;
            stage.lab.run(&pod, &["sdk"])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY)
                    .with(&[("comm", "sdk")])
                    .judged("violation", "unbound-token-open:high"),
                Expected::connect(&pod, AGENT, V4)
                    .judged("violation", "unassociated-agent-connect:high"),
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "replayed-token",
        about: "shop/stock sends the agent a token that it never opened, then its SDK does it rightly",
        play: |stage| {
            let role = super::associate(&mut stage.lab, "shop", "stock")?;
            let inbox = stage.lab.inbox();
            let spec = PodSpec::new("shop", "stock")
                .with_pod_identity()
                .with_host_path(&inbox, "/inbox");
            let pod = stage.lab.start(spec)?;
            replay(stage, &pod)?;
            stage.lab.run(&pod, &["sdk"])?;
            let connect = Expected::connect(&pod, AGENT, V4).bound("pod-identity", &role);
            let closed = Expected::closed(&pod, AGENT, V4);
            Ok(vec![
                connect
                    .clone()
                    .with(&[("comm", "dial")])
                    .whatever("observed_since")
                    .judged("suspicious", "agent-connect-without-token:medium"),
                closed.clone(),
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("comm", "sdk")]),
                connect,
                closed,
            ])
        },
    },
    Scene {
        name: "older-pod-at-agent",
        about: "ops/older ran before the auditor and asks the agent with a token that it may have opened then",
        play: |stage| {
            let pod = stage.older.clone();
            let role = format!("{}/ops-older", crate::node::cluster::ROLES);
            replay(stage, &pod)?;
            Ok(vec![
                Expected::connect(&pod, AGENT, V4)
                    .bound("pod-identity", &role)
                    .with(&[("comm", "dial"), ("observed_since", "true")])
                    .judged("allowed", "agent-connect-without-token:info"),
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "static-pod-at-agent",
        about: "a static pod, known on the node by its config's hash, connects to the agent",
        play: |stage| {
            let mut spec = PodSpec::daemon("kube-system", "node-helper");
            spec.name = format!("node-helper-{NODE_NAME}");
            spec.owner = ("Node".into(), NODE_NAME.into());
            spec.service_account = String::new();
            spec.tokens.clear();
            spec.config_hash = Some(uuid::Uuid::new_v4().simple().to_string());
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["dial", ADDRESS])?;
            Ok(vec![
                Expected::connect(&pod, AGENT, V4)
                    .with(&[("comm", "dial")])
                    .whatever("observed_since")
                    .judged(
                        "violation",
                        "agent-connect-without-token:medium unassociated-agent-connect:high",
                    ),
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "agent-self-probe",
        about: "the agent's health check connects to its own addresses: no line",
        play: |stage| {
            let agent = stage.agent.clone();
            stage.lab.tell(&agent, "\"probe\"")?;
            Ok(vec![])
        },
    },
];

/// `pod` asks the agent with a token that came to it by another way than its own volume.
fn replay(stage: &mut Stage, pod: &Pod) -> anyhow::Result<()> {
    let token = token_in_inbox(stage, pod)?;
    stage.lab.run(pod, &["dial", ADDRESS, &token]).map(drop)
}

/// Writes a token of `pod` to the inbox; its path for pods that have that at `/inbox`.
pub(super) fn token_in_inbox(stage: &Stage, pod: &Pod) -> anyhow::Result<String> {
    let subject = Subject {
        namespace: &pod.spec.namespace,
        service_account: &pod.spec.service_account,
        pod: &pod.spec.name,
        pod_uid: &pod.spec.uid,
        node: NODE_NAME,
    };
    let name = format!("{}.jwt", pod.spec.name);
    let token = token::issue(subject, token::PODS, 86_400, Timestamp::now());
    fs::write(stage.lab.inbox().join(&name), token)?;
    Ok(format!("/inbox/{name}"))
}
