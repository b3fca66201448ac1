//! What a node costs the API server.

use std::{collections::BTreeSet, thread, time::Duration};

use anyhow::{Result, ensure};
use lab::{
    node::NODE_NAME,
    service::{
        apiserver::{Options, Resource, node_of_pods},
        web::Seen,
    },
};
use serde_json::{Value, json};

use crate::{
    stage::{Stage, allowed, is_watch},
    support::is_root,
};

#[test]
fn at_rest_there_is_one_watch_and_nothing_but_bookmarks() -> Result<()> {
    if !is_root() {
        return Ok(());
    }
    let mut stage = Stage::new(Options {
        bookmarks: Duration::from_secs(1),
        ..Options::default()
    })?;
    let mut accounts = BTreeSet::new();
    for pod in node_of_pods(NODE_NAME, 250) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        accounts.insert((namespace, text(&pod["spec"]["serviceAccountName"])));
        stage.api.store().put(Resource::Pods, pod);
    }
    for (namespace, name) in &accounts {
        let account = json!({"metadata": {"namespace": namespace, "name": name}});
        stage.api.store().put(Resource::ServiceAccounts, account);
    }
    let (pod, role) = stage.irsa("payments", "api")?;
    stage.begin()?;
    stage.open(&pod)?;
    stage.lines(vec![allowed(&pod, &role)])?;
    let before = settled(&stage);
    let bytes = |seen: &[Seen]| seen.iter().map(|seen| seen.bytes).sum::<u64>();
    let start = bytes(&before);
    thread::sleep(Duration::from_secs(8));
    let after = stage.api.requests();
    ensure!(after.len() == before.len(), "{:#?}", &after[before.len()..]);
    let watches = after.iter().filter(|seen| is_watch(seen, "/pods")).count();
    ensure!(watches == 1, "{watches} watches of pods");
    // Each account once, and no other than those of this node's pods.
    let reads = after
        .iter()
        .filter(|seen| seen.path.contains("/serviceaccounts/"));
    let reads: Vec<&str> = reads.map(|seen| seen.path.as_str()).collect();
    let distinct: BTreeSet<&str> = reads.iter().copied().collect();
    ensure!(reads.len() == distinct.len(), "{reads:#?}");
    ensure!(
        reads.len() <= accounts.len() + 1,
        "{} of {}",
        reads.len(),
        accounts.len()
    );
    let bookmarks = bytes(&after) - start;
    println!(
        "250 fat pods: {} requests ({} of ServiceAccounts) and {start} bytes to start, then in 8 s 0 requests and {bookmarks} \
         bytes of bookmarks",
        before.len(),
        reads.len()
    );
    // Eight, of some 170 bytes each.
    ensure!((700..2_400).contains(&bookmarks), "{bookmarks} bytes");
    stage.quiet(Duration::from_millis(100))?;
    stage.end()?;
    Ok(())
}

/// What was asked by the time that nothing was for two seconds.
fn settled(stage: &Stage) -> Vec<Seen> {
    let mut before = stage.api.requests();
    for _ in 0..20 {
        thread::sleep(Duration::from_secs(2));
        let now = stage.api.requests();
        if now.len() == before.len() {
            return now;
        }
        before = now;
    }
    before
}
