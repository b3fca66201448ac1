//! A pod of several containers, as it stands on the node.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::process::Attached;
use crate::node::{Pod, PodSpec, pod::SubPath};

/// Where in the pod's spec a container stands, and so what it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    Main,
    /// `kubectl debug --target`: shares the target's pid namespace and gets no token volume.
    Ephemeral {
        target: &'static str,
    },
}

#[derive(Clone, Debug)]
pub struct ContainerSpec {
    pub name: &'static str,
    pub role: Role,
    pub image: &'static str,
    pub argv: Vec<String>,
    pub sub_paths: Vec<SubPath>,
    pub liveness_probe: Option<Vec<String>>,
}

pub const APP: &str = "registry.example.com/app:1.4.2";
pub const PROXY: &str = "registry.example.com/proxy:2.0.1";
pub const DEBUG: &str = "registry.example.com/debug:0.3.0";
pub const PAUSE: &str = "registry.example.com/pause:3.9";
pub const IMAGES: [&str; 4] = [APP, PROXY, DEBUG, PAUSE];

impl ContainerSpec {
    /// A container that does what it is told.
    pub fn new(name: &'static str, role: Role, image: &'static str) -> Self {
        Self {
            name,
            role,
            image,
            argv: vec!["pause".into()],
            sub_paths: Vec::new(),
            liveness_probe: None,
        }
    }

    pub fn main(name: &'static str) -> Self {
        Self::new(name, Role::Main, APP)
    }

    pub fn running(mut self, argv: &[&str]) -> Self {
        self.argv = argv.iter().map(|word| (*word).to_owned()).collect();
        self
    }
}

/// What became of a container.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// The runtime's, 64 hex digits.
    pub id: String,
    pub ended: bool,
    /// Of the instance before this one.
    pub previous: Option<String>,
}

/// A pod on the node. Its name and spec are those of [`RealPod::pod`], as expectations want them.
pub struct RealPod {
    pub pod: Pod,
    pub containers: Vec<ContainerSpec>,
    pub instances: BTreeMap<&'static str, Instance>,
    /// Absolute in every hierarchy.
    pub cgroup: PathBuf,
    pub ip: String,
    pub created: Timestamp,
    pub netns: Option<PathBuf>,
    pub(super) sandbox_pid: u32,
    /// The sandbox first.
    pub(super) running: Vec<(String, Attached)>,
}

impl RealPod {
    pub fn spec(&self) -> &PodSpec {
        &self.pod.spec
    }

    pub fn container(&self, name: &str) -> Result<&ContainerSpec> {
        self.containers
            .iter()
            .find(|c| c.name == name)
            .with_context(|| format!("{} has no container {name}", self.pod.key()))
    }

    /// The id of a container's instance that runs or ran last.
    pub fn id_of(&self, name: &str) -> Result<&str> {
        self.instances
            .get(name)
            .map(|i| i.id.as_str())
            .with_context(|| format!("{name} has not been started"))
    }

    /// The network namespace that the pod's containers share.
    pub(super) fn sandbox_network(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/net", self.sandbox_pid))
    }

    pub(super) fn attached(&mut self, name: &str) -> Result<&mut Attached> {
        let id = self.id_of(name)?.to_owned();
        self.running
            .iter_mut()
            .find(|(running, _)| *running == id)
            .map(|(_, attached)| attached)
            .with_context(|| format!("{name} does not run"))
    }

    /// The path of a token inside those containers that have it.
    pub fn token_path(&self, volume: &str) -> String {
        self.spec()
            .token(volume)
            .map(|t| t.path())
            .unwrap_or_default()
    }
}
