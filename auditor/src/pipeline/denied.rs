//! Opens that the kernel refused (`--watch-denied`). Nothing was opened, so whose token it would have been is only what the
//! path claims; a path that claims no token is counted.

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use auditor_common::{DeniedRecord, TaskContext, prefix};
use uuid::Uuid;

use super::{
    Pipeline, actor::doubt, files::TokenFile, knowledge, namespaces::pod_of, opens::access,
};
use crate::{
    audit::{Actor, DeniedCase, IsToken, is_token_file, judge_denied},
    cluster::Pod,
    event::{Attribution, Body, Relation, TokenOpen},
    node::{
        Budget, Clock, INIT_PID_NS, LOOKS, LOOKS_OF_ONE, VolumeOwner, ns_pids, number_in,
        read_proc_file,
    },
};

/// Parents on the way to the namespace that a process's own was made in.
const GENERATIONS: usize = 64;

const PROJECTED: &str = "kubernetes.io~projected";

#[derive(Debug)]
pub struct Denied {
    /// Whose process a path names costs a look at every process, and nobody needs a right to be refused. What there is no time for is
    /// counted.
    looks: Budget<u64>,
}

impl Default for Denied {
    fn default() -> Self {
        Self {
            looks: Budget::new(LOOKS, LOOKS_OF_ONE, Instant::now()),
        }
    }
}

/// A token that a path names.
#[derive(Debug, PartialEq, Eq)]
struct Claim {
    /// As in directory names: the pod's UID, or a static pod's hash.
    pod_uid: String,
    volume: String,
    /// Below the timestamp directory.
    file: String,
}

impl Pipeline {
    pub(super) fn on_denied(&mut self, record: &DeniedRecord) {
        if record.task.pid == self.settings.own_tgid {
            return;
        }
        if self.settings.own_cgroup == Some(record.task.cgroup_id)
            || self.kubelet.is(&record.task, &self.cgroups)
        {
            self.count_only();
            return;
        }
        let said = prefix(&record.path, record.path_len);
        let Some(path) = whole_path(&self.settings.host_proc, record, said) else {
            self.count_only();
            return;
        };
        self.refresh_sources();
        let attributed = self.attribute(&record.task);
        let (path, of_process) = below_process_root(&path);
        // Whose mounts the path goes through: the opener's, or those of the process that it names.
        let claim = match of_process.filter(|pid| *pid != "self" && *pid != "thread-self") {
            Some(pid) => claim_by_layout(path).or_else(|| self.claim_in(&record.task, pid, path)),
            None => match attributed.who.actor() {
                Actor::Pod { pod, container } => {
                    let name = container.and_then(|container| container.name.as_deref());
                    claim_of(pod, name, path)
                }
                _ => None,
            }
            .or_else(|| claim_by_layout(path)),
        };
        let Some(claim) = claim else {
            self.count_only();
            return;
        };
        let owner = self.sources.cluster().pod(&claim.pod_uid).cloned();
        if is_token_file(owner.as_deref(), Some(&claim.volume), &claim.file) == IsToken::No {
            self.count_only();
            return;
        }
        let volume = VolumeOwner {
            pod_uid: claim.pod_uid.into(),
            volume: claim.volume.into(),
            plugin: PROJECTED.into(),
        };
        let file = TokenFile {
            spec_path: None,
            path: claim.file,
        };
        let token = self.token(file, Some(&volume), owner.as_deref());
        let (who, mut process) = (attributed.who, attributed.process);
        let time = self.clock.wall(record.header.time);
        let errno = record.errno.cast_signed();
        let mut judgement = judge_denied(&DeniedCase {
            time,
            actor: who.actor(),
            process: &process,
            token: &token,
            owner_pod: owner.as_deref(),
            errno,
            knowledge: knowledge(&self.sources, &self.settings),
        });
        doubt(attributed.by, &mut judgement);
        self.count_unattributed(&who);
        process.args = self.settings.args.apply(process.args);
        // The flags worth telling are all in the lower half.
        let flags = u32::try_from(record.flags & u64::from(u32::MAX)).unwrap_or_default();
        let since = Clock::since(record.header.time);
        let line = TokenOpen {
            verdict: judgement.verdict,
            undetermined: judgement.undetermined,
            relation: judgement.relation.unwrap_or(Relation::Unknown),
            findings: judgement.findings,
            process,
            container: who.container(),
            pod: self.pod_ref(&who),
            token,
            access: access(flags, record.header.backend, Some(errno)),
            binding: judgement.binding,
            evidence: judgement.evidence,
            attribution: Attribution {
                process: attributed.by.to_owned(),
                owner: Some("path".to_owned()),
                latency_us: u64::try_from(since.as_micros()).unwrap_or(u64::MAX),
                cluster_age_ms: self.cluster_age_ms(),
                waited_ms: None,
                reason: who.reason().map(str::to_owned),
            },
            repeats: 0,
        };
        let party = self.party_id(record.task.cgroup_id);
        self.emit_of(
            Some(party),
            time,
            Uuid::now_v7(),
            Body::TokenOpen(Box::new(line)),
        );
    }

