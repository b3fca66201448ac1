//! What adds up over several events, and what the process or the agent is like.

use std::{net::IpAddr, path::PathBuf};

use anyhow::Result;

use super::{Scene, associate, associated, host_path_of, token_path, with_host_kubelet};
use crate::{
    expect::Expected,
    node::{Lab, Pod, PodSpec, pod::POD_IDENTITY},
    service::agent::V4,
    sys::{netlink::Netlink, netns},
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";
const FOREIGN: &str = "foreign-token-open:critical";
const HARVEST: &str = "foreign-token-open:critical token-harvest:critical";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "harvest",
        about: "shop/magpie takes the tokens of payments/ring and payments/coin, each by a new process, and the first again",
        play: |stage| {
            let (ring, ring_role) = associated(&mut stage.lab, "payments", "ring")?;
            let (coin, coin_role) = associated(&mut stage.lab, "payments", "coin")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "magpie"))?;
            for victim in [&ring, &coin, &ring] {
                stage.lab.run(&thief, &["peek", &host_path_of(victim)])?;
            }
            let taken = in_order(&[&ring, &coin]);
            Ok(vec![
                theft(&thief, &ring, &ring_role).judged("violation", FOREIGN),
                theft(&thief, &coin, &coin_role)
                    .judged("violation", HARVEST)
                    .with(&[("taken", &taken)]),
                theft(&thief, &ring, &ring_role)
                    .judged("violation", HARVEST)
                    .with(&[("taken", &taken)]),
            ])
        },
    },
    Scene {
        name: "harvest-by-exempted-scanner",
        about: "ops/scanner, whom policy lets open others' tokens, opens two: told, and no harvest",
        play: |stage| {
            let (one, one_role) = associated(&mut stage.lab, "payments", "ledger-a")?;
            let (two, two_role) = associated(&mut stage.lab, "payments", "ledger-b")?;
            let scanner = with_host_kubelet(&mut stage.lab, PodSpec::new("ops", "scanner"))?;
            for victim in [&one, &two] {
                stage.lab.run(&scanner, &["peek", &host_path_of(victim)])?;
            }
            let exempted = |victim, role| {
                theft(&scanner, victim, role)
                    .judged("allowed", FOREIGN)
                    .with(&[("exempted", "scanner")])
            };
            Ok(vec![exempted(&one, &one_role), exempted(&two, &two_role)])
        },
    },
    Scene {
        name: "siblings-are-no-harvest",
        about: "batch/shard reads the tokens of two pods with its own ServiceAccount, then another's: the first theft",
        play: |stage| {
            let role = associate(&mut stage.lab, "batch", "shard")?;
            let spec = || PodSpec::new("batch", "shard").with_pod_identity();
            let one = stage.lab.start(spec())?;
            let two = stage.lab.start(spec())?;
            let (other, other_role) = associated(&mut stage.lab, "payments", "shares")?;
            let reader = with_host_kubelet(&mut stage.lab, spec())?;
            for victim in [&one, &two, &other] {
                stage.lab.run(&reader, &["peek", &host_path_of(victim)])?;
            }
            let sibling = |victim| {
                Expected::foreign_open(&reader, victim, POD_IDENTITY, "same-service-account")
                    .bound("pod-identity", &role)
                    .judged("suspicious", "foreign-token-open:medium")
            };
            Ok(vec![
                sibling(&one),
                sibling(&two),
                theft(&reader, &other, &other_role).judged("violation", FOREIGN),
            ])
        },
    },
    Scene {
        name: "foreign-executable",
        about: "shop/drop's token is read by a memfd, by a deleted program, and by one on an overlay's upper layer",
        play: |stage| {
            let (pod, role) = mounting(&mut stage.lab, "drop")?;
            let path = token_path(&pod, POD_IDENTITY);
            for how in ["memfd", "deleted", "upper"] {
                stage.lab.run(&pod, &["foreign", how, "peek", &path])?;
            }
            let open = Expected::own_open(&pod, POD_IDENTITY)
                .bound("pod-identity", &role)
                // execve(2) names a program that it was given as a descriptor by that.
                .whatever("comm")
                .judged("violation", "foreign-executable:high");
            Ok(vec![open; 3])
        },
    },
    Scene {
        name: "executable-of-the-image",
        about: "shop/layer's token is read by a program on an overlay's lower layer, as those of an image are",
        play: |stage| {
            let (pod, role) = mounting(&mut stage.lab, "layer")?;
            let path = token_path(&pod, POD_IDENTITY);
            stage.lab.run(&pod, &["foreign", "lower", "peek", &path])?;
            Ok(vec![
                Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role),
            ])
        },
    },
    Scene {
        name: "foreign-executable-at-agent",
        about: "shop/inject's SDK, run from memory, asks the agent",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "inject")?;
            stage.lab.run(&pod, &["foreign", "memfd", "sdk"])?;
            let judged = |line: Expected| {
                line.bound("pod-identity", &role)
                    .whatever("comm")
                    .judged("violation", "foreign-executable:high")
            };
            Ok(vec![
                judged(Expected::own_open(&pod, POD_IDENTITY)),
                judged(Expected::connect(&pod, AGENT, V4)).with(&[("token_opened_at", "true")]),
                Expected::closed(&pod, AGENT, V4),
            ])
        },
    },
    Scene {
        name: "agent-refuses",
        about: "in shop/alone's network nothing listens on the agent's address, and its SDK is refused",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "alone")?;
            within_network(&pod, |netlink| netlink.add_address("lo", V4.parse()?, 32))?;
            stage.lab.run(&pod, &["dial", "--may-fail", ADDRESS])?;
            Ok(vec![unreachable(&pod, &role, "refused")])
        },
    },
    Scene {
        name: "agent-does-not-answer",
        about: "shop/adrift's way to the agent ends nowhere: it gives up after a second, then waits for the kernel's word",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "adrift")?;
            within_network(&pod, |netlink| {
                // A gateway that nobody is.
                netlink.add_address("eth0", "10.99.0.1".parse::<IpAddr>()?, 24)?;
                netlink.add_route(V4.parse()?, 32, "10.99.0.9".parse::<IpAddr>()?)
            })?;
            let dial = ["dial", "--may-fail"];
            stage.lab.run(
                &pod,
                &[&dial[..], &["--within-ms", "1000", ADDRESS]].concat(),
            )?;
            stage.lab.run(&pod, &[&dial[..], &[ADDRESS]].concat())?;
            Ok(vec![
                unreachable(&pod, &role, "aborted"),
                unreachable(&pod, &role, "unreachable"),
            ])
        },
    },
    Scene {
        name: "impatient-client",
        about: "shop/hasty closes its connect to the agent after 50 ms without an answer: its own doing, no finding",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "hasty")?;
            within_network(&pod, |netlink| {
                netlink.add_address("eth0", "10.99.0.1".parse::<IpAddr>()?, 24)?;
                netlink.add_route(V4.parse()?, 32, "10.99.0.9".parse::<IpAddr>()?)
            })?;
            stage
                .lab
                .run(&pod, &["dial", "--may-fail", "--within-ms", "50", ADDRESS])?;
            Ok(vec![
                unreachable(&pod, &role, "aborted").judged("allowed", ""),
            ])
        },
    },
];

