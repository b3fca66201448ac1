//! From a container's spec to the runtime's command: namespaces, mounts, environment.

use std::{path::PathBuf, process::Command, sync::Arc};

use anyhow::Result;

use super::{
    node::{Node, Slot},
    pod::{ContainerSpec, Role},
    runtime::{HOST_TO_CONTAINER, Launch, Mount, VOLUME},
};
use crate::{cgroup, node::kubelet, volume::Plugin};

impl Node {
    pub(super) fn command(&mut self, slot: Slot, name: &str, id: &str) -> Result<Command> {
        let pod = &self.pods[slot.0];
        let container = pod.container(name)?.clone();
        let sandbox = format!("/proc/{}/ns", pod.sandbox_pid);
        let mut join = vec![("network", PathBuf::from(format!("{sandbox}/net")))];
        if let Role::Ephemeral { target } = container.role {
            let target = self.pods[slot.0].attached(target)?.pid;
            join.push(("pid", format!("/proc/{target}/ns/pid").into()));
        }
        let mounts = self.mounts(slot, &container)?;
        let pod = &self.pods[slot.0];
        let env = match container.role {
            Role::Ephemeral { .. } => Vec::new(),
            _ => pod
                .spec()
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        };
        let launch = Launch {
            id,
            image: container.image,
            cgroup: &pod
                .cgroup
                .join(cgroup::container_name(pod.spec().driver, id)),
            join,
            mounts,
            env,
            argv: container.argv,
            confinement: Vec::new(),
        };
        self.runtime.run(&self.lab, &launch)
    }

    fn mounts(&mut self, slot: Slot, container: &ContainerSpec) -> Result<Vec<Mount>> {
        if matches!(container.role, Role::Ephemeral { .. }) {
            return Ok(Vec::new());
        }
        let spec = Arc::clone(&self.pods[slot.0].pod.spec);
        let root = self.lab.kubelet_root();
        let mut mounts: Vec<Mount> = spec
            .tokens
            .iter()
            .map(|t| Mount {
                source: spec.volume_id(Plugin::Projected, &t.volume).dir(&root),
                target: t.mount_path.clone(),
                options: VOLUME.into(),
            })
            .collect();
        for (index, s) in (0..).zip(&container.sub_paths) {
            let source = self.lab.kubelet_do(&kubelet::Request::SubPath {
                volume: spec.volume_id(Plugin::Projected, &s.volume),
                container: container.name.into(),
                index,
                file: s.file.clone(),
            })?;
            mounts.push(Mount {
                source: source.into(),
                target: s.target.clone(),
                options: VOLUME.into(),
            });
        }
        mounts.extend(spec.host_paths.iter().map(|h| Mount {
            source: h.source.clone(),
            target: h.target.clone(),
            options: HOST_TO_CONTAINER.into(),
        }));
        Ok(mounts)
    }
}
