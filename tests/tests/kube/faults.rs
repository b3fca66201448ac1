//! While the API server fails: known pods stay known, new ones wait, and nothing is guessed.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lab::{
    node::Pod,
    service::{
        apiserver::{Action, End, Fault, Options, Resource, Status, StreamingLists, Verb},
        web::Ending,
    },
};

use crate::{
    stage::{Stage, allowed, is_watch, unknown},
    support::is_root,
};

fn started(behaviour: Options) -> Result<(Stage, Pod, String)> {
    let mut stage = Stage::new(behaviour)?;
    let (pod, role) = stage.irsa("payments", "known")?;
    stage.begin()?;
    stage.open(&pod)?;
    stage.lines(vec![allowed(&pod, &role)])?;
    Ok((stage, pod, role))
}

fn on_pod_watches(action: Action) -> Fault {
    Fault::new(action).on(Verb::Watch, Resource::Pods)
}

/// The watch is cut, a pod comes and a pod goes, and the history of that is compacted away before the auditor is back.
#[test]
fn what_happened_in_a_history_that_is_gone_is_made_up_for() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    for gone_by_status in [false, true] {
        for streaming_lists in [StreamingLists::On, StreamingLists::Off] {
            let (mut stage, known, known_role) = started(Options {
                gone_by_status,
                streaming_lists,
                ..Options::default()
            })?;
            let (leaving, leaving_role) = stage.irsa("payments", "leaving")?;
            stage.open(&leaving)?;
            stage.lines(vec![allowed(&leaving, &leaving_role)])?;
            stage.api.go_away(Ending::Close)?;
            let (coming, coming_role) = stage.irsa("payments", "coming")?;
            // Gone for the API server; its processes end later.
            stage.lab.cluster.remove_pod(&leaving.spec)?;
            stage.open(&coming)?;
            stage.open(&known)?;
            stage.lines(vec![allowed(&known, &known_role)])?;
            stage.api.store().compact();
            stage.api.come_back()?;
            stage.lines(vec![allowed(&coming, &coming_role)])?;
            // Deleted meanwhile, and still known.
            stage.open(&leaving)?;
            stage.open(&known)?;
            stage.lines(vec![
                allowed(&leaving, &leaving_role),
                allowed(&known, &known_role),
            ])?;
            let seen = stage.api.requests();
            if gone_by_status {
                ensure!(seen.iter().any(|seen| seen.status == 410), "{seen:#?}");
            }
            stage.end()?;
        }
    }
    Ok(())
}

/// 410 as an event, in the middle of a watch.
#[test]
fn a_watch_that_is_told_to_begin_anew_loses_nothing() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, known, role) = started(Options::default())?;
    for round in 0..3 {
        stage.api.end_watches(End::Gone);
        stage.api.store().compact();
        let (new, new_role) = stage.irsa("payments", &format!("new-{round}"))?;
        stage.open(&new)?;
        stage.open(&known)?;
        stage.lines(vec![allowed(&new, &new_role), allowed(&known, &role)])?;
    }
    stage.end()?;
    Ok(())
}

#[test]
fn an_api_server_that_is_away_for_a_while_costs_no_event() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, known, role) = started(Options::default())?;
    let (ending, ending_role) = stage.irsa("payments", "ending")?;
    stage.open(&ending)?;
    stage.lines(vec![allowed(&ending, &ending_role)])?;
    stage.api.go_away(Ending::Reset)?;
    let (new, new_role) = stage.irsa("payments", "new")?;
    stage.open(&new)?;
    // The pod ends before anybody can ask for it.
    let (short, short_role) = stage.irsa("payments", "short")?;
    stage.open(&short)?;
    stage.lab.remove_from_node(&short)?;
    let mut oldest = 0;
    for _ in 0..6 {
        thread::sleep(Duration::from_secs(1));
        stage.open(&known)?;
        stage.open(&ending)?;
        let lines = stage.lines(vec![allowed(&known, &role), allowed(&ending, &ending_role)])?;
        for line in &lines {
            let age = line["attribution"]["cluster_age_ms"].as_u64();
            oldest = oldest.max(age.unwrap_or(0));
        }
    }
    // It says how old its knowledge is, and after a while that nobody answers.
    ensure!(oldest > 4_000, "{oldest} ms");
    stage.says("cluster", "degraded", &[])?;
    stage.lab.cluster.remove_pod(&ending.spec)?;
    stage.api.come_back()?;
    stage.lines_within(
        Duration::from_secs(40),
        vec![allowed(&new, &new_role), allowed(&short, &short_role)],
    )?;
    stage.open(&ending)?;
    stage.lines(vec![allowed(&ending, &ending_role)])?;
    stage.says("cluster", "ok", &[])?;
    stage.end()?;
    Ok(())
}