fn theft(thief: &Pod, victim: &Pod, role: &str) -> Expected {
    Expected::foreign_open(thief, victim, POD_IDENTITY, "other-pod").bound("pod-identity", role)
}

/// `shop/app` with an association, which may mount.
fn mounting(lab: &mut Lab, app: &str) -> Result<(Pod, String)> {
    let role = associate(lab, "shop", app)?;
    let spec = PodSpec::new("shop", app).with_pod_identity();
    Ok((lab.start(spec.with_caps(&["SYS_ADMIN"]))?, role))
}

/// As facts list them.
fn in_order(pods: &[&Pod]) -> String {
    let mut names: Vec<String> = pods.iter().map(|pod| pod.key()).collect();
    names.sort();
    names.join(" ")
}

fn unreachable(pod: &Pod, role: &str, outcome: &str) -> Expected {
    Expected::connect(pod, AGENT, V4)
        .bound("pod-identity", role)
        .with(&[("comm", "dial"), ("outcome", outcome)])
        .judged("suspicious", "agent-unreachable:medium")
}

/// In the pod's own network namespace, which nobody else has.
fn within_network(pod: &Pod, change: impl FnOnce(&Netlink) -> Result<()> + Send) -> Result<()> {
    let path = PathBuf::from(format!("/proc/{}/ns/net", pod.init_pid));
    netns::within(&path, || change(&Netlink::open()?))
}
