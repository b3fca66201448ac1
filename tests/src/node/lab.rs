//! Puts the node together and takes it down again.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{
    cluster::Cluster,
    others,
    pod::{Pod, PodSpec},
};
use crate::{
    cgroup,
    cleanup::{self, Company},
    network::Network,
    sys::mounts,
    wire::Worker,
};

pub const NODE_NAME: &str = "ip-10-0-1-5.eu-west-1.compute.internal";
pub const CLUSTER_NAME: &str = "prod";
pub const INSTANCE_ID: &str = "i-0123456789abcdef0";

/// As it is shipped: what it allows is what the scenes are held against.
const DEFAULT_POLICY: &str = include_str!("../../../manifests/policy/default.yaml");

/// Where nodes have theirs.
const KUBELET: &str = "/usr/bin/kubelet";

/// Cgroup of the agent that is no pod.
const HOST_AGENT: &str = "system.slice/eks-pod-identity-agent.service";

/// A pod on the node.
pub(super) struct Running {
    pub(super) spec: Arc<PodSpec>,
    pub(super) shim: Worker,
    pub(super) netns: Option<PathBuf>,
    pub(super) ip: String,
    pub(super) pod_cgroup: PathBuf,
    pub(super) root: PathBuf,
}

/// A node. Dropping it kills what runs in it and removes what it made.
pub struct Lab {
    pub cluster: Cluster,
    pub network: Network,
    helpers: PathBuf,
    pub(super) networks_made: u16,
    // Dropped in this order: processes are reaped before their cgroup is removed.
    pub(super) pods: Vec<Option<Running>>,
    pub(super) kubelet: Worker,
    _imds: Worker,
    home: cleanup::Home,
}

impl Lab {
    /// `helpers`: the directory of this package's programs.
    pub fn new(helpers: &Path) -> Result<Self> {
        Self::in_company(helpers, Company::None)
    }

