//! Containers that come and go: init, sidecar, short-lived and restarted ones.

use super::{Scene, associated, own, peek, unnamed};
use crate::{
    containerd::pod::{ContainerSpec, PROXY, Role},
    node::pod::POD_IDENTITY,
};

pub const SCENES: &[Scene] = &[
    Scene {
        name: "init-and-sidecar",
        about: "an init container, a sidecar and the main container each read the pod's token",
        play: |node| {
            let (spec, role) = associated(node, "real", "staged")?;
            let containers = vec![
                ContainerSpec::new("migrate", Role::Init, PROXY),
                ContainerSpec::new("mesh", Role::Sidecar, PROXY),
                ContainerSpec::main("app"),
            ];
            let slot = node.admit(spec, containers)?;
            let mut expected = Vec::new();
            for container in ["migrate", "mesh", "app"] {
                node.start_container(slot, container)?;
                node.report(slot)?;
                peek(node, slot, container)?;
                expected.push(own(node, slot, container, &role)?);
                if container == "migrate" {
                    node.end_container(slot, container)?;
                    node.report(slot)?;
                }
            }
            Ok(expected)
        },
    },
    Scene {
        name: "short-lived",
        about: "three containers read their token and are gone in milliseconds, before the status knows them",
        play: |node| {
            let mut expected = Vec::new();
            for app in ["job-1", "job-2", "job-3"] {
                let (spec, role) = associated(node, "real", app)?;
                let path = spec
                    .token(POD_IDENTITY)
                    .map(|t| t.path())
                    .unwrap_or_default();
                let main = ContainerSpec::main("job").running(&["peek", &path]);
                let slot = node.admit(spec, vec![main])?;
                node.run_to_end(slot, "job")?;
                expected.push(unnamed(own(node, slot, "job", &role)?));
            }
            Ok(expected)
        },
    },
    Scene {
        name: "restart",
        about: "a container reads its token, is restarted before the control plane tells of the pod, and reads it again",
        play: |node| {
            let (spec, role) = associated(node, "real", "crashing")?;
            let slot = node.admit_unlisted(spec, vec![ContainerSpec::main("app")])?;
            node.start_container(slot, "app")?;
            peek(node, slot, "app")?;
            // Judged when the status names it as the instance before the last restart.
            let first = own(node, slot, "app", &role)?;
            node.end_container(slot, "app")?;
            node.start_container(slot, "app")?;
            node.report(slot)?;
            peek(node, slot, "app")?;
            Ok(vec![first, own(node, slot, "app", &role)?])
        },
    },
];
