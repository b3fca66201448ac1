//! Pods for tests.

use super::{Pod, ProjectedVolume, TokenSource};

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

impl Pod {
    pub(crate) fn with_account(mut self, name: &str) -> Self {
        self.service_account = name.into();
        self
    }
}

/// A projected volume with one token.
pub(crate) fn token_volume(name: &str, audience: &str) -> ProjectedVolume {
    ProjectedVolume {
        name: name.into(),
        tokens: vec![TokenSource {
            path: "token".into(),
            audience: Some(audience.into()),
            expiration_seconds: None,
        }],
        ..ProjectedVolume::default()
    }
}
