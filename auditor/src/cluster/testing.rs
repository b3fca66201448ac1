//! Pods for tests.

use super::Pod;

/// A pod `name` with UID `uid-<name>`, ServiceAccount `default`, and nothing in it.
pub(crate) fn pod(namespace: &str, name: &str) -> Pod {
    Pod {
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("uid-{name}").into(),
        mirror_hash: None,
        service_account: "default".into(),
        owner: None,
        labels: std::collections::BTreeMap::new(),
        created: None,
        node_name: None,
        host_network: false,
        host_pid: false,
        share_process_namespace: false,
        ips: Vec::new(),
        active: true,
        containers: Vec::new(),
        volumes: Vec::new(),
    }
}
