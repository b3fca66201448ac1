//! The command lines that `manifests/` deploys are ones that this auditor takes, with the capabilities that it asks for.

use std::{ffi::OsString, path::Path};

use serde_json::{Value, json};

use super::{
    AssociationSource, ClusterSource, Command, NodeFacts, RunConfig, SyncConfig, SyncFrom, SyncTo,
    parse,
};

const WORKLOADS: &str = include_str!("../../../manifests/kustomize/base/workloads.yaml");
const CLEANUP: &str = include_str!("../../../manifests/kustomize/cleanup/daemonset.yaml");
const ACK: &str = include_str!("../../../manifests/kustomize/components/ack/kustomization.yaml");
const ACK_RBAC: &str = include_str!("../../../manifests/rbac/ack/ack.yaml");

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
}

/// What kustomize makes of an object by the component's JSON patches of it (RFC 6902): `test`, `replace` and `remove` are all that
/// it uses.
fn patched(mut object: Value, component: &str) -> Value {
    let component: Value = serde_saphyr::from_str(component).unwrap();
    let of_object = |patch: &&Value| {
        patch["target"]["kind"] == object["kind"]
            && patch["target"]["name"] == object["metadata"]["name"]
    };
    let patches = component["patches"].as_array().unwrap().iter();
    let patches: Vec<&Value> = patches.filter(of_object).collect();
    assert!(!patches.is_empty(), "no patch of {}", object["kind"]);
    for patch in patches {
        let operations: Vec<Value> =
            serde_saphyr::from_str(patch["patch"].as_str().unwrap()).unwrap();
        for operation in operations {
            let path = operation["path"].as_str().unwrap();
            match operation["op"].as_str().unwrap() {
                "test" => assert_eq!(object.pointer(path), Some(&operation["value"]), "{path}"),
                "replace" => *object.pointer_mut(path).unwrap() = operation["value"].clone(),
                "remove" => {
                    let (list, index) = path.rsplit_once('/').unwrap();
                    let list = object.pointer_mut(list).unwrap().as_array_mut().unwrap();
                    list.remove(index.parse().unwrap());
                }
                other => panic!("{other}: this test does not know it"),
            }
        }
    }
    object
}

#[test]
fn the_ack_components_syncer_lists_what_it_may_list() {
    let deployment = patched(object(WORKLOADS, "Deployment"), ACK);
    let (_, command) = command(&deployment, "containers", 0);
    let Command::SyncAssociations(mut args) = command else {
        panic!("{command:?}");
    };
    args.cluster_name = Some("prod".to_owned());
    assert_eq!(SyncConfig::new(*args).unwrap().from, SyncFrom::Ack);

    // As it asks for them, and as RBAC names them.
    let asked = crate::association::ack::resource();
    let group = asked.api.strip_prefix("/apis/").unwrap();
    let (group, _version) = group.split_once('/').unwrap();
    let role = object(ACK_RBAC, "ClusterRole");
    let rule =
        json!([{"apiGroups": [group], "resources": [asked.plural], "verbs": ["list", "watch"]}]);
    assert_eq!(asked.namespace, None, "a ClusterRole is for all of them");
    assert_eq!(role["rules"], rule, "no more and no less");

    // Whose it is: everybody's who may ask where the file is applied as it is, and with the component the syncer's alone.
    let account = |of: &Value| {
        json!({
            "kind": "ServiceAccount",
            "name": of["spec"]["template"]["spec"]["serviceAccountName"],
            "namespace": of["metadata"]["namespace"],
        })
    };
    let (node, syncer) = (
        account(&object(WORKLOADS, "DaemonSet")),
        account(&deployment),
    );
    let binding = object(ACK_RBAC, "ClusterRoleBinding");
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    assert_eq!(binding["subjects"], json!([node, syncer]));
    assert_eq!(patched(binding, ACK)["subjects"], json!([syncer]));
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
