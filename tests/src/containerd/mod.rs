//! The suite with real containers: containerd and runc make them, the lab plays the kubelet ([`node`]) and the control plane.
//!
//! What a container runtime does that the lab's own containers cannot stand for: overlay images, sandboxes whose network
//! others share, cgroups made by runc in each hierarchy, `kubectl exec` through a shim.

mod alone;
mod churn;
mod contained;
mod daemonset;
mod exec;
mod image;
mod launch;
mod manifest;
mod node;
mod play;
mod pod;
mod process;
mod runtime;
mod scene;
mod verified;

use std::{fs, path::Path};

pub use contained::Shipped;
pub use play::{Options, run};

/// Removes the sockets of shims that were killed: containerd keeps them below `/run/containerd/s` whatever its own
/// directories are (`runtime/v2/shim/util_unix.go`, `SocketAddress`), and notes each in its container's bundle.
pub fn remove_sockets(lab: &Path) {
    let bundles = lab.join("containerd/state/io.containerd.runtime.v2.task");
    for namespace in fs::read_dir(bundles).into_iter().flatten().flatten() {
        for bundle in fs::read_dir(namespace.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let address = fs::read_to_string(bundle.path().join("address")).unwrap_or_default();
            if let Some(socket) = address.trim().strip_prefix("unix://") {
                // Gone where the shim had time to end.
                let _ = fs::remove_file(socket);
            }
        }
    }
}
