//! Starting and deleting pods, in the kubelet's order.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use jiff::Timestamp;

use super::{
    Lab, kubelet,
    lab::{NODE_NAME, Running},
    others,
    pod::{Pod, PodSpec, TokenVolume},
    shim,
};
use crate::{
    cgroup,
    container::{ContainerSpec, Mount},
    token::{self, Subject},
    volume::{Files, Plugin, VolumeId},
    wire::Worker,
};

/// Each pod of the lab has one container.
pub const CONTAINER: &str = "main";

impl Lab {
    /// Creates the pod and starts its container.
    pub fn start(&mut self, spec: PodSpec) -> Result<Pod> {
        let pod = self.prepare(spec)?;
        self.list(&pod)?;
        self.launch(pod)
    }

    /// The same, but the control plane does not tell of the pod until [`Lab::list`].
    pub fn start_unlisted(&mut self, spec: PodSpec) -> Result<Pod> {
        let pod = self.prepare(spec)?;
        self.launch(pod)
    }

    pub fn list(&mut self, pod: &Pod) -> Result<()> {
        let ip = self.running(pod)?.ip.clone();
        self.cluster
            .add_pod(pod.spec.clone(), &pod.container_id, &ip)
    }

    /// Volumes, cgroup, network and shim of a pod, without its container.
    fn prepare(&mut self, spec: PodSpec) -> Result<Pod> {
        let spec = Arc::new(spec);
        self.mount_volumes(&spec)?;
        let container_id = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]
            .map(|u| u.simple().to_string())
            .concat();
        let pod_cgroup =
            self.cgroup_root()
                .join(cgroup::pod_path(spec.driver, spec.qos, spec.node_uid()));
        let cgroup = pod_cgroup.join(cgroup::container_name(spec.driver, &container_id));
        fs::create_dir_all(&cgroup).with_context(|| format!("create {}", cgroup.display()))?;
        let (netns, ip) = self.pod_network(&spec)?;
        let command = self
            .place()
            .enter(cgroup::CONTAINERD, None, &self.helpers().join("shim"));
        let shim = Worker::spawn(format!("shim of {}", spec.key()), command)?;
        others::note_process(shim.pid(), self.dir());
        let root = self.dir().join("roots").join(&container_id);
        fs::create_dir_all(&root)?;
        self.pods.push(Some(Running {
            spec: spec.clone(),
            shim,
            netns,
            ip,
            pod_cgroup,
            root,
        }));
        Ok(Pod {
            slot: self.pods.len() - 1,
            spec,
            init_pid: 0,
            container_id,
            cgroup,
        })
    }

    /// A pod's address.
    pub fn ip_of(&mut self, pod: &Pod) -> Result<String> {
        Ok(self.running(pod)?.ip.clone())
    }

    /// A pod's volumes, with their files, in the kubelet's directory.
    pub fn mount_volumes(&mut self, spec: &PodSpec) -> Result<()> {
        for t in &spec.tokens {
            let volume = spec.volume_id(Plugin::Projected, &t.volume);
            self.kubelet_do(&kubelet::Request::Mount {
                volume,
                files: token_files(spec, t),
            })?;
        }
        for f in &spec.files {
            let volume = spec.volume_id(f.plugin, &f.name);
            self.kubelet_do(&kubelet::Request::Mount {
                volume,
                files: f.files.clone(),
            })?;
        }
        Ok(())
    }

    /// A pod's network namespace, which is the node's where there is none, and its address.
    pub fn pod_network(&mut self, spec: &PodSpec) -> Result<(Option<PathBuf>, String)> {
        if spec.host_network {
            return Ok((None, "10.0.1.5".to_owned()));
        }
        self.networks_made += 1;
        let (netns, ip) = self.network.add_pod(self.networks_made)?;
        Ok((Some(netns), ip.to_string()))
    }

    fn launch(&mut self, mut pod: Pod) -> Result<Pod> {
        let mut spec = ContainerSpec {
            cgroup: pod.cgroup.clone(),
            netns: self.network.node(),
            host_pid: pod.spec.host_pid,
            root: PathBuf::new(),
            helpers: self.helpers().to_owned(),
            mounts: self.mounts(&pod.spec)?,
            argv: pod.spec.argv.clone(),
            env: pod.spec.env.clone(),
            capabilities: pod.spec.capabilities()?,
        };
        let running = self.running(&pod)?;
        spec.root.clone_from(&running.root);
        if let Some(netns) = &running.netns {
            spec.netns.clone_from(netns);
        }
        let request = shim::Request::Start {
            name: CONTAINER.into(),
            spec,
        };
        match running.shim.call(&request)? {
            shim::Reply::Started { pid } => pod.init_pid = pid,
            other => bail!("unexpected reply {other:?}"),
        }
        Ok(pod)
    }

    fn mounts(&mut self, spec: &PodSpec) -> Result<Vec<Mount>> {
        let root = self.kubelet_root();
        let private = |source: PathBuf, target: &str| Mount {
            source,
            target: target.into(),
            read_only: true,
            host_to_container: false,
        };
        let mut mounts: Vec<Mount> = spec
            .tokens
            .iter()
            .map(|t| {
                private(
                    spec.volume_id(Plugin::Projected, &t.volume).dir(&root),
                    &t.mount_path,
                )
            })
            .chain(spec.files.iter().map(|f| {
                private(
                    spec.volume_id(f.plugin, &f.name).dir(&root),
                    &format!("/etc/{}", f.name),
                )
            }))
            .collect();
        for (index, s) in (0..).zip(&spec.sub_paths) {
            let source = self.kubelet_do(&kubelet::Request::SubPath {
                volume: spec.volume_id(Plugin::Projected, &s.volume),
                container: CONTAINER.into(),
                index,
                file: s.file.clone(),
            })?;
            mounts.push(private(source.into(), &s.target));
        }
        mounts.extend(spec.host_paths.iter().map(|h| Mount {
            source: h.source.clone(),
            target: (&h.target).into(),
            read_only: h.read_only,
            host_to_container: true,
        }));
        Ok(mounts)
    }

    pub fn kubelet_do(&mut self, request: &kubelet::Request) -> Result<String> {
        self.kubelet.call(request)
    }

    /// A new token in the same volume.
    pub fn rotate(&mut self, pod: &Pod, volume: &str) -> Result<()> {
        let token = pod
            .spec
            .token(volume)
            .with_context(|| format!("no volume {volume}"))?;
        let volume: VolumeId = pod.spec.volume_id(Plugin::Projected, volume);
        self.kubelet_do(&kubelet::Request::Write {
            volume,
            files: token_files(&pod.spec, token),
        })
        .map(drop)
    }

    /// Deletes pods from number `from` on: containers, cgroups, volumes, network, and the control plane's record.
    pub fn delete_pods(&mut self, from: usize) -> Result<()> {
        for slot in from..self.pods.len() {
            self.delete(slot)?;
        }
        self.pods.truncate(from);
        Ok(())
    }

    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    fn delete(&mut self, slot: usize) -> Result<()> {
        let Some(running) = self.pods.get_mut(slot).and_then(Option::take) else {
            return Ok(());
        };
        self.cluster.remove_pod(&running.spec)?;
        self.take_down(running)
    }

    /// The control plane deletes the pod, and the kubelet takes it down.
    pub fn retire(&mut self, pod: &Pod) -> Result<()> {
        self.delete(pod.slot)
    }

    /// Removes a pod's cgroup, volumes and network at once; the control plane still knows it.
    pub fn remove_from_node(&mut self, pod: &Pod) -> Result<()> {
        match self.pods.get_mut(pod.slot).and_then(Option::take) {
            Some(running) => self.take_down(running),
            None => bail!("{} was deleted", pod.key()),
        }
    }

    fn take_down(&mut self, running: Running) -> Result<()> {
        cgroup::kill(&running.pod_cgroup)?;
        drop(running.shim);
        cgroup::remove_tree(&running.pod_cgroup)?;
        self.kubelet_do(&kubelet::Request::RemovePod {
            uid: running.spec.node_uid().into(),
        })?;
        fs::remove_dir(&running.root)?;
        if let Some(netns) = running.netns {
            self.network.remove_pod(&netns)?;
        }
        Ok(())
    }
}

fn token_files(spec: &PodSpec, volume: &TokenVolume) -> Files {
    let subject = Subject {
        namespace: &spec.namespace,
        service_account: &spec.service_account,
        pod: &spec.name,
        pod_uid: &spec.uid,
        node: NODE_NAME,
    };
    let audience = volume.audience.as_deref().unwrap_or(token::API_SERVER);
    let token = token::issue(
        subject,
        audience,
        volume.expiration_seconds,
        Timestamp::now(),
    );
    let mut files = BTreeMap::from([(volume.file.clone(), token)]);
    if volume.audience.is_none() {
        files.insert(
            "ca.crt".into(),
            "-----BEGIN CERTIFICATE-----\nmade up\n-----END CERTIFICATE-----\n".into(),
        );
        files.insert("namespace".into(), spec.namespace.clone());
    }
    files
}
