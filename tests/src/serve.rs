//! The lab's API server by hand: for `auditor run --cluster kube` without a cluster, and for measurements.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::json;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::service::apiserver::{ApiServer, Options, Resource, Role, node_of_pods};

/// What it holds and how it behaves.
pub struct Serve<'a> {
    pub pods: usize,
    pub node: &'a str,
    pub bookmarks: Duration,
    /// Where the kubeconfig goes.
    pub dir: &'a Path,
}

/// Serves until SIGINT or SIGTERM, then tells what was asked.
///
/// # Errors
/// Where there is no port, or the kubeconfig cannot be written.
pub fn run(serve: &Serve<'_>) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("watch for signals")?;
    let server = ApiServer::start(Options {
        bookmarks: serve.bookmarks,
        ..Options::default()
    })?;
    let mut accounts = BTreeSet::new();
    for pod in node_of_pods(serve.node, serve.pods) {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&pod["metadata"]["namespace"]);
        accounts.insert((namespace, text(&pod["spec"]["serviceAccountName"])));
        server.store().put(Resource::Pods, pod);
    }
    for (namespace, name) in accounts {
        let account = json!({"metadata": {"namespace": namespace, "name": name}});
        server.store().put(Resource::ServiceAccounts, account);
    }
    let kubeconfig = server.kubeconfig(serve.dir, Role::Node)?;
    eprintln!(
        "{} pods of node {} at {}; Ctrl-C ends it",
        serve.pods,
        serve.node,
        server.url()
    );
    println!("{}", kubeconfig.display());
    signals.forever().next();

    // Method, path up to the resource, watch or not: requests and bytes.
    let mut asked: BTreeMap<(String, bool), (u32, u64)> = BTreeMap::new();
    for seen in server.requests() {
        let is_watch = seen.query.contains("watch=");
        let path = seen
            .path
            .rsplit_once("serviceaccounts/")
            .map_or(seen.path.as_str(), |_| "…/serviceaccounts/…");
        let (count, bytes) = asked
            .entry((format!("{} {path}", seen.method), is_watch))
            .or_default();
        *count += 1;
        *bytes += seen.bytes;
    }
    for ((what, is_watch), (count, bytes)) in asked {
        let watch = if is_watch { " (watch)" } else { "" };
        eprintln!("{count:>6} requests {bytes:>10} bytes  {what}{watch}");
    }
    Ok(())
}
