//! While all is well: who is told of, how, and when.

use std::{thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    node::{PodSpec, cluster::ROLES},
    service::apiserver::{Options, Resource, StreamingLists},
};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, allowed, is_watch, unknown},
    support::is_root,
};

/// Pods from before and after the auditor's start, one of which the API server tells two seconds late.
fn follow(stage: &mut Stage) -> Result<()> {
    let (early, early_role) = stage.irsa("payments", "early")?;
    stage.begin()?;
    stage.open(&early)?;
    let lines = stage.lines(vec![allowed(&early, &early_role)])?;
    let line = &lines[0];
    assert_eq!(line["evidence"]["sa_role_arn"], early_role, "{line:#}");
    assert!(line["attribution"]["cluster_age_ms"].is_u64(), "{line:#}");

    let (late, late_role) = stage.irsa("payments", "late")?;
    stage.open(&late)?;
    stage.lines(vec![allowed(&late, &late_role)])?;

    let (slow, slow_role) = stage.untold("payments", "slow")?;
    stage.open(&slow)?;
    // Others are not held up by it.
    stage.open(&early)?;
    let lines = stage.lines(vec![allowed(&early, &early_role)])?;
    assert!(waited(&lines[0]) < 1_500, "{:#}", lines[0]);
    stage.quiet(Duration::from_secs(2))?;
    stage.lab.list(&slow)?;
    let lines = stage.lines(vec![allowed(&slow, &slow_role)])?;
    assert!(
        (2_000..15_000).contains(&waited(&lines[0])),
        "{:#}",
        lines[0]
    );
    Ok(())
}

fn waited(line: &Value) -> u64 {
    line["attribution"]["waited_ms"].as_u64().unwrap_or(0)
}

#[test]
fn pods_are_told_by_a_streaming_list() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    follow(&mut stage)?;
    let seen = stage.api.requests();
    let watches: Vec<_> = seen.iter().filter(|seen| is_watch(seen, "/pods")).collect();
    ensure!(watches.len() == 1, "{seen:#?}");
    ensure!(
        watches[0].query.contains("spec.nodeName%3Dip-10-0-1-5"),
        "{seen:#?}"
    );
    ensure!(seen.iter().all(|seen| seen.status == 200), "{seen:#?}");
    stage.end()?;
    Ok(())
}

#[test]
fn pods_are_told_by_paged_lists_where_streaming_is_refused() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    for streaming_lists in [StreamingLists::Off, StreamingLists::Unknown] {
        let mut stage = Stage::new(Options {
            streaming_lists,
            ..Options::default()
        })?;
        follow(&mut stage)?;
        let seen = stage.api.requests();
        // Refused once, and not asked again.
        let refused = seen.iter().filter(|seen| seen.status == 422).count();
        ensure!(refused == 1, "{seen:#?}");
        stage.end()?;
    }
    Ok(())
}

/// A pod is told of before its containers run: what the kubelet says of them comes a second or so after their first opens.
#[test]
fn a_container_that_is_not_told_of_yet_has_its_id() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    stage.begin()?;
    let (pod, role) = stage.irsa("payments", "quick")?;
    let key = (Resource::Pods, "payments".to_owned(), pod.spec.name.clone());
    let store = stage.api.store();
    let told = store.get(&key).context("not in the store")?;
    let mut scheduled = Value::clone(&told);
    scheduled["status"] = json!({"phase": "Pending"});
    store.put(Resource::Pods, scheduled);
    thread::sleep(Duration::from_millis(300));
    stage.open(&pod)?;
    let lines = stage.lines(vec![allowed(&pod, &role).whatever("container")])?;
    assert_eq!(
        lines[0]["container"]["id"], pod.container_id,
        "{}",
        lines[0]
    );
    stage.end()?;
    Ok(())
}

#[test]
fn a_pod_that_is_never_told_of_goes_out_marked() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    stage.begin()?;
    let (pod, _) = stage.untold("payments", "ghost")?;
    stage.open(&pod)?;
    stage.quiet(Duration::from_secs(25))?;
    let lines = stage.lines(vec![unknown(&pod)])?;
    let line = &lines[0];
    assert!((29_000..36_000).contains(&waited(line)), "{line}");
    stage.end()?;
    Ok(())
}

#[test]
fn service_accounts_are_read_once_each_and_again_before_a_drift_is_said() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options::default())?;
    let (first, first_role) = stage.irsa("payments", "audit")?;
    stage.begin()?;
    let is_read = |seen: &lab::service::web::Seen| seen.path.ends_with("/serviceaccounts/audit");
    for _ in 0..5 {
        stage.open(&first)?;
    }
    // A second pod of the same account.
    let second = stage
        .lab
        .start(PodSpec::new("payments", "audit").with_irsa(&first_role))?;
    stage.open(&second)?;
    let mut expected = vec![allowed(&first, &first_role); 5];
    expected.push(allowed(&second, &first_role));
    stage.lines(expected)?;
    assert_eq!(stage.asked(1, is_read)?.len(), 1);

    // Changed, and nobody has read that yet: what is known stays in force.
    let other = format!("{ROLES}/other");
    stage.lab.cluster.annotate("payments", "audit", &other)?;
    stage.open(&first)?;
    stage.lines(vec![allowed(&first, &first_role)])?;
    assert_eq!(stage.asked(1, is_read)?.len(), 1);

    // A new pod with the new role: by what is known that were a drift. It is read again, and is none.
    let third = stage
        .lab
        .start(PodSpec::new("payments", "audit").with_irsa(&other))?;
    stage.open(&third)?;
    stage.lines(vec![allowed(&third, &other)])?;
    assert_eq!(stage.asked(2, is_read)?.len(), 2);

    // Now the first pod's role has drifted away from its account's.
    thread::sleep(Duration::from_secs(1));
    stage.open(&first)?;
    stage.lines(vec![
        allowed(&first, &first_role)
            .whatever("binding")
            .judged("violation", "role-drift:high"),
    ])?;
    stage.end()?;
    Ok(())
}
