//! What one node asks of an API server, and what the auditor keeps of its answers: requests and bytes at start and at rest,
//! resident memory.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::{
    auditor::{self, Auditor, Options},
    node::{CLUSTER_NAME, Lab, NODE_NAME},
    service::{
        apiserver::{self, ApiServer, Resource, Role, node_of_pods},
        web::Seen,
    },
};

/// Where `sync-associations` publishes.
const CONFIG_MAP: (&str, &str) = ("kube-system", "associations");
/// After the last request of the start.
const SETTLE: Duration = Duration::from_secs(5);

pub struct Load {
    pub auditor: Options,
    pub helpers: PathBuf,
    pub pods: usize,
    pub associations: usize,
    /// How long it is watched at rest.
    pub rest: Duration,
    /// Of `sync-associations`.
    pub interval: Duration,
}

/// By verb and resource: number, bytes of the answers.
pub type Requests = BTreeMap<String, (u64, u64)>;

pub struct Measured {
    pub start: Requests,
    pub rest: Requests,
    /// Bytes of what was asked at the start and goes on: bookmarks, changes of the ConfigMap.
    pub watched: u64,
    pub minutes: f64,
    /// MiB.
    pub resident: f64,
    pub peak: f64,
    pub pods: usize,
    pub associations: usize,
    /// Bytes of all pods as the API server lists them.
    pub listing: usize,
}

/// Runs the auditor against an API server with `pods` fat pods, with `sync-associations` beside it.
///
/// # Errors
/// Where something does not start, or does not get ready in time.
pub fn run(load: &Load) -> Result<Measured> {
    let mut lab = Lab::new(&load.helpers)?;
    let server = ApiServer::start(apiserver::Options::default())?;
    let mut listing = 0;
    let mut accounts = BTreeMap::new();
    for pod in node_of_pods(NODE_NAME, load.pods) {
        listing += pod.to_string().len();
        let of = |field: &serde_json::Value| field.as_str().unwrap_or_default().to_owned();
        let account = (
            of(&pod["metadata"]["namespace"]),
            of(&pod["spec"]["serviceAccountName"]),
        );
        accounts.insert(account, ());
        server.store().put(Resource::Pods, pod);
    }
    for (index, (namespace, name)) in accounts.keys().enumerate() {
        let role = format!("arn:aws:iam::111122223333:role/{namespace}-{name}");
        let annotations = match index % 4 {
            0 => json!({"eks.amazonaws.com/role-arn": role}),
            _ => json!({}),
        };
        let account = json!({"metadata": {
            "annotations": annotations, "name": name, "namespace": namespace, "uid": uuid::Uuid::new_v4(),
        }});
        server.store().put(Resource::ServiceAccounts, account);
    }
    lab.cluster.publish_to(server.store().clone());
    let (namespace, name) = CONFIG_MAP;
    let target = format!("kube:{namespace}/{name}");
    lab.cluster.associations_source = Some(target.clone());
    let mut sync = Sync::start(load, &lab, &server, &target)?;
    wait(Duration::from_secs(30), "the ConfigMap", || {
        sync.check()?;
        let key = (Resource::ConfigMaps, namespace.to_owned(), name.to_owned());
        Ok(server.store().get(&key).is_some())
    })?;

    let begin = server.requests().len();
    let mut options = load.auditor.clone();
    let kubeconfig = server.kubeconfig(lab.dir(), Role::Node)?;
    options.env.push((
        "KUBECONFIG".into(),
        kubeconfig.to_string_lossy().into_owned(),
    ));
    options
        .args
        .extend(["--api-start-jitter".into(), "0".into()]);
    let (auditor, _) = Auditor::start(&lab, &options)?;
    let of_node = || -> Vec<Seen> {
        let requests = server.requests().into_iter().skip(begin);
        requests.filter(|seen| !sync_asked(seen)).collect()
    };
    settle(|| of_node().len())?;
    let started = of_node();
    let rest_begun = Instant::now();
    thread::sleep(load.rest);
    let at_end = of_node();
    let (resident, peak) = memory(auditor.pid())?;
    let bytes = |requests: &[Seen]| requests.iter().map(|seen| seen.bytes).sum::<u64>();
    let (first, later) = at_end.split_at(started.len());
    let measured = Measured {
        start: fold(&started),
        rest: fold(later),
        watched: bytes(first).saturating_sub(bytes(&started)),
        minutes: rest_begun.elapsed().as_secs_f64() / 60.0,
        resident,
        peak,
        pods: load.pods,
        associations: load.associations,
        listing,
    };
    auditor.stop()?;
    Ok(measured)
}

/// `sync-associations` and its leader's Lease: one replica a cluster, not a node's.
fn sync_asked(seen: &Seen) -> bool {
    seen.path.contains("/leases")
        || seen.method != "GET"
        || !seen.query.contains("watch") && seen.path.contains("/configmaps/")
}

