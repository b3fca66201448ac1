//! What the agent itself accepts.

use std::{thread, time::Duration};

use super::{HOOK_SOCKETS, Scene, Stage, associate, associated};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, pod::POD_IDENTITY},
    service::agent::{V4, V6},
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "raw-tcp-to-agent",
        about: "shop/tunnel reaches the agent with a TCP stack of its own, on a raw socket: the kernel sees no connect",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "tunnel")?;
            let pod = stage.lab.start(PodSpec::new("shop", "tunnel"))?;
            // Within two seconds of its start the auditor would not accuse anybody.
            thread::sleep(Duration::from_secs(2));
            stage.lab.run(&pod, &["stealth", ADDRESS])?;
            let mut expected = vec![
                Expected::accepted(&pod, &stage.agent, AGENT, ADDRESS)
                    .bound("pod-identity", &role)
                    .with(&[("connect_id", "false")])
                    .judged("violation", "stealth-agent-connection:critical"),
            ];
            expected.extend(raw_tcp(stage, &pod));
            Ok(expected)
        },
    },
    Scene {
        name: "raw-tcp-behind-decoy",
        about: "shop/decoy leaves a socket connecting to the agent, and ends its handshake and asks on a raw socket",
        play: |stage| {
            let role = associate(&mut stage.lab, "shop", "decoy")?;
            let pod = stage.lab.start(PodSpec::new("shop", "decoy"))?;
            // Within two seconds of its start the auditor would not accuse anybody.
            thread::sleep(Duration::from_secs(2));
            stage.lab.run(&pod, &["stealth", "--decoy", ADDRESS])?;
            let mut expected = vec![
                Expected::connect(&pod, AGENT, V4)
                    .bound("pod-identity", &role)
                    .with(&[("comm", "stealth"), ("outcome", "aborted")]),
                Expected::accepted(&pod, &stage.agent, AGENT, ADDRESS)
                    .bound("pod-identity", &role)
                    .with(&[("connect_id", "false")])
                    .judged("violation", "stealth-agent-connection:critical"),
            ];
            expected.extend(raw_tcp(stage, &pod));
            Ok(expected)
        },
    },
    Scene {
        name: "host-agent",
        about: "the agent is a process of the node, as in EKS Auto Mode, and shop/auto's SDKs ask it: what it accepts is no line",
        play: |stage| {
            stage.lab.retire(&stage.agent)?;
            let agent = stage.lab.start_host_agent()?;
            let (pod, role) = associated(&mut stage.lab, "shop", "auto")?;
            let v6 = PodSpec::new("shop", "auto").with_pod_identity_at("[fd00:ec2::23]");
            let pod_v6 = stage.lab.start(v6)?;
            let mut expected = Vec::new();
            for (pod, address) in [(&pod, V4), (&pod_v6, V6)] {
                stage.lab.run(pod, &["sdk"])?;
                expected.extend([
                    Expected::own_open(pod, POD_IDENTITY)
                        .bound("pod-identity", &role)
                        .with(&[("comm", "sdk")]),
                    Expected::connect(pod, AGENT, address).bound("pod-identity", &role),
                    Expected::closed(pod, AGENT, address),
                ]);
            }
            drop(agent);
            stage.agent = stage.lab.restart_agent(&stage.agent)?;
            Ok(expected)
        },
    },
];

/// What a stack on a raw socket begins with, where that is watched.
fn raw_tcp(stage: &Stage, pod: &Pod) -> Option<Expected> {
    stage.watches(HOOK_SOCKETS).then(|| {
        Expected::raw_socket(pod, "inet")
            .with(&[("comm", "stealth")])
            .judged("suspicious", "raw-socket:medium")
    })
}
