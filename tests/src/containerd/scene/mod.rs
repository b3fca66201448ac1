//! What is played with real containers, and the exact lines that the design asks for.

mod lifecycle;
mod outside;
mod own;

use anyhow::Result;

use super::node::{Node, Slot};
use crate::{
    expect::Expected,
    node::{PodSpec, cluster::ROLES, pod::POD_IDENTITY},
};

pub struct Scene {
    pub name: &'static str,
    /// What happens, for a human.
    pub about: &'static str,
    pub play: fn(&mut Node) -> Result<Vec<Expected>>,
}

/// All scenes, in the order in which they are played.
pub fn all() -> Vec<&'static Scene> {
    [own::SCENES, lifecycle::SCENES, outside::SCENES]
        .into_iter()
        .flatten()
        .collect()
}

/// A pod's spec with a Pod Identity association and what the webhook stamps for it, and the role.
fn associated(node: &mut Node, namespace: &str, app: &str) -> Result<(PodSpec, String)> {
    let role = format!("{ROLES}/{namespace}-{app}");
    node.lab.cluster.associate(namespace, app, &role)?;
    Ok((PodSpec::new(namespace, app).with_pod_identity(), role))
}

/// The pod's own Pod Identity token is opened by a child of `container`'s init, and may be.
fn own(node: &mut Node, slot: Slot, container: &str, role: &str) -> Result<Expected> {
    let expected = Expected::own_open(&node.pod(slot).pod, POD_IDENTITY);
    by(expected.bound("pod-identity", role), node, slot, container)
}

/// Whoever it is, it is in `container`, and its executable is the image's.
fn by(expected: Expected, node: &mut Node, slot: Slot, container: &str) -> Result<Expected> {
    let pod = node.pod(slot);
    Ok(expected.with(&[
        ("container", container),
        ("container_id", pod.id_of(container)?),
        ("image", pod.container(container)?.image),
        ("exe_upper_layer", "false"),
    ]))
}

/// The same before the pod's status names the container: only its id is known.
fn unnamed(expected: Expected) -> Expected {
    expected.with(&[("container", "null"), ("image", "null")])
}

/// The workload of `container` reads the pod's own Pod Identity token.
fn peek(node: &mut Node, slot: Slot, container: &str) -> Result<()> {
    let path = node.pod(slot).token_path(POD_IDENTITY);
    node.run(slot, container, &["peek", &path]).map(drop)
}