fn fold(requests: &[Seen]) -> Requests {
    let mut folded = Requests::new();
    for seen in requests {
        let verb = match (
            seen.query.contains("watch="),
            seen.query.contains("sendInitialEvents"),
        ) {
            (true, true) => "watch, list first,",
            (true, false) => "watch",
            (false, _) => "get or list",
        };
        let mut parts = seen.path.split('/').filter(|part| !part.is_empty());
        let resource = parts.find(|part| ["pods", "serviceaccounts", "configmaps"].contains(part));
        let what = format!(
            "{verb} {} -> {}",
            resource.unwrap_or(&seen.path),
            seen.status
        );
        let (count, bytes) = folded.entry(what).or_default();
        *count += 1;
        *bytes += seen.bytes;
    }
    folded
}

/// Until nothing new has been asked for a while.
fn settle(requests: impl Fn() -> usize) -> Result<()> {
    let mut asked = requests();
    let mut quiet_since = Instant::now();
    wait(Duration::from_secs(120), "the start's last request", || {
        let now = requests();
        if now != asked {
            asked = now;
            quiet_since = Instant::now();
        }
        Ok(quiet_since.elapsed() >= SETTLE)
    })
}

fn wait(limit: Duration, what: &str, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit * crate::patience();
    while !done()? {
        ensure!(Instant::now() < deadline, "{what} did not come in time");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Resident memory and its peak, MiB.
fn memory(pid: u32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mib = |key: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        Ok(kib.with_context(|| format!("/proc/{pid}/status has no {key}"))? / 1024.0)
    };
    Ok((mib("VmRSS:")?, mib("VmHWM:")?))
}

/// The real `auditor sync-associations`; killed when dropped.
struct Sync {
    child: Child,
    log: PathBuf,
}

impl Sync {
    fn start(load: &Load, lab: &Lab, server: &ApiServer, target: &str) -> Result<Self> {
        let associations: Vec<_> = (0..load.associations)
            .map(|index| {
                json!({
                    "clusterName": CLUSTER_NAME, "namespace": format!("team-{}", index % 97),
                    "serviceAccount": format!("service-{index}"),
                    "roleArn": format!("arn:aws:iam::111122223333:role/{}", uuid::Uuid::new_v4()),
                    "associationId": format!("a-{}", &uuid::Uuid::new_v4().simple().to_string()[..17]),
                })
            })
            .collect();
        let file = lab.dir().join("sync.json");
        fs::write(&file, json!({"associations": associations}).to_string())?;
        let log = lab.dir().join("sync.log");
        let child = Command::new(&load.auditor.program)
            .args([
                "sync-associations",
                "--cluster-name",
                CLUSTER_NAME,
                "--to",
                target,
            ])
            .args(["--from", &format!("file:{}", file.display())])
            .args(["--interval", &format!("{}s", load.interval.as_secs())])
            .env("KUBECONFIG", server.kubeconfig(lab.dir(), Role::Sync)?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("start auditor sync-associations")?;
        Ok(Self { child, log })
    }

    fn check(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(
            ended.is_none(),
            "sync-associations has ended: {}",
            auditor::tail(&self.log)
        );
        Ok(())
    }
}

impl Drop for Sync {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NODES: f64 = 5_000.0;
        writeln!(
            f,
            "API server's load by one node: {} pods ({:.1} MB as listed), {} associations",
            self.pods,
            self.listing as f64 / 1e6,
            self.associations
        )?;
        let total = |requests: &Requests| {
            requests
                .values()
                .fold((0, 0), |(n, b), (count, bytes)| (n + count, b + bytes))
        };
        for (when, requests) in [("start", &self.start), ("rest", &self.rest)] {
            for (what, (count, bytes)) in requests {
                writeln!(
                    f,
                    "  {when:<6} {what:<40} {count:>5} requests {bytes:>11} bytes"
                )?;
            }
        }
        let (requests, bytes) = total(&self.rest);
        let (a_minute, bytes_a_minute) = (
            requests as f64 / self.minutes,
            (bytes + self.watched) as f64 / self.minutes,
        );
        writeln!(
            f,
            "  at rest, {:.1} minutes: {a_minute:.2} requests and {bytes_a_minute:.0} bytes a minute, open watches' included",
            self.minutes
        )?;
        let (requests, bytes) = total(&self.start);
        writeln!(
            f,
            "  on paper, 5,000 nodes: at rest {:.0} requests and {:.1} MB a second; at start {:.0} requests and {:.0} MB in all",
            NODES * a_minute / 60.0,
            NODES * bytes_a_minute / 60.0 / 1e6,
            NODES * requests as f64,
            NODES * bytes as f64 / 1e6
        )?;
        write!(
            f,
            "  resident {:.1} MiB (peak {:.1})",
            self.resident, self.peak
        )
    }
}