    /// A lab that others may stand beside.
    pub fn in_company(helpers: &Path, company: Company) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "the lab makes mounts, cgroups and namespaces: run it as root"
        );
        let home = cleanup::Home::claim(&cgroup::find_root()?, company)?;
        let helpers =
            fs::canonicalize(helpers).with_context(|| format!("find {}", helpers.display()))?;
        for cgroup in [
            cgroup::KUBELET,
            cgroup::CONTAINERD,
            "system.slice/ssh.service",
        ] {
            fs::create_dir_all(home.cgroup().join(cgroup))?;
        }
        let kubelet_root = home.dir().join("kubelet");
        fs::create_dir(&kubelet_root)?;
        mounts::make_shared(&kubelet_root)?;
        fs::set_permissions(&kubelet_root, fs::Permissions::from_mode(0o750))?;
        fs::create_dir(home.dir().join("inbox"))?;
        let network = Network::new(&home.dir().join("netns"))?;
        others::note_network(&network.node(), home.dir())?;
        let cluster = Cluster::new(home.dir())?;

        let place = Place {
            home: &home,
            helpers: &helpers,
        };
        let mut command = place.enter(cgroup::KUBELET, None, &helpers.join("kubelet"));
        command.arg(&kubelet_root);
        let kubelet = Worker::spawn("kubelet", command)?;
        others::note_process(kubelet.pid(), home.dir());
        let imds = place.enter(
            "system.slice/ssh.service",
            Some(&network.imds()),
            &helpers.join("imds"),
        );
        let mut imds = Worker::spawn("imds", imds)?;
        others::note_process(imds.pid(), home.dir());
        imds.call::<_, ()>(&"ready")?;
        let mut lab = Self {
            cluster,
            network,
            home,
            helpers,
            pods: Vec::new(),
            kubelet,
            _imds: imds,
            networks_made: 0,
        };
        lab.set_policy("")?;
        Ok(lab)
    }

    /// Whether the line tells of what another lab of this program does.
    pub fn is_of_another(&self, line: &Value) -> bool {
        others::is_of_another(line, self.dir())
    }

    /// The lab's own directory, below [`cleanup::STATE`].
    pub fn dir(&self) -> &Path {
        self.home.dir()
    }

    /// Leaves everything in place when this is dropped; the next lab removes it.
    pub fn keep(&mut self) {
        self.home.keep();
    }

    pub fn helpers(&self) -> &Path {
        &self.helpers
    }

    pub fn kubelet_root(&self) -> PathBuf {
        self.dir().join("kubelet")
    }

    pub fn cgroup_root(&self) -> &Path {
        self.home.cgroup()
    }

    /// [`Lab::cgroup_root`] from the hierarchy's root on: the runtime makes it in every hierarchy.
    pub fn cgroup_name(&self) -> PathBuf {
        Path::new("/").join(self.home.cgroup().file_name().unwrap_or_default())
    }

    pub fn policy_file(&self) -> PathBuf {
        self.dir().join("policy.yaml")
    }

    /// A directory of plain files that pods may be given as a hostPath.
    pub fn inbox(&self) -> PathBuf {
        self.dir().join("inbox")
    }

    /// What the lab's kubelet runs: [`KUBELET`], where that is its program.
    pub fn kubelet_program(&self) -> PathBuf {
        let helper = self.helpers.join("kubelet");
        let usual = PathBuf::from(KUBELET);
        if is_same_file(&usual, &helper) {
            usual
        } else {
            helper
        }
    }

    /// The lab's policy, with `more` keys at its end. It names the kubelet's executable, but for a machine that has the lab's where nodes
    /// have theirs, as a guest of `cargo xtask vm-test` has: there the auditor is to find it by itself.
    pub fn set_policy(&mut self, more: &str) -> Result<()> {
        let executable = match self.kubelet_program() {
            usual if usual == Path::new(KUBELET) => String::new(),
            named => format!(", executable: {}", named.display()),
        };
        let default = DEFAULT_POLICY.replacen(
            "exempt:\n",
            "exempt:\n  - {match: {namespace: ops, service_account: scanner, finding: foreign-token-open}, reason: scanner}\n",
            1,
        );
        let policy = format!(
            "{default}\nkubelet: {{cgroup: /{}{executable}}}\n{more}",
            cgroup::KUBELET,
        );
        let new = self.policy_file().with_extension("new");
        fs::write(&new, policy).context("write the policy")?;
        fs::rename(&new, self.policy_file()).context("replace the policy")
    }

    /// The Pod Identity agent's DaemonSet pod, in the node's network, listening.
    pub fn start_agent(&mut self) -> Result<Pod> {
        let mut spec = PodSpec::daemon("kube-system", "eks-pod-identity-agent");
        spec.argv = vec!["agent".into()];
        let agent = self.start(spec)?;
        self.tell(&agent, "\"ready\"")?;
        Ok(agent)
    }

    /// The agent's pod again, after [`Lab::retire`] took it away; it stands where the old one stood.
    pub fn restart_agent(&mut self, gone: &Pod) -> Result<Pod> {
        let mut agent = self.start_agent()?;
        self.pods.swap(gone.slot, agent.slot);
        self.pods.truncate(agent.slot);
        agent.slot = gone.slot;
        Ok(agent)
    }

    /// The agent as a process of the node, as EKS Auto Mode has it; stops when dropped.
    pub fn start_host_agent(&self) -> Result<Worker> {
        let program = self.helpers.join("agent");
        let network = self.network.node();
        fs::create_dir_all(self.home.cgroup().join(HOST_AGENT))?;
        let command = self.place().enter(HOST_AGENT, Some(&network), &program);
        let mut agent = Worker::spawn("agent", command)?;
        agent.call::<_, u32>(&"ready")?;
        Ok(agent)
    }

    /// Where the lab's own processes run.
    pub(super) fn place(&self) -> Place<'_> {
        Place {
            home: &self.home,
            helpers: &self.helpers,
        }
    }

    pub(super) fn running(&mut self, pod: &Pod) -> Result<&mut Running> {
        self.pods
            .get_mut(pod.slot)
            .and_then(Option::as_mut)
            .with_context(|| format!("{} was deleted", pod.key()))
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let of = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    of(one).is_ok_and(|found| of(other).is_ok_and(|other| other == found))
}

/// Where the lab's own processes run.
pub(super) struct Place<'a> {
    home: &'a cleanup::Home,
    helpers: &'a Path,
}

impl Place<'_> {
    pub(super) fn enter(&self, cgroup: &str, netns: Option<&Path>, program: &Path) -> Command {
        let mut command = Command::new(self.helpers.join("enter"));
        command.arg("--cgroup").arg(self.home.cgroup().join(cgroup));
        if let Some(netns) = netns {
            command.arg("--netns").arg(netns);
        }
        command.arg("--").arg(program);
        command
    }
}
