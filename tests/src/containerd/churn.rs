//! Ever new pods, each with one container that reads its token and ends: no open may be laid to another pod or be lost.

mod tally;

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use jiff::Timestamp;

use super::{
    node::Node,
    pod::APP,
    runtime::{Launch, Mount, Runtime, VOLUME, new_id, output},
};
use crate::{
    auditor::Auditor,
    cgroup::{self, Driver},
    node::{Lab, PodSpec, cluster::ROLES, kubelet, pod::POD_IDENTITY, pod_object},
    patience,
    volume::Plugin,
};

pub use tally::Churned;

/// Containers that start side by side: a start takes longer than the distance between two of them may be.
const PARALLEL: usize = 4;
/// Pods that are gone from the node stay listed this long, as a deleted pod does until its grace period is over.
const LISTED: Duration = Duration::from_secs(5);

/// What each thread needs of the node.
struct Shared<'a> {
    runtime: &'a Runtime,
    lab: Mutex<&'a mut Lab>,
    network: PathBuf,
    next: AtomicU32,
    count: u32,
    /// Pod UID, to the container's id.
    started: Mutex<BTreeMap<String, String>>,
    listed: Mutex<VecDeque<(Instant, Arc<PodSpec>)>>,
}

pub fn run(node: &mut Node, auditor: &mut Auditor, count: u32) -> Result<Churned> {
    let role = format!("{ROLES}/churn");
    node.lab.cluster.associate("batch", "churn", &role)?;
    let network = node.lab.network.node();
    let shared = Shared {
        runtime: &node.runtime,
        lab: Mutex::new(&mut node.lab),
        network,
        next: AtomicU32::new(0),
        count,
        started: Mutex::default(),
        listed: Mutex::default(),
    };
    let mut lines = Vec::new();
    let began = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..PARALLEL)
            .map(|_| scope.spawn(|| work(&shared)))
            .collect();
        while threads.iter().any(|t| !t.is_finished()) {
            lines.extend(auditor.next(Instant::now() + Duration::from_millis(50))?);
        }
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("a thread of the churn panicked"))?
        })
    })?;
    let took = began.elapsed();
    let deadline = Instant::now() + Duration::from_secs(40) * patience();
    while lines.len() < usize::try_from(count)? {
        match auditor.next(deadline)? {
            Some(line) => lines.push(line),
            None => break,
        }
    }
    // What comes beyond one line a container is as wrong as what does not come.
    lines.extend(auditor.next(Instant::now() + Duration::from_secs(1))?);
    let started = shared
        .started
        .into_inner()
        .map_err(|_| anyhow!("poisoned"))?;
    let mut churned = tally::tally(&lines, started)?;
    churned.took = took;
    Ok(churned)
}

fn work(shared: &Shared<'_>) -> Result<()> {
    while shared.next.fetch_add(1, Ordering::Relaxed) < shared.count {
        one(shared)?;
    }
    Ok(())
}

/// One pod's whole life.
fn one(shared: &Shared<'_>) -> Result<()> {
    let spec = Arc::new(spec());
    let path = spec
        .token(POD_IDENTITY)
        .map(|t| t.path())
        .unwrap_or_default();
    let id = new_id();
    let (pod_cgroup, mut command) = {
        let mut lab = lock(&shared.lab)?;
        lab.mount_volumes(&spec)?;
        lab.cluster
            .put(pod_object(&spec, "10.0.1.5", Timestamp::now()))?;
        let mut listed = lock(&shared.listed)?;
        listed.push_back((Instant::now(), Arc::clone(&spec)));
        while listed
            .front()
            .is_some_and(|(since, _)| since.elapsed() > LISTED)
        {
            if let Some((_, old)) = listed.pop_front() {
                lab.cluster.remove_pod(&old)?;
            }
        }
        drop(listed);
        let root = lab.kubelet_root();
        let mounts = spec.tokens.iter().map(|t| Mount {
            source: spec.volume_id(Plugin::Projected, &t.volume).dir(&root),
            target: t.mount_path.clone(),
            options: VOLUME.into(),
        });
        let pod_cgroup =
            lab.cgroup_name()
                .join(cgroup::pod_path(spec.driver, spec.qos, spec.node_uid()));
        let cgroup = pod_cgroup.join(cgroup::container_name(spec.driver, &id));
        let launch = Launch {
            id: &id,
            image: APP,
            cgroup: &cgroup,
            join: vec![("network", shared.network.clone())],
            mounts: mounts.collect(),
            env: Vec::new(),
            argv: vec!["peek".into(), path],
            confinement: Vec::new(),
        };
        let command = shared.runtime.run(&lab, &launch)?;
        (pod_cgroup, command)
    };
    lock(&shared.started)?.insert(spec.uid.clone(), id.clone());
    output(&mut command)?;
    let _ = fs::remove_file(shared.runtime.dir().join(format!("{id}.pid")));
    cgroup::remove_everywhere(&pod_cgroup)?;
    lock(&shared.lab)?
        .kubelet_do(&kubelet::Request::RemovePod {
            uid: spec.node_uid().into(),
        })
        .map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> Result<std::sync::MutexGuard<'_, T>> {
    mutex
        .lock()
        .map_err(|_| anyhow!("another thread of the churn panicked"))
}

/// A pod whose token lies at a path that only it has: its argv says whose process an open was, whatever the auditor says.
/// Every other one has the cgroupfs driver's names.
fn spec() -> PodSpec {
    let mut spec = PodSpec::daemon("batch", "churn").with_pod_identity();
    spec.tokens.retain(|t| t.volume == POD_IDENTITY);
    let directory = format!("/run/tokens/{}", spec.uid);
    for token in &mut spec.tokens {
        token.mount_path.clone_from(&directory);
    }
    if spec.uid.as_bytes().first().is_some_and(|b| b % 2 == 0) {
        spec.driver = Driver::Cgroupfs;
    }
    spec
}