    /// What `path` claims below the root of process `pid`, as the opener numbers it.
    fn claim_in(&mut self, opener: &TaskContext, pid: &str, path: &str) -> Option<Claim> {
        let party = self.party_id(opener.cgroup_id);
        let (cluster, host_proc) = (self.sources.cluster(), &self.settings.host_proc);
        let look = || {
            if !is_tokens_anywhere(cluster.pods().map(|pod| &**pod), path) {
                return None;
            }
            let pod = cluster.pod(&pod_of_process(host_proc, opener, pid)?)?;
            claim_of(pod, None, path)
        };
        self.denied.looks.within(party, look).flatten()
    }
}

/// Whether a path may be a token's in any pod.
fn is_tokens_anywhere<'a>(mut pods: impl Iterator<Item = &'a Pod>, path: &str) -> bool {
    pods.any(|pod| {
        claim_of(pod, None, path).is_some_and(|claim| {
            is_token_file(Some(pod), Some(&claim.volume), &claim.file) != IsToken::No
        })
    })
}

/// The path from the opener's root; `None` where it is relative to a directory that cannot be told any more.
fn whole_path(host_proc: &Path, record: &DeniedRecord, said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said).into_owned();
    if said.is_empty() {
        return None;
    }
    if said.starts_with('/') {
        return Some(said);
    }
    let process = host_proc.join(record.task.tid.to_string());
    let directory: PathBuf = if record.dirfd == libc::AT_FDCWD {
        process.join("cwd")
    } else {
        process.join("fd").join(record.dirfd.to_string())
    };
    let directory = std::fs::read_link(directory).ok()?;
    Some(format!("{}/{said}", directory.display()))
}

/// What follows the last `/proc/PID/root`, and that PID.
fn below_process_root(path: &str) -> (&str, Option<&str>) {
    let (mut rest, mut of) = (path, None);
    while let Some((pid, below)) = rest
        .find("/proc/")
        .and_then(|at| rest.get(at + "/proc/".len()..))
        .and_then(|behind| behind.split_once("/root/"))
        .filter(|(pid, _)| !pid.contains('/'))
    {
        // Keeps the slash.
        let start = rest.len() - below.len() - 1;
        (rest, of) = (rest.get(start..).unwrap_or(below), Some(pid));
    }
    (rest, of)
}

/// Pod of process `pid`, as the opener's pid namespace numbers it. By the host's own `/proc`: what the opener has at `/proc` is
/// what somebody mounted there, and may be a fifo, a file without end, or another pod's name.
fn pod_of_process(host_proc: &Path, opener: &TaskContext, pid: &str) -> Option<String> {
    if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let pid: u32 = pid.parse().ok()?;
    if opener.pid_ns == INIT_PID_NS {
        return pod_of(&host_proc.join(pid.to_string()));
    }
    let entries = std::fs::read_dir(host_proc).ok()?;
    let process = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|process| number_of(host_proc, process, opener.pid_ns, pid) == Some(pid))?;
    pod_of(&process)
}

/// The pid of a process in a pid namespace that it is in: its own, or one that its own was made in. `None` at once where none of its
/// numbers is `wanted`.
fn number_of(host_proc: &Path, process: &Path, namespace: u32, wanted: u32) -> Option<u32> {
    let namespace = format!("pid:[{namespace}]");
    let status_of = |process: &Path| read_proc_file(&process.join("status")).ok();
    let mut status = status_of(process)?;
    let numbers = ns_pids(&status)?;
    if !numbers.contains(&wanted) {
        return None;
    }
    // What made a namespace lives in the one above, and so does whoever takes its place when it dies.
    let mut at = process.to_owned();
    for _ in 0..GENERATIONS {
        let is_in = std::fs::read_link(at.join("ns/pid"))
            .is_ok_and(|link| link.as_os_str() == namespace.as_str());
        if is_in {
            let level = ns_pids(&status)?.len();
            return numbers.get(level.checked_sub(1)?).copied();
        }
        let parent = number_in(&status, "PPid:", 10)?;
        at = host_proc.join(parent.to_string());
        status = status_of(&at)?;
    }
    None
}

