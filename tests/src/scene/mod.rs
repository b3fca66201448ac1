//! What is played: each scene does one thing on the node and names the exact lines that the design asks for.
//!
//! Every scene uses ServiceAccounts of its own, so that none depends on another's bindings.

mod addons;
mod agent;
mod agent_side;
mod benign;
mod denied;
mod exec;
mod findings;
mod flood;
mod identity;
mod imds;
mod impersonation;
mod memory;
mod own;
mod posture;
mod raw_socket;
mod received;
mod recycled;
mod role;
mod theft;
mod unexpected;
mod volume;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Value;

use crate::{
    auditor::{self, Options},
    expect::Expected,
    node::{Lab, Pod, PodSpec, cluster::ROLES, pod::POD_IDENTITY},
    patience,
    sys::machine::Machine,
};

/// The node while the auditor runs.
pub struct Stage {
    pub lab: Lab,
    /// The Pod Identity agent's pod.
    pub agent: Pod,
    /// A pod with an association that ran before the auditor did.
    pub older: Pod,
    /// Where the auditor's lines go; none in a rehearsal.
    pub output: Option<PathBuf>,
    /// How it is run; none in a rehearsal.
    pub auditor: Option<Options>,
    /// Each hook of its `ready` line, and how that is watched (`none`: not at all); empty in a rehearsal.
    pub hooks: BTreeMap<String, String>,
    /// Why what the scene just played is about did not happen on this machine; set by the scene, taken by the player.
    pub skipped: Option<String>,
}

impl Stage {
    /// Waits until the run's lines so far are as `enough` wants them, at most `limit`: a state takes as long as it
    /// takes. What has not come by then is missed by what the scene expects.
    fn wait_for_lines(&self, limit: Duration, enough: impl Fn(&[Value]) -> bool) {
        let Some(output) = &self.output else {
            return;
        };
        let Ok(mut file) = File::open(output).map(BufReader::new) else {
            return;
        };
        let deadline = Instant::now() + limit * patience();
        let (mut lines, mut partial) = (Vec::new(), String::new());
        while Instant::now() < deadline {
            while file.read_line(&mut partial).is_ok() && partial.ends_with('\n') {
                lines.extend(auditor::parse(&std::mem::take(&mut partial)));
            }
            if enough(&lines) {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Stage {
    /// Whether the auditor must watch the hook in this run. Its word that nothing does counts only where that may be.
    fn watches(&self, hook: &str) -> bool {
        let file_open = self.hooks.get("file_open").map_or("?", String::as_str);
        let may_lack = auditor::may_lack(file_open, &Machine::this());
        !may_lack || self.hooks.get(hook).is_none_or(|backend| backend != "none")
    }

    /// What the scene expects where the auditor watches the hook that it is about; nothing where it does not, and then the scene
    /// proves only that nothing else is written.
    fn where_watched(&mut self, hook: &str, expected: Vec<Expected>) -> Vec<Expected> {
        if self.watches(hook) {
            return expected;
        }
        self.skipped = Some(format!("nothing watches {hook} on this backend"));
        Vec::new()
    }
}

/// The hook that tells of raw sockets.
const HOOK_SOCKETS: &str = "socket_create";

pub struct Scene {
    pub name: &'static str,
    /// What happens, for a human.
    pub about: &'static str,
    pub play: fn(&mut Stage) -> Result<Vec<Expected>>,
}

/// All scenes, in the order in which they are played.
pub fn all() -> Vec<&'static Scene> {
    [
        own::SCENES,
        agent::SCENES,
        theft::SCENES,
        exec::SCENES,
        identity::SCENES,
        received::SCENES,
        recycled::SCENES,
        role::SCENES,
        imds::SCENES,
        addons::SCENES,
        volume::SCENES,
        agent_side::SCENES,
        impersonation::SCENES,
        memory::SCENES,
        raw_socket::SCENES,
        denied::SCENES,
        benign::SCENES,
        flood::SCENES,
        findings::SCENES,
        unexpected::SCENES,
        posture::SCENES,
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The scene is about `--watch-denied`.
pub fn is_denied(scene: &Scene) -> bool {
    denied::SCENES
        .iter()
        .any(|denied| denied.name == scene.name)
}

/// Where pods that may see the kubelet's directory see it.
const HOST_KUBELET: &str = "/host/kubelet";
/// Where pods that may see the cgroup hierarchy see it.
const HOST_CGROUP: &str = "/host/cgroup";

/// Starts `namespace/app` with a Pod Identity association and what the webhook stamps for it; returns its role too.
pub fn associated(lab: &mut Lab, namespace: &str, app: &str) -> Result<(Pod, String)> {
    let role = associate(lab, namespace, app)?;
    Ok((
        lab.start(PodSpec::new(namespace, app).with_pod_identity())?,
        role,
    ))
}

fn associate(lab: &mut Lab, namespace: &str, app: &str) -> Result<String> {
    let role = format!("{ROLES}/{namespace}-{app}");
    lab.cluster.associate(namespace, app, &role)?;
    Ok(role)
}

/// Starts `namespace/app` with a role annotation and what the webhook stamps for it; returns its role too.
fn annotated(lab: &mut Lab, namespace: &str, app: &str) -> Result<(Pod, String)> {
    let role = annotate(lab, namespace, app)?;
    Ok((
        lab.start(PodSpec::new(namespace, app).with_irsa(&role))?,
        role,
    ))
}

fn annotate(lab: &mut Lab, namespace: &str, app: &str) -> Result<String> {
    let role = format!("{ROLES}/{namespace}-{app}");
    lab.cluster.annotate(namespace, app, &role)?;
    Ok(role)
}

/// Starts a pod that has the kubelet's directory as a hostPath.
pub fn with_host_kubelet(lab: &mut Lab, spec: PodSpec) -> Result<Pod> {
    let root = lab.kubelet_root();
    lab.start(spec.with_host_path(&root, HOST_KUBELET))
}

/// The path of `victim`'s Pod Identity token for a pod with the kubelet's directory.
pub fn host_path_of(victim: &Pod) -> String {
    victim
        .token_below(Path::new(HOST_KUBELET), POD_IDENTITY)
        .to_string_lossy()
        .into_owned()
}

/// `pod`'s cgroup for a pod that sees the hierarchy at [`HOST_CGROUP`].
fn host_cgroup_of(lab: &Lab, pod: &Pod) -> Result<String> {
    let below = pod.cgroup.strip_prefix(lab.cgroup_root())?;
    Ok(format!("{HOST_CGROUP}/{}", below.display()))
}

fn token_path(pod: &Pod, volume: &str) -> String {
    pod.spec.token(volume).map(|t| t.path()).unwrap_or_default()
}
