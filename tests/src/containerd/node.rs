//! The kubelet's part with a real runtime: sandbox first, then containers, in the pod's network, cgroup and volumes.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::{
    image, manifest,
    pod::{ContainerSpec, IMAGES, Instance, PAUSE, RealPod, Role},
    process::Attached,
    runtime::{self, Launch, Runtime, new_id},
};
use crate::{
    cgroup,
    node::{Lab, Pod, PodSpec, kubelet},
};

/// The lab's node, with containerd on it.
pub struct Node {
    // Dropped in this order: clients, the runtime, and with the lab everything that is left.
    pub(super) pods: Vec<RealPod>,
    pub runtime: Runtime,
    pub lab: Lab,
}

/// By [`Node::start`], in which they stand until [`Node::remove_pods`].
#[derive(Clone, Copy, Debug)]
pub struct Slot(pub(super) usize);

impl Node {
    pub fn new(lab: Lab) -> Result<Self> {
        let runtime = Runtime::start(&lab)?;
        let archive = image::build(runtime.dir(), lab.helpers(), &IMAGES)?;
        runtime.import(&lab, &archive).context("import the image")?;
        fs::remove_file(archive)?;
        Ok(Self {
            pods: Vec::new(),
            runtime,
            lab,
        })
    }

    pub fn pod(&mut self, slot: Slot) -> &mut RealPod {
        &mut self.pods[slot.0]
    }

    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    /// The pod with all its containers but ephemeral ones, reported to the control plane as they start. An init container
    /// has ended before the next one starts.
    pub fn start(&mut self, spec: PodSpec, containers: Vec<ContainerSpec>) -> Result<Slot> {
        let slot = self.admit(spec, containers)?;
        for container in self.pod(slot).containers.clone() {
            match container.role {
                Role::Init => {
                    self.run_to_end(slot, container.name)?;
                }
                Role::Sidecar | Role::Main => self.start_container(slot, container.name)?,
                Role::Ephemeral { .. } => {}
            }
        }
        self.report(slot)?;
        Ok(slot)
    }

    /// Volumes, network and sandbox; the control plane knows the pod and none of its containers' ids.
    pub fn admit(&mut self, spec: PodSpec, containers: Vec<ContainerSpec>) -> Result<Slot> {
        let slot = self.admit_unlisted(spec, containers)?;
        self.report(slot)?;
        Ok(slot)
    }

    /// The same, but the control plane does not tell of the pod until [`Node::report`].
    pub fn admit_unlisted(
        &mut self,
        spec: PodSpec,
        containers: Vec<ContainerSpec>,
    ) -> Result<Slot> {
        let spec = Arc::new(spec);
        self.lab.mount_volumes(&spec)?;
        let (netns, ip) = self.lab.pod_network(&spec)?;
        let cgroup = self.cgroup_of(&spec);
        let mut pod = RealPod {
            pod: Pod::elsewhere(spec),
            containers,
            instances: BTreeMap::new(),
            cgroup,
            ip,
            created: Timestamp::now(),
            netns,
            sandbox_pid: 0,
            running: Vec::new(),
        };
        let id = new_id();
        let network = pod.netns.clone().unwrap_or(self.lab.network.node());
        let launch = Launch {
            id: &id,
            image: PAUSE,
            cgroup: &pod
                .cgroup
                .join(cgroup::container_name(pod.spec().driver, &id)),
            join: vec![("network", network)],
            mounts: Vec::new(),
            env: Vec::new(),
            argv: vec!["pause".into()],
            confinement: Vec::new(),
        };
        let command = self.runtime.run(&self.lab, &launch)?;
        let name = format!("the sandbox of {}", pod.pod.key());
        let sandbox = Attached::start(&self.runtime, &id, name, command, true)?;
        pod.sandbox_pid = sandbox.pid;
        pod.running.push((id, sandbox));
        self.pods.push(pod);
        Ok(Slot(self.pods.len() - 1))
    }