#[test]
fn a_missing_right_is_named_and_the_auditor_goes_on() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    stage.api.faults().add(on_pod_watches(Action::Forbidden));
    stage
        .api
        .faults()
        .add(Fault::new(Action::Forbidden).on(Verb::List, Resource::Pods));
    let (pod, _) = stage.irsa("payments", "api")?;
    stage.begin()?;
    stage.says("cluster", "degraded", &["pods", "watch"])?;
    // Its event is not lost: it waits.
    stage.open(&pod)?;
    stage.quiet(Duration::from_secs(3))?;
    stage.lines_within(Duration::from_secs(40), vec![unknown(&pod)])?;
    stage.end()?;
    Ok(())
}

#[test]
fn throttled_at_its_start_it_waits_as_long_as_it_is_told() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    let too_many = Action::Status(Status::too_many_requests(2));
    stage.api.faults().add(on_pod_watches(too_many).times(2));
    let (pod, role) = stage.irsa("payments", "api")?;
    stage.begin()?;
    stage.open(&pod)?;
    stage.lines(vec![allowed(&pod, &role)])?;
    let watches = stage.asked(3, |seen| is_watch(seen, "/pods"))?;
    let statuses: Vec<u16> = watches.iter().map(|seen| seen.status).collect();
    assert_eq!(statuses, [429, 429, 200]);
    for pair in watches.windows(2) {
        let pause = pair[1].at - pair[0].at;
        ensure!(
            pause >= Duration::from_secs(2),
            "asked again after {pause:?}"
        );
    }
    stage.end()?;
    Ok(())
}

#[test]
fn connections_that_end_in_mid_line_again_and_again_lose_nothing() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let (mut stage, known, role) = started(Options::default())?;
    for (round, end) in [End::InLine, End::Garbage, End::InLine, End::Whole]
        .into_iter()
        .enumerate()
    {
        // The watch that follows is cut too, in the middle of the first line it tells.
        stage
            .api
            .faults()
            .add(on_pod_watches(Action::CutInLine(round % 2)).times(1));
        stage.api.end_watches(end);
        let (new, new_role) = stage.irsa("payments", &format!("new-{round}"))?;
        stage.open(&new)?;
        stage.open(&known)?;
        // The cut may have come between the pod and what the kubelet says of its containers.
        let new_open = allowed(&new, &new_role).whatever("container");
        stage.lines(vec![new_open, allowed(&known, &role)])?;
    }
    stage.api.end_connections(Ending::Reset)?;
    let (last, last_role) = stage.irsa("payments", "last")?;
    stage.open(&last)?;
    stage.lines(vec![allowed(&last, &last_role)])?;
    stage.end()?;
    Ok(())
}

/// Half a page, no answer at all, and something that is no JSON.
#[test]
fn lists_that_are_cut_or_garbled_are_asked_for_again() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options {
        streaming_lists: StreamingLists::Off,
        ..Options::default()
    })?;
    for action in [
        Action::Half,
        Action::NoAnswer,
        Action::Garbage("<html>gateway timeout</html>"),
        Action::Reset,
    ] {
        let fault = Fault::new(action).on(Verb::List, Resource::Pods).times(1);
        stage.api.faults().add(fault);
    }
    let (pod, role) = stage.irsa("payments", "api")?;
    stage.begin()?;
    stage.open(&pod)?;
    stage.lines(vec![allowed(&pod, &role)])?;
    stage.end()?;
    Ok(())
}
