//! Sockets that a TCP stack of one's own can be built on.

use std::{thread, time::Duration};

use super::{HOOK_SOCKETS as HOOK, Scene};
use crate::{expect::Expected, node::PodSpec};

const FINDING: &str = "raw-socket:medium";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "raw-sockets",
        about: "shop/craft asks for a packet socket and for raw TCP sockets of both families",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "craft"))?;
            let mut expected = Vec::new();
            for (kind, family) in [("packet", "packet"), ("tcp", "inet"), ("tcp6", "inet6")] {
                stage.lab.run(&pod, &["rawsocket", kind])?;
                expected.push(Expected::raw_socket(&pod, family).judged("suspicious", FINDING));
            }
            // One line stands for what the same container asks for within ten seconds.
            stage.lab.run(&pod, &["rawsocket", "packet-dgram"])?;
            let again = Expected::raw_socket(&pod, "packet")
                .with(&[("type", "dgram")])
                .judged("suspicious", FINDING);
            expected.push(again.optional());
            Ok(stage.where_watched(HOOK, expected))
        },
    },
    Scene {
        name: "raw-socket-refused",
        about: "shop/denied, without CAP_NET_RAW, asks for a packet socket and does not get it: an attempt all the same",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "denied"))?;
            stage.lab.run(
                &pod,
                &[
                    "enter",
                    "--drop-capabilities",
                    "--",
                    "rawsocket",
                    "--refused",
                    "packet",
                ],
            )?;
            Ok(stage.where_watched(
                HOOK,
                vec![Expected::raw_socket(&pod, "packet").judged("suspicious", FINDING)],
            ))
        },
    },
    Scene {
        name: "raw-socket-of-pod-not-yet-listed",
        about: "shop/quick and kube-system/boot, in the node's network, ask for packet sockets before the control plane tells of them",
        play: |stage| {
            let pod = stage.lab.start_unlisted(PodSpec::new("shop", "quick"))?;
            let on_node = stage
                .lab
                .start_unlisted(PodSpec::daemon("kube-system", "boot"))?;
            for pod in [&pod, &on_node] {
                stage.lab.run(pod, &["rawsocket", "packet"])?;
            }
            thread::sleep(Duration::from_millis(500));
            for pod in [&pod, &on_node] {
                stage.lab.list(pod)?;
            }
            Ok(stage.where_watched(
                HOOK,
                vec![Expected::raw_socket(&pod, "packet").judged("suspicious", FINDING)],
            ))
        },
    },
    Scene {
        name: "ping",
        about: "shop/pinger pings, by raw ICMP sockets and by ping sockets: no line",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::new("shop", "pinger"))?;
            for kind in ["icmp", "icmp6", "ping"] {
                stage.lab.run(&pod, &["rawsocket", kind])?;
            }
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
    Scene {
        name: "packet-socket-in-the-nodes-network",
        about: "kube-system/cni, in the node's network, has packet and raw sockets, and so has the node's own DHCP client: no line",
        play: |stage| {
            let pod = stage.lab.start(PodSpec::daemon("kube-system", "cni"))?;
            for kind in ["packet", "packet-dgram", "tcp"] {
                stage.lab.run(&pod, &["rawsocket", kind])?;
            }
            stage.lab.run_on_host(&["rawsocket", "packet"])?;
            Ok(stage.where_watched(HOOK, vec![]))
        },
    },
];