/// By the mounts of one container of the pod's spec, or of all where it is not known which.
fn claim_of(pod: &Pod, container: Option<&str>, path: &str) -> Option<Claim> {
    pod.containers
        .iter()
        .filter(|c| container.is_none_or(|name| *c.name == *name))
        .flat_map(|c| &c.mounts)
        .filter(|mount| {
            pod.volume(&mount.volume)
                .is_some_and(|v| !v.tokens.is_empty())
        })
        .find_map(|mount| {
            Some(Claim {
                pod_uid: pod.uid.to_string(),
                volume: mount.volume.to_string(),
                file: below_timestamp(&mount.file_at(path)?)?,
            })
        })
}

/// By the kubelet's layout, wherever its directory is mounted: `…/pods/<uid>/volumes/kubernetes.io~projected/<volume>/<file>`.
fn claim_by_layout(path: &str) -> Option<Claim> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return None;
    }
    parts.windows(5).enumerate().find_map(|(at, window)| {
        let ["pods", uid, "volumes", PROJECTED, volume] = window else {
            return None;
        };
        let file = parts.get(at + 5..)?.join("/");
        Some(Claim {
            pod_uid: (*uid).to_owned(),
            volume: (*volume).to_owned(),
            file: below_timestamp(&file)?,
        })
    })
}

