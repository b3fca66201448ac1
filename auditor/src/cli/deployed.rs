//! The command lines that `manifests/` deploys are ones that this auditor takes, with the capabilities that it asks for.

use std::{ffi::OsString, path::Path};

use serde_json::Value;

use super::{
    AssociationSource, ClusterSource, Command, NodeFacts, RunConfig, SyncConfig, SyncFrom, SyncTo,
    parse,
};

const WORKLOADS: &str = include_str!("../../../manifests/kustomize/base/workloads.yaml");
const CLEANUP: &str = include_str!("../../../manifests/kustomize/cleanup/daemonset.yaml");
const ACK: &str = include_str!("../../../manifests/kustomize/components/ack/kustomization.yaml");

fn object(text: &str, kind: &str) -> Value {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap())
        .find(|object| object["kind"] == kind)
        .unwrap()
}

/// A container of the object's pods, and what `auditor` makes of its arguments, as the kubelet hands them over.
fn command(object: &Value, containers: &str, index: usize) -> (Value, Command) {
    let container = object["spec"]["template"]["spec"][containers][index].clone();
    let args = container["args"].as_array().unwrap().iter();
    let args = args.map(|arg| arg.as_str().unwrap());
    let line: Vec<OsString> = std::iter::once("auditor")
        .chain(args)
        .map(|arg| arg.replace("$(POD_NAMESPACE)", "credential-auditor").into())
        .collect();
    assert!(!line.iter().any(|arg| arg.to_str().unwrap().contains("$(")));
    let command = parse(line).unwrap();
    (container, command)
}

fn mounted(container: &Value, path: &Path) -> bool {
    let mounts = container["volumeMounts"].as_array().unwrap().iter();
    let mut paths = mounts.filter_map(|mount| mount["mountPath"].as_str());
    paths.any(|mount| path.starts_with(mount))
}

#[test]
fn the_daemon_sets_flags_mean_what_they_should() {
    let (container, command) = command(&object(WORKLOADS, "DaemonSet"), "containers", 0);
    let Command::Run(args) = command else {
        panic!("{command:?}");
    };
    let facts = NodeFacts {
        host_name: Some("node-1".into()),
        ..NodeFacts::default()
    };
    let config = RunConfig::new(*args, facts).unwrap();
    assert_eq!(config.cluster, ClusterSource::Kube);
    assert_eq!(
        config.associations,
        AssociationSource::ConfigMap {
            namespace: "credential-auditor".into(),
            name: "pod-identity-associations".into()
        }
    );
    for path in [
        config.policy.as_deref().unwrap(),
        config.state_dir.as_deref().unwrap(),
        config.cgroup_root.as_deref().unwrap(),
        &config.host_proc,
        &config.kubelet_root.join("pods"),
    ] {
        assert!(
            mounted(&container, path),
            "{} is not mounted",
            path.display()
        );
    }
    // Narrower than the kubelet's keys.
    assert!(!mounted(&container, &config.kubelet_root.join("pki")));
    assert_eq!(config.output_file, None);
    let port = container["ports"][0]["containerPort"].as_u64();
    assert_eq!(port, Some(config.metrics_listen.addr.port().into()));
}

#[test]
fn the_syncers_flags_write_what_the_nodes_watch() {
    let (_, command) = command(&object(WORKLOADS, "Deployment"), "containers", 0);
    let Command::SyncAssociations(mut args) = command else {
        panic!("{command:?}");
    };
    args.cluster_name = Some("prod".to_owned());
    let config = SyncConfig::new(*args.clone()).unwrap();
    assert!(matches!(config.from, SyncFrom::Eks { .. }));
    let (namespace, name) = ("credential-auditor", "pod-identity-associations");
    assert_eq!(
        config.to,
        SyncTo::ConfigMap {
            namespace: namespace.into(),
            name: name.into(),
            lease: name.into()
        }
    );
    args.from = ACK
        .split_once("value: --from=ack")
        .map(|_| "ack".to_owned())
        .unwrap();
    assert_eq!(SyncConfig::new(*args).unwrap().from, SyncFrom::Ack);
}

#[test]
fn the_cleanup_removes_the_directory_that_the_daemon_set_mounts() {
    let running = object(WORKLOADS, "DaemonSet");
    let volumes = running["spec"]["template"]["spec"]["volumes"]
        .as_array()
        .unwrap();
    let state = volumes
        .iter()
        .find(|volume| volume["name"] == "state")
        .unwrap();
    let state = Path::new(state["hostPath"]["path"].as_str().unwrap());
    let cleanup = object(CLEANUP, "DaemonSet");
    assert_eq!(running["spec"]["selector"], cleanup["spec"]["selector"]);
    let parent = cleanup["spec"]["template"]["spec"]["volumes"][0]["hostPath"]["path"].as_str();
    assert_eq!(parent.map(Path::new), state.parent());
    for (containers, stays) in [("initContainers", false), ("containers", true)] {
        let (container, command) = command(&cleanup, containers, 0);
        let Command::RemoveState(args) = command else {
            panic!("{command:?}");
        };
        let inside = args.state_dir.strip_prefix("/host").unwrap();
        assert_eq!(Path::new("/").join(inside), state);
        assert_eq!(args.stay, stays);
        if !stays {
            let mount = container["volumeMounts"][0]["mountPath"].as_str().unwrap();
            assert_eq!(Path::new(mount), args.state_dir.parent().unwrap());
        }
    }
}
