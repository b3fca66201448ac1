//! What will not work as it was probably meant: `run` says it on stderr and in the stream, since it would silence or redden
//! everything, and `check` on the row of what it is about.

use std::path::Path;

use super::setup::{self, AgentNetNs};
use crate::{
    association,
    cli::RunConfig,
    cluster,
    event::Health,
    node::{Cgroups, parse_mountinfo},
    policy::Policy,
};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// `check`'s row.
    pub row: &'static str,
    /// The `health` line's component.
    pub component: &'static str,
    pub message: String,
    pub remedy: String,
    /// Innocents would be accused.
    pub is_grave: bool,
}

impl Doubt {
    fn new(row: &'static str, component: &'static str, message: String, remedy: &str) -> Self {
        Self {
            row,
            component,
            message,
            remedy: remedy.to_owned(),
            is_grave: false,
        }
    }

    /// Without it `run` works, and sees or knows less. `check` has rows of its own for all of them.
    pub fn of_capability(name: &str, purpose: &str, remedy: String) -> Self {
        Self {
            row: "capabilities",
            component: "capabilities",
            message: format!("CAP_{name} is missing: it {purpose}"),
            remedy,
            is_grave: false,
        }
    }

    /// As the stream has it.
    pub fn health(&self) -> Health {
        Health {
            component: self.component.to_owned(),
            state: "degraded".to_owned(),
            message: format!("{}: {}", self.message, self.remedy),
        }
    }
}

/// Of a cluster that has told.
pub fn of_cluster(config: &RunConfig, cluster: &cluster::Source) -> Option<Doubt> {
    if !cluster.is_told() || cluster.store().pod_count() > 0 {
        return None;
    }
    let message = format!("--cluster names no pod of node {}", config.node_name);
    Some(Doubt::new(
        "cluster",
        "cluster",
        message,
        "is --node-name (or NODE_NAME) right?",
    ))
}

pub fn of_associations(
    config: &RunConfig,
    bindings: Option<&association::Snapshot>,
) -> Option<Doubt> {
    if !bindings?.is_empty() {
        return None;
    }
    let cluster = config.cluster_name.as_deref().unwrap_or("any cluster");
    let message = format!("--associations holds none for {cluster}");
    Some(Doubt::new(
        "associations",
        "associations",
        message,
        "is --cluster-name right?",
    ))
}

/// What is learned would be forgotten with each restart.
pub fn of_policy(policy: &Policy, state_dir: Option<&Path>) -> Option<Doubt> {
    if policy.learn.is_none() || state_dir.is_some() {
        return None;
    }
    Some(Doubt::new(
        "policy",
        "policy",
        "`learn` without --state-dir: each restart begins the learning anew".to_owned(),
        "give a --state-dir that outlives the auditor",
    ))
}

const KUBELET_ROOT: &str = "name the kubelet's --root-dir with --kubelet-root (in a pod: mount it at the same path, with \
                            mountPropagation: HostToContainer)";

/// It may come later, and nobody knows the owner of any token until then.
pub fn of_kubelet_root(config: &RunConfig) -> Option<Doubt> {
    let root = &config.kubelet_root;
    let why = match std::fs::read_dir(root.join("pods")) {
        Ok(_) => return None,
        Err(_) if !root.is_dir() => "is no directory here".to_owned(),
        Err(error) => format!("holds no pods ({error})"),
    };
    let message = format!(
        "--kubelet-root {} {why}; no token's owner is known without",
        root.display()
    );
    Some(Doubt::new("kubelet-root", "probe", message, KUBELET_ROOT))
}

pub fn of_agent(config: &RunConfig, agent: &AgentNetNs) -> Option<Doubt> {
    let AgentNetNs::Unknown(error) = agent else {
        return None;
    };
    let message = format!(
        "{}: {error}; those who pose as the agent in a network namespace of their own are not told from it",
        config.agent_netns.display()
    );
    Some(Doubt::new(
        "agent-netns",
        "probe",
        message,
        "give the auditor CAP_SYS_PTRACE and the host's /proc (--host-proc); where it has both, a security module or a user \
         namespace refuses it: name the namespace with --agent-netns",
    ))
}

/// Each of its reads would be a theft.
pub fn of_kubelet(config: &RunConfig, policy: &Policy, cgroups: &Cgroups) -> Option<Doubt> {
    let unknown = setup::kubelet(config, policy).locate(cgroups).err()?;
    let message = format!(
        "the kubelet is not known ({unknown}): what it reads of its pods' tokens shows as host-token-open and token-harvest"
    );
    Some(Doubt {
        is_grave: true,
        ..Doubt::new(
            "kubelet",
            "kubelet",
            message,
            "give the auditor CAP_SYS_PTRACE and the host's /proc, and name it in the policy where it is elsewhere: \
             `kubelet: {cgroup: /system.slice/kubelet.service, executable: /usr/bin/kubelet}`",
        )
    })
}

/// On a host with the hierarchies of cgroup v1, whose pods may be in those only.
pub fn of_cgroups(config: &RunConfig, cgroups: &Cgroups) -> Option<Doubt> {
    if cgroups.has_pods() || !has_v1(&config.host_proc) {
        return None;
    }
    let message = format!(
        "{} holds no pods, and controllers of cgroup v1 are mounted besides: pods that are only there count as the host's processes",
        cgroups.root().display()
    );
    Some(Doubt::new(
        "cgroup-v2",
        "probe",
        message,
        "boot with systemd.unified_cgroup_hierarchy=1",
    ))
}

fn has_v1(host_proc: &Path) -> bool {
    std::fs::read(host_proc.join("1/mountinfo"))
        .is_ok_and(|bytes| parse_mountinfo(&bytes).any(|mount| mount.fs_type == "cgroup"))
}

#[cfg(test)]
mod tests;
