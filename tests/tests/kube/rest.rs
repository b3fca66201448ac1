//! What a node costs the API server.

use std::{thread, time::Duration};

use anyhow::{Result, ensure};
use lab::{
    node::NODE_NAME,
    service::apiserver::{Options, Resource, node_of_pods},
};

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
    for pod in node_of_pods(NODE_NAME, 250) {
        stage.api.store().put(Resource::Pods, pod);
    }
    let (pod, role) = stage.irsa("payments", "api")?;
    stage.begin()?;
    stage.open(&pod)?;
    stage.lines(vec![allowed(&pod, &role)])?;
    let before = stage.api.requests();
    let bytes = |seen: &[lab::service::web::Seen]| seen.iter().map(|seen| seen.bytes).sum::<u64>();
    let start = bytes(&before);
    thread::sleep(Duration::from_secs(8));
    let after = stage.api.requests();
    ensure!(after.len() == before.len(), "{after:#?}");
    ensure!(
        after.iter().filter(|seen| is_watch(seen, "/pods")).count() == 1,
        "{after:#?}"
    );
    let bookmarks = bytes(&after) - start;
    println!(
        "250 fat pods: {} requests and {start} bytes to start, then in 8 s 0 requests and {bookmarks} bytes of bookmarks",
        before.len()
    );
    // Eight, of some 170 bytes each.
    ensure!((700..2_400).contains(&bookmarks), "{bookmarks} bytes");
    stage.quiet(Duration::from_millis(100))?;
    stage.end()?;
    Ok(())
}