/// `..data/token` and `..2026_11_22_…/token` are `token`.
fn below_timestamp(file: &str) -> Option<String> {
    let file = match file.split_once('/') {
        Some((directory, file)) if directory.starts_with("..") => file,
        _ => file,
    };
    (!file.is_empty()).then(|| file.to_owned())
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;
    use crate::cluster::{Container, Mount, ProjectedVolume, TokenSource, testing::pod};

    fn with_token() -> Pod {
        let mut pod = pod("shop", "web");
        pod.volumes = vec![
            ProjectedVolume {
                name: "aws".into(),
                tokens: vec![TokenSource {
                    path: "token".into(),
                    audience: None,
                    expiration_seconds: None,
                }],
                ..ProjectedVolume::default()
            },
            ProjectedVolume {
                name: "config".into(),
                ..ProjectedVolume::default()
            },
        ];
        let mount = |volume: &str, path: &str| Mount {
            volume: volume.into(),
            mount_path: path.into(),
            sub_path: None,
        };
        pod.containers = vec![Container {
            name: "main".into(),
            mounts: vec![mount("aws", "/var/run/aws"), mount("config", "/etc/config")],
            ..Container::default()
        }];
        pod
    }

    #[test]
    fn claims_by_the_containers_mounts() {
        let pod = with_token();
        for (container, path, file) in [
            (Some("main"), "/var/run/aws/token", Some("token")),
            (Some("main"), "/run/aws/token", Some("token")),
            (None, "/run/aws/..data/token", Some("token")),
            (
                None,
                "/run/aws/..2026_11_22_12_00_00.1/token",
                Some("token"),
            ),
            (Some("other"), "/var/run/aws/token", None),
            (Some("main"), "/etc/config/token", None),
            (Some("main"), "/var/run/aws", None),
            (Some("main"), "/var/run/aws/../aws/token", None),
            (Some("main"), "/etc/shadow", None),
        ] {
            let claim = claim_of(&pod, container, path);
            assert_eq!(claim.as_ref().map(|c| &*c.file), file, "{path}");
            if let Some(claim) = claim {
                assert_eq!((&*claim.pod_uid, &*claim.volume), ("uid-web", "aws"));
            }
        }
    }

    #[test]
    fn claims_by_the_kubelets_layout() {
        let layout = "pods/0a1b/volumes/kubernetes.io~projected/aws";
        for (path, file) in [
            (format!("/var/lib/kubelet/{layout}/token"), Some("token")),
            (format!("/host/{layout}/..data/token"), Some("token")),
            (format!("/host/{layout}/a/b"), Some("a/b")),
            (format!("/host/{layout}/"), None),
            (format!("/host/{layout}/../aws/token"), None),
            (
                "/pods/0a1b/volumes/kubernetes.io~secret/aws/token".into(),
                None,
            ),
        ] {
            let claim = claim_by_layout(&path);
            assert_eq!(claim.as_ref().map(|c| &*c.file), file, "{path}");
            if let Some(claim) = claim {
                assert_eq!((&*claim.pod_uid, &*claim.volume), ("0a1b", "aws"));
            }
        }
    }

    #[test]
    fn only_paths_of_tokens_are_worth_a_look_at_all_processes() {
        let mut other = pod("shop", "api");
        other.containers = with_token().containers;
        let pods = [other, with_token()];
        for (path, expected) in [
            ("/var/run/aws/token", true),
            ("/run/aws/..data/token", true),
            ("/run/aws", false),
            ("/etc/config/token", false),
            ("/etc/shadow", false),
            ("/run/aws/../shadow", false),
        ] {
            assert_eq!(is_tokens_anywhere(pods.iter(), path), expected, "{path}");
        }
    }

    /// A host's /proc with processes of two pid namespaces that both have a 7, and one of a namespace below the first.
    #[test]
    fn a_process_is_found_by_its_openers_numbers_and_in_no_proc_of_its_making() {
        const WEB: &str = "11111111-1111-4111-8111-111111111111";
        const API: &str = "22222222-2222-4222-8222-222222222222";
        let proc = tempfile::tempdir().unwrap();
        for (pid, namespace, pids, parent, uid) in [
            (60, 9, "60", 1, WEB),
            (70, 40, "70\t7", 60, WEB),
            (71, 41, "71\t12\t1", 70, WEB),
            (72, 41, "72\t13\t2", 71, WEB),
            (80, 50, "80\t7", 60, API),
            (7, 9, "7", 60, API),
        ] {
            let process = proc.path().join(pid.to_string());
            std::fs::create_dir_all(process.join("ns")).unwrap();
            let link = format!("pid:[{namespace}]");
            std::os::unix::fs::symlink(link, process.join("ns/pid")).unwrap();
            // Names need not be UTF-8.
            let parent = format!("\nPPid:\t{parent}\n");
            let status = [
                b"Name:\t\xff\n".as_slice(),
                b"NSpid:\t",
                pids.as_bytes(),
                parent.as_bytes(),
            ];
            std::fs::write(process.join("status"), status.concat()).unwrap();
            let cgroup = format!("0::/kubepods/pod{uid}/x\n");
            std::fs::write(process.join("cgroup"), cgroup).unwrap();
        }
        let mut opener = TaskContext::new_zeroed();
        (opener.pid, opener.pid_ns) = (70, 40);
        // Whoever opens this waits for ever.
        let own = proc.path().join("70/root/proc/7");
        std::fs::create_dir_all(&own).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, own.join("cgroup"), fifo, 0o600.into(), 0).unwrap();
        for (namespace, pid, expected) in [
            (40, "7", Some(WEB)),
            (50, "7", Some(API)),
            (INIT_PID_NS, "70", Some(WEB)),
            (40, "8", None),
            (40, "12", Some(WEB)),
            (40, "13", Some(WEB)),
            (41, "13", None),
            (41, "2", Some(WEB)),
            (50, "12", None),
            (40, "", None),
            (40, "99999999999", None),
        ] {
            opener.pid_ns = namespace;
            let found = pod_of_process(proc.path(), &opener, pid);
            assert_eq!(found.as_deref(), expected, "{namespace} {pid}");
        }
    }

    #[test]
    fn another_processs_root_is_taken_off() {
        for (path, expected) in [
            ("/run/aws/token", ("/run/aws/token", None)),
            ("/proc/42/root/run/token", ("/run/token", Some("42"))),
            ("/proc/self/root/run/token", ("/run/token", Some("self"))),
            ("/host/proc/1/root/proc/7/root/a", ("/a", Some("7"))),
            ("/proc/42/cwd/token", ("/proc/42/cwd/token", None)),
            (
                "/proc/42/task/43/root/token",
                ("/proc/42/task/43/root/token", None),
            ),
        ] {
            assert_eq!(below_process_root(path), expected, "{path}");
        }
    }
}
