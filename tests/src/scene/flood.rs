//! Floods of what only fentry and kprobes see (the others: `tests/tests/flood.rs`): the first are lines, the rest are counted, and both
//! add up to what took place.

use std::{cell::Cell, time::Duration};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Scene, Stage, associated, host_path_of, with_host_kubelet};
use crate::{
    expect::Expected,
    node::{Pod, PodSpec, pod::POD_IDENTITY},
    service::agent::V4,
};

const TIMES: usize = 100;
/// One executable's burst (`auditor-common/src/flood.rs`).
const BURST: usize = 32;
/// The auditor tells of a flood within two seconds, and then each ten.
const SUMMARIES: Duration = Duration::from_secs(15);

pub const SCENES: &[Scene] = &[
    Scene {
        name: "received-flood",
        about: "shop/juggle sends the descriptor of payments/stash's token to itself, 100 times",
        play: |stage| {
            let (victim, role) = associated(&mut stage.lab, "payments", "stash")?;
            let thief = with_host_kubelet(&mut stage.lab, PodSpec::new("shop", "juggle"))?;
            let path = host_path_of(&victim);
            let times = TIMES.to_string();
            stage.lab.run(&thief, &["hand", "juggle", &times, &path])?;
            let opened = Expected::foreign_open(&thief, &victim, POD_IDENTITY, "other-pod")
                .bound("pod-identity", &role)
                .with(&[("comm", "hand")]);
            let arrived =
                Expected::received(&thief, &victim, POD_IDENTITY, "other-pod", "scm_rights")
                    .bound("pod-identity", &role)
                    .with(&[("comm", "hand")])
                    .judged("violation", "foreign-token-received:critical");
            let arrived = told_and_folded(stage, "descriptor_received", &thief, &arrived)?;
            let mut expected = vec![opened.judged("violation", "foreign-token-open:critical")];
            expected.extend(arrived);
            Ok(expected)
        },
    },
    Scene {
        name: "connect-attempt-flood",
        about: "shop/stray connects to the agent from a network namespace without a route, 100 times",
        play: |stage| {
            let (pod, role) = associated(&mut stage.lab, "shop", "stray")?;
            let times = TIMES.to_string();
            let command = ["dial", "--without-route", &times, "169.254.170.23:80"];
            stage.lab.run(&pod, &command)?;
            let attempt = Expected::connect(&pod, "pod-identity-agent", V4)
                .bound("pod-identity", &role)
                .with(&[("comm", "dial"), ("outcome", "unreachable")])
                .judged("suspicious", "agent-unreachable:medium");
            told_and_folded(stage, "connect_attempt", &pod, &attempt)
        },
    },
];

/// As many lines as came, each like `line`, and summaries: an error unless they add up. Nothing where the hook is not watched.
fn told_and_folded(
    stage: &mut Stage,
    hook: &str,
    by: &Pod,
    line: &Expected,
) -> Result<Vec<Expected>> {
    if !stage.watches(hook) || stage.output.is_none() {
        return Ok(stage.where_watched(hook, Vec::new()));
    }
    let event = line.event();
    let seen = Cell::new((0, 0, 0));
    stage.wait_for_lines(SUMMARIES, |lines| {
        let of_pod = |line: &&Value| line["pod"]["uid"] == *by.spec.uid;
        let told = lines.iter().filter(of_pod);
        let told = told.filter(|line| line["event"] == event).count();
        let summaries = lines.iter().filter(of_pod);
        let summaries: Vec<_> = summaries
            .filter(|line| line["event"] == "summary" && line["of"] == event)
            .collect();
        let folded = summaries.iter().filter_map(|line| line["count"].as_u64());
        let folded = usize::try_from(folded.sum::<u64>()).unwrap_or(usize::MAX);
        seen.set((told, folded, summaries.len()));
        told.saturating_add(folded) >= TIMES
    });
    let (told, folded, summaries) = seen.get();
    ensure!(
        told + folded == TIMES && told >= BURST && folded > 0,
        "{TIMES} took place, {told} are lines and {folded} are in {summaries} summaries"
    );
    let summary = Expected::line([("event", "summary".into()), ("pod", by.key())]);
    let mut expected = vec![line.clone(); told];
    expected.extend(vec![summary; summaries]);
    Ok(expected)
}
