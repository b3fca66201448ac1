//! Figures of the real auditor on a lab, printed as one JSON object a run; `cargo xtask bench` puts them beside their goals.
//!
//! - [`cost`]: what an open+close costs more with a tool attached, the auditor among them ([`tool`]).
//! - [`burst`]: one pod reads its token a million times while another steals one.
//! - [`paced`]: so many opens a second, spread over pods and executables.
//! - [`flood`]: who opens; [`stream`]: who reads what the auditor writes; [`stats`], [`usage`]: the arithmetic.

pub mod audit;
pub mod burst;
pub mod cost;
pub mod flood;
pub mod glance;
pub mod helpers;
pub mod paced;
pub mod stats;
pub mod stream;
pub mod tool;
pub mod usage;

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    auditor::Options,
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
};

/// What all of them need.
pub struct Subject {
    pub auditor: Options,
    pub helpers: PathBuf,
}

/// A pod with a Pod Identity token alone, in the node's network, whose init is `flood`.
pub(crate) fn flooder(lab: &mut Lab, namespace: &str, app: &str) -> Result<Pod> {
    let spec = with_token(associated(lab, namespace, app)?, "flood");
    lab.start(spec)
}

/// The same, whose init does nothing by itself.
pub(crate) fn holder(lab: &mut Lab, namespace: &str, app: &str) -> Result<Pod> {
    let spec = with_token(associated(lab, namespace, app)?, "pause");
    lab.start(spec)
}

fn associated(lab: &mut Lab, namespace: &str, app: &str) -> Result<PodSpec> {
    let role = format!("{ROLES}/{namespace}-{app}");
    lab.cluster.associate(namespace, app, &role)?;
    Ok(PodSpec::daemon(namespace, app).with_pod_identity())
}

fn with_token(mut spec: PodSpec, init: &str) -> PodSpec {
    spec.tokens.retain(|token| token.volume == POD_IDENTITY);
    spec.argv = vec![init.to_owned()];
    spec
}

/// The pod's own token, as its container sees it.
pub(crate) fn own_token(pod: &Pod) -> String {
    let token = pod.spec.token(POD_IDENTITY);
    token.map(|token| token.path()).unwrap_or_default()
}
