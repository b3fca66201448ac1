//! The lab: an EKS node in miniature, made of real mounts, cgroups, namespaces and processes, on which the real auditor runs
//! while scenes are played.
//!
//! - [`node`]: the node itself ([`node::Lab`]) and its parts: [`cgroup`], [`volume`], [`network`], [`container`], [`token`].
//! - [`scene`]: what happens, and the exact lines that the design asks for.
//! - [`containerd`]: the same with containers that a real runtime makes. [`kubernetes`]: with a real API server.
//!   [`prometheus`]: with a real Prometheus and the alerts of `manifests/alerts`.
//! - [`auditor`], [`expect`], [`play`], [`churn`]: run the auditor and hold its lines against what was expected.
//! - [`evasion`]: ways around a watcher (`tests/evasion`), and what each backend must see of them.
//! - [`confinement`]: with which privileges every auditor here runs: those of the DaemonSet.
//! - [`check`]: what `auditor check` must find proven.
//! - [`lockdown`]: what it says of a kernel whose memory no program may read.
//! - [`load`]: what one node asks of an API server.
//! - [`measure`], [`soak`]: what the auditor costs, and what it does for half an hour.
//! - [`service`]: what answers: the Pod Identity agent, instance metadata, a Kubernetes API server, the EKS API; [`serve`]: by hand.
//! - [`simulation`]: `auditor simulate` in the pods of `manifests/simulate`.
//! - [`guest`]: the same as PID 1 of a virtual machine.
//! - `src/bin`: the programs that run in the lab. They know nothing of the auditor.

pub mod auditor;
pub mod cgroup;
pub mod check;
pub mod churn;
pub mod cleanup;
pub mod confinement;
pub mod container;
pub mod containerd;
pub mod evasion;
pub mod expect;
pub mod guest;
pub mod http;
pub mod kubernetes;
pub mod load;
pub mod lockdown;
pub mod measure;
pub mod network;
pub mod node;
pub mod play;
pub mod probes;
pub mod prometheus;
pub mod report;
pub mod scene;
pub mod serve;
pub mod service;
pub mod simulation;
pub mod soak;
pub mod sys;
pub mod token;
pub mod userspace_tcp;
pub mod volume;
pub mod wire;

use std::path::PathBuf;

use anyhow::{Context, Result};

/// Where the helper programs are: beside the running executable.
pub fn helpers_beside_self() -> Result<PathBuf> {
    let exe = std::env::current_exe().context("find this executable")?;
    Ok(exe
        .parent()
        .context("this executable has no directory")?
        .to_owned())
}

/// How much slower than on a developer's machine things may be (`LAB_PATIENCE`, from 1): an emulated machine needs more.
pub fn patience() -> u32 {
    std::env::var("LAB_PATIENCE")
        .ok()
        .and_then(|p| p.parse().ok())
        .unwrap_or(1)
        .max(1)
}
