//! Listeners on the credential addresses that are not the agent.

use anyhow::Result;

use super::{Scene, Stage, associated};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, pod::POD_IDENTITY},
    service::{agent::V4, imds},
    wire::argv,
};

const AGENT: &str = "pod-identity-agent";
const ADDRESS: &str = "169.254.170.23:80";

pub const SCENES: &[Scene] = &[
    Scene {
        name: "impostor-binds-first",
        about: "the agent restarts, and ops/mimic, in the node's network, listens on its address before it does",
        play: |stage| {
            let impostor = impostor(stage, "mimic", ADDRESS)?;
            let (victim, mut expected) = ask(stage, "till")?;
            stage.lab.retire(&impostor)?;
            stage.agent = stage.lab.restart_agent(&stage.agent)?;
            drop(victim);
            // Of what it accepts, the clients' own lines tell.
            expected.push(Expected::impostor(&impostor, AGENT, ADDRESS));
            Ok(expected)
        },
    },
    Scene {
        name: "impostor-on-any-address",
        about: "ops/catchall listens on 0.0.0.0:80 of the node's network while the agent restarts: told by what it accepts, once",
        play: |stage| {
            let impostor = impostor(stage, "catchall", "0.0.0.0:80")?;
            let (victim, mut expected) = ask(stage, "desk")?;
            stage.lab.run(&victim, &["sdk"])?;
            stage.lab.retire(&impostor)?;
            stage.agent = stage.lab.restart_agent(&stage.agent)?;
            expected.extend(expected.clone());
            expected.push(
                Expected::accepted(&victim, &impostor, AGENT, ADDRESS)
                    .whatever("binding")
                    .whatever("connect_id")
                    .judged("violation", "agent-impersonation:critical"),
            );
            Ok(expected)
        },
    },
    Scene {
        name: "impostor-in-own-network",
        about: "shop/decoy gives itself the agent's address in its own network, and listens there",
        play: |stage| {
            let spec = PodSpec::new("shop", "decoy").with_caps(&["NET_ADMIN"]);
            let pod = stage.lab.start(spec)?;
            stage.lab.run(&pod, &["arrange", "address", "lo", V4])?;
            stage.lab.run(&pod, &["listen", ADDRESS])?;
            Ok(vec![
                Expected::impostor(&pod, AGENT, ADDRESS)
                    .with(&[("comm", "listen"), ("agent_net_ns", "false")]),
            ])
        },
    },
    Scene {
        name: "imds-impostor",
        about: "shop/mirage gives itself the metadata service's address in its own network, and listens there",
        play: |stage| {
            let spec = PodSpec::new("shop", "mirage").with_caps(&["NET_ADMIN"]);
            let pod = stage.lab.start(spec)?;
            let address = format!("{}:80", imds::V4);
            stage
                .lab
                .run(&pod, &["arrange", "address", "lo", imds::V4])?;
            stage.lab.run(&pod, &["listen", &address])?;
            Ok(vec![
                Expected::impostor(&pod, "imds", &address)
                    .with(&[("comm", "listen"), ("agent_net_ns", "false")]),
            ])
        },
    },
];

/// Takes the agent away and starts `ops/app`, in the node's network, on `address`.
fn impostor(stage: &mut Stage, app: &str, address: &str) -> Result<Pod> {
    stage.lab.retire(&stage.agent)?;
    let mut spec = PodSpec::daemon("ops", app);
    spec.argv = argv(["agent", address]);
    let impostor = stage.lab.start(spec)?;
    stage.lab.tell(&impostor, "\"ready\"")?;
    Ok(impostor)
}

/// An SDK gets its credentials at the agent's address, from whoever is there.
fn ask(stage: &mut Stage, app: &str) -> Result<(Pod, Vec<Expected>)> {
    let (victim, role) = associated(&mut stage.lab, "shop", app)?;
    stage.lab.run(&victim, &["sdk"])?;
    let expected = vec![
        Expected::own_open(&victim, POD_IDENTITY)
            .bound("pod-identity", &role)
            .with(&[("comm", "sdk")]),
        Expected::connect(&victim, AGENT, V4).bound("pod-identity", &role),
        Expected::closed(&victim, AGENT, V4),
    ];
    Ok((victim, expected))
}
