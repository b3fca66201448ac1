//! What it says of the API server and the files.

use std::process::Command;

use lab::service::apiserver::{self, ApiServer, Role};

use crate::{
    place::{Place, assert_state},
    support::{auditor, finish, is_root},
};

#[test]
fn the_api_server_is_really_asked() {
    if !is_root() {
        return;
    }
    let api = ApiServer::start(apiserver::Options::default()).unwrap();
    let mut place = Place::new()
        .with("--cluster", "kube")
        .with("--api-start-jitter", "0")
        .without("--associations");
    let kubeconfig = api.kubeconfig(place.inputs.dir.path(), Role::Node).unwrap();
    place.env = vec![(
        "KUBECONFIG".into(),
        kubeconfig.to_string_lossy().into_owned(),
    )];
    let report = place.check();
    assert_eq!(report["ok"], true, "{report:#}");
    assert_state(&report, "api serviceaccounts", "ok");
    // Of an empty cluster.
    assert_state(&report, "cluster", "degraded");
    assert!(!api.requests().is_empty());
    assert!(place.run_works());
}

#[test]
fn the_node_is_looked_at_without_a_cluster_and_each_source_by_itself() {
    if !is_root() {
        return;
    }
    let place = Place::new().without("--cluster");
    place.inputs.write("associations.json", "[1]");
    let report = place.check();
    assert_eq!(report["ok"], false);
    assert_state(&report, "cluster", "failed");
    assert_state(&report, "associations", "failed");
    assert_state(&report, "policy", "ok");
    assert!(report["hooks"]["file_open"].is_object());
    let mut bare = Command::new(auditor());
    bare.args(["check", "--node-name", "n1"])
        .env_remove("KUBERNETES_SERVICE_HOST");
    let output = finish(bare);
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("FAILED    cluster"), "{table}");
    assert!(
        table.lines().all(|line| line.chars().count() <= 120),
        "{table}"
    );
}
