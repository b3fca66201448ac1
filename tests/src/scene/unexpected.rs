//! Programs that are not expected of a ServiceAccount: by policy, and by what the node learned.

use std::{thread, time::Duration};

use serde_json::Value;

use super::{Scene, Stage, associated, token_path};
use crate::{
    expect::Expected,
    node::{Pod, pod::POD_IDENTITY},
    patience,
    service::agent::V4,
};

const AGENT: &str = "pod-identity-agent";
const FINDING: &str = "unexpected-executable:medium";
/// For a line to come.
const SOON: Duration = Duration::from_secs(10);
const LEARNING: Duration = Duration::from_secs(1);

pub const SCENES: &[Scene] = &[
    Scene {
        name: "unexpected-executable-by-policy",
        about: "policy lists the SDK for shop/listed, and something else reads its token",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "listed")?;
            stage.lab.set_policy(
                "executables: [{namespace: shop, service_account: listed, allow: ['*/sdk']}]\n",
            )?;
            let expected = uses_and_peeks(stage, &pod, &role, 0)?;
            stage.lab.set_policy("")?;
            Ok(expected)
        },
    },
    Scene {
        name: "unexpected-executable-below-a-root-of-its-own",
        about: "shop/masked's token is read by a copy of what policy lists, whose root is where the copy has the listed path",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "masked")?;
            stage.lab.set_policy(
                "executables: [{namespace: shop, service_account: masked, allow: [/lab/bin/peek]}]\n",
            )?;
            let path = token_path(&pod, POD_IDENTITY);
            stage.lab.run(&pod, &["peek", &path])?;
            let masked = ["foreign", "renamed", "peek", "--chroot", "/tmp/root", &path];
            stage.lab.run(&pod, &masked)?;
            stage.wait_for_lines(SOON, |lines| opens(lines, &pod) >= 2);
            stage.lab.set_policy("")?;
            let open = Expected::own_open(&pod, POD_IDENTITY).bound("pod-identity", &role);
            let judged = open.clone().judged("suspicious", FINDING);
            Ok(vec![open, judged])
        },
    },
    Scene {
        name: "unexpected-executable-learned",
        about: "shop/habit's SDK uses its credentials while that is learned; later something else reads its token",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "habit")?;
            let learning = begin_to_learn(stage, "")?;
            stage.lab.run(&pod, &["sdk"])?;
            stage.wait_for_lines(SOON, |lines| opens(lines, &pod) >= 1);
            thread::sleep(learning);
            let mut expected = uses(&pod, &role);
            expected.extend(uses_and_peeks(stage, &pod, &role, 1)?);
            stage.lab.set_policy("")?;
            Ok(expected)
        },
    },
    Scene {
        name: "unexpected-executable-not-learned-from-a-session",
        about: "a kubectl exec session that policy thinks nothing of reads shop/visited's token while what runs there is learned; \
                later the same program, run by the workload, is still unexpected",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "visited")?;
            let learning = begin_to_learn(stage, "severity: {exec-session-token-open: info}\n")?;
            stage.lab.run(&pod, &["sdk"])?;
            stage
                .lab
                .exec(&pod, &["peek", &token_path(&pod, POD_IDENTITY)])?;
            stage.wait_for_lines(SOON, |lines| opens(lines, &pod) >= 2);
            thread::sleep(learning);
            let mut expected = uses(&pod, &role);
            expected.push(
                Expected::own_open(&pod, POD_IDENTITY)
                    .bound("pod-identity", &role)
                    .with(&[("exec_session", "true")])
                    .judged("allowed", "exec-session-token-open:info"),
            );
            expected.extend(uses_and_peeks(stage, &pod, &role, 2)?);
            stage.lab.set_policy("")?;
            Ok(expected)
        },
    },
];

/// How long it lasts, from the first use on, and a little more.
fn begin_to_learn(stage: &mut Stage, more: &str) -> anyhow::Result<Duration> {
    let time = LEARNING * patience();
    let policy = format!("learn: {{for: {}s}}\n{more}", time.as_secs());
    stage.lab.set_policy(&policy)?;
    Ok(time + Duration::from_millis(200))
}

/// `before`: how often the pod opened its token before.
fn uses_and_peeks(
    stage: &mut Stage,
    pod: &Pod,
    role: &str,
    before: usize,
) -> anyhow::Result<Vec<Expected>> {
    stage.lab.run(pod, &["sdk"])?;
    stage
        .lab
        .run(pod, &["peek", &token_path(pod, POD_IDENTITY)])?;
    // Before policy changes again.
    stage.wait_for_lines(SOON, |lines| opens(lines, pod) >= before + 2);
    let mut expected = uses(pod, role);
    expected.push(
        Expected::own_open(pod, POD_IDENTITY)
            .bound("pod-identity", role)
            .judged("suspicious", FINDING),
    );
    Ok(expected)
}

fn uses(pod: &Pod, role: &str) -> Vec<Expected> {
    vec![
        Expected::own_open(pod, POD_IDENTITY)
            .bound("pod-identity", role)
            .with(&[("comm", "sdk")]),
        Expected::connect(pod, AGENT, V4).bound("pod-identity", role),
        Expected::closed(pod, AGENT, V4),
    ]
}

fn opens(lines: &[Value], pod: &Pod) -> usize {
    let name = pod.spec.name.as_str();
    let is_its = |line: &&Value| line["event"] == "token_open" && line["pod"]["name"] == name;
    lines.iter().filter(is_its).count()
}