    /// Absolute in every hierarchy.
    fn cgroup_of(&self, spec: &PodSpec) -> PathBuf {
        self.lab
            .cgroup_name()
            .join(cgroup::pod_path(spec.driver, spec.qos, spec.node_uid()))
    }

    /// Absolute in every hierarchy.
    pub(super) fn cgroup_of_container(&self, slot: Slot, id: &str) -> PathBuf {
        let pod = &self.pods[slot.0];
        pod.cgroup
            .join(cgroup::container_name(pod.spec().driver, id))
    }

    /// A container that somebody else has started; [`Node::report`] tells of it.
    pub(super) fn note_instance(&mut self, slot: Slot, name: &'static str, id: &str) {
        let instance = Instance {
            id: id.to_owned(),
            ended: false,
            previous: None,
        };
        self.pods[slot.0].instances.insert(name, instance);
    }

    /// Starts a container whose init answers, or starts it anew.
    pub fn start_container(&mut self, slot: Slot, name: &'static str) -> Result<()> {
        let id = new_id();
        let command = self.command(slot, name, &id)?;
        let pod = &mut self.pods[slot.0];
        let title = format!("{name} of {}", pod.pod.key());
        let answers = pod
            .container(name)?
            .argv
            .iter()
            .any(|word| word.contains("pause"));
        let attached = Attached::start(&self.runtime, &id, title, command, answers)?;
        pod.running.push((id.clone(), attached));
        let previous = pod.instances.get(name).map(|i| i.id.clone());
        let instance = Instance {
            id,
            ended: false,
            previous,
        };
        pod.instances.insert(name, instance);
        Ok(())
    }

    /// Runs a container that ends by itself; returns what it wrote.
    pub fn run_to_end(&mut self, slot: Slot, name: &'static str) -> Result<String> {
        let id = new_id();
        let mut command = self.command(slot, name, &id)?;
        let instance = Instance {
            id,
            ended: true,
            previous: None,
        };
        self.pods[slot.0].instances.insert(name, instance);
        runtime::output(&mut command)
    }

    /// Ends a container; its status says so only after [`Node::report`].
    pub fn end_container(&mut self, slot: Slot, name: &str) -> Result<()> {
        let pod = &mut self.pods[slot.0];
        let id = pod.id_of(name)?.to_owned();
        let at = pod.running.iter().position(|(running, _)| *running == id);
        let (_, attached) = pod.running.remove(at.context("it does not run")?);
        if let Some(instance) = pod.instances.values_mut().find(|i| i.id == id) {
            instance.ended = true;
        }
        attached.end()
    }

    /// The kubelet reports the pod's status.
    pub fn report(&mut self, slot: Slot) -> Result<()> {
        let object = manifest::object(&self.pods[slot.0]);
        self.lab.cluster.put(object)
    }

    /// By the workload, in one of its containers.
    pub fn run(&mut self, slot: Slot, container: &str, argv: &[&str]) -> Result<String> {
        let pod = &mut self.pods[slot.0];
        let key = pod.pod.key();
        pod.attached(container)?
            .run(argv)
            .with_context(|| format!("in {container} of {key}"))
    }

    /// As `kubectl exec` does it.
    pub fn exec(&mut self, slot: Slot, container: &str, argv: &[&str]) -> Result<String> {
        let id = self.pods[slot.0].id_of(container)?;
        self.runtime.exec(&self.lab, id, argv)
    }

    /// Removes pods from number `from` on, the last container first and the sandbox last.
    pub fn remove_pods(&mut self, from: usize) -> Result<()> {
        while self.pods.len() > from {
            let Some(mut pod) = self.pods.pop() else {
                break;
            };
            while let Some((_, attached)) = pod.running.pop() {
                attached.end()?;
            }
            cgroup::remove_everywhere(&pod.cgroup)?;
            let spec = &pod.pod.spec;
            self.lab.cluster.remove_pod(spec)?;
            self.lab.kubelet_do(&kubelet::Request::RemovePod {
                uid: spec.node_uid().into(),
            })?;
            if let Some(netns) = &pod.netns {
                self.lab.network.remove_pod(netns)?;
            }
        }
        Ok(())
    }
}
