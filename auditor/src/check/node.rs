//! The machine around the probes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::report::{Check, State};
use crate::{
    cli::{Failure, RunConfig},
    metrics::Listener,
    node::parse_mountinfo,
    policy::Policy,
    probe::FileCanary,
    report::Output,
    run::{doubts, host, setup},
    state::{self, StateDir},
};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

pub fn kernel() -> Check {
    let detail = format!("{} {}", setup::kernel_release(), std::env::consts::ARCH);
    Check::new("kernel", State::Info, detail)
}

/// Whether it matters is told by the probes. A container has no securityfs of its own: the host's is looked at in its place.
pub fn lockdown(config: &RunConfig) -> Check {
    let of_host = || {
        let root = config.host_proc.join("1/root");
        fs::read_to_string(root.join(LOCKDOWN.trim_start_matches('/')))
    };
    judge_lockdown(fs::read_to_string(LOCKDOWN).or_else(|error| of_host().map_err(|_| error)))
}

/// `none [integrity] confidentiality` (security/lockdown/lockdown.c)
fn judge_lockdown(text: io::Result<String>) -> Check {
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let detail = format!("cannot be told ({LOCKDOWN}: {error}); the probes show it");
            return Check::new("lockdown", State::Info, detail);
        }
    };
    let level = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("unknown", |(level, _)| level);
    match level {
        "confidentiality" => Check::new(
            "lockdown",
            State::Degraded,
            "confidentiality: BPF programs may not read kernel memory",
        )
        .remedy("boot with lockdown=integrity or none; see the probes below for what still works"),
        level => Check::new("lockdown", State::Info, level),
    }
}

/// `own_tgid`: what came of reading it.
pub fn host_proc(config: &RunConfig, own_tgid: &Result<u32, Failure>) -> Check {
    match own_tgid {
        Ok(_) => Check::ok("host-proc", config.host_proc.display().to_string()),
        Err(failure) => Check::failed("host-proc", failure),
    }
}

/// What stands on the host's /proc, where that is missing.
pub fn not_looked_at(check: &str) -> Check {
    Check::new(check, State::Info, "not looked at: see host-proc")
}

pub fn open_files() -> Check {
    match host::open_files() {
        Ok(limit) => Check::ok("open-files", format!("up to {limit}")),
        Err(failure) => Check::failed("open-files", &failure),
    }
}

/// The hierarchy, and whether the kubelet is known in it.
pub fn cgroups(config: &RunConfig, policy: &Policy) -> [Check; 2] {
    let cgroups = match setup::cgroups(config) {
        Ok(cgroups) => cgroups,
        Err(failure) => {
            let kubelet = Check::new("kubelet", State::Info, "not looked for: see cgroup-v2");
            return [Check::failed("cgroup-v2", &failure), kubelet];
        }
    };
    let hierarchy = Check::ok("cgroup-v2", cgroups.root().display().to_string())
        .doubted(doubts::of_cgroups(config, &cgroups));
    let located = setup::kubelet(config, policy).locate(&cgroups);
    let detail = located.map_or_else(
        |unknown| unknown.to_string(),
        |(cgroup, executable)| format!("{} in {cgroup}", executable.display()),
    );
    let kubelet =
        Check::ok("kubelet", detail).doubted(doubts::of_kubelet(config, policy, &cgroups));
    [hierarchy, kubelet]
}

pub fn mountinfo(config: &RunConfig, canary: Option<FileCanary>) -> Check {
    let host_mnt_ns = canary.and_then(|canary| canary.host_mnt_ns);
    match setup::volumes(config, host_mnt_ns) {
        Ok(_) => match host::watch_mounts(config) {
            Ok(_) => {
                let path = config.host_proc.join("1/mountinfo");
                Check::ok("mountinfo", path.display().to_string())
            }
            Err(failure) => Check::failed("mountinfo", &failure),
        },
        Err(failure) => Check::failed("mountinfo", &failure),
    }
}

/// `run` starts without, since it may come later, and knows no owner of any token until then.
pub fn kubelet_root(config: &RunConfig) -> Check {
    let path = &config.kubelet_root;
    let root = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
    let mounts = fs::read(config.host_proc.join("1/mountinfo")).unwrap_or_default();
    let volumes = count_token_volumes(&mounts, &root.join("pods"));
    let detail = format!(
        "{}, with {volumes} volumes that hold tokens",
        path.display()
    );
    let check = Check::ok("kubelet-root", detail).doubted(doubts::of_kubelet_root(config));
    let holds_pods = fs::read_dir(root.join("pods")).is_ok_and(|mut pods| pods.next().is_some());
    if check.state != State::Ok || volumes > 0 || !holds_pods {
        return check;
    }
    Check::new(
        "kubelet-root",
        State::Degraded,
        format!("{} holds pods, and no volume of theirs that holds tokens is mounted on the host there", path.display()),
    )
    .remedy("is it the kubelet's --root-dir, at the same path as on the host, and --host-proc the host's /proc?")
}

/// Projected volumes among the mounts of that mountinfo, below the kubelet's directory of pods.
fn count_token_volumes(mountinfo: &[u8], pods: &Path) -> usize {
    parse_mountinfo(mountinfo)
        .filter(|mount| {
            mount.mount_point.strip_prefix(pods).is_ok_and(|below| {
                below
                    .iter()
                    .nth(2)
                    .is_some_and(|plugin| plugin == "kubernetes.io~projected")
            })
        })
        .count()
}

pub fn agent_netns(config: &RunConfig) -> Check {
    let path = config.agent_netns.display();
    match setup::agent_net_ns(config) {
        Ok(agent) => {
            Check::ok("agent-netns", path.to_string()).doubted(doubts::of_agent(config, &agent))
        }
        Err(failure) => Check::failed("agent-netns", &failure),
    }
}

pub fn state_dir(config: &RunConfig) -> Check {
    let Some(path) = &config.state_dir else {
        return Check::new(
            "state-dir",
            State::Info,
            "none: what is learned is lost with a restart",
        );
    };
    let made = missing_ancestors(path);
    let lock = path.join(state::LOCK);
    let had_lock = lock.exists();
    let check = match StateDir::open(path, "check".into()) {
        Ok(held) => {
            if !had_lock {
                let _ = fs::remove_file(&lock);
            }
            drop(held);
            Check::ok("state-dir", path.display().to_string())
        }
        Err(error) => {
            let help = error.help();
            Check::failed("state-dir", &Failure::environment(error).help(help))
        }
    };
    // The innermost first; what somebody else has filled meanwhile stays.
    for directory in made {
        let _ = fs::remove_dir(directory);
    }
    check
}

/// `path` and its ancestors that are not there, the innermost first.
fn missing_ancestors(path: &Path) -> Vec<PathBuf> {
    path.ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_owned)
        .collect()
}

pub fn metrics_port(config: &RunConfig) -> Check {
    let listen = &config.metrics_listen;
    match Listener::bind(listen.addr, listen.fallback_to_v4) {
        Ok(listener) => {
            let detail = match listen.addr.port() {
                0 => "any free port".to_owned(),
                _ => format!("{} is free", listener.addr()),
            };
            Check::ok("metrics-listen", detail)
        }
        Err(error) => {
            let help = error.help();
            Check::failed("metrics-listen", &Failure::environment(error).help(help))
        }
    }
}

pub fn output(config: &RunConfig) -> Check {
    let Some(path) = &config.output_file else {
        return match Output::stdout() {
            Ok(_) => Check::ok("output", "stdout"),
            Err(error) => {
                let help = error.help();
                Check::failed("output", &Failure::environment(error).help(help))
            }
        };
    };
    let was_there = fs::symlink_metadata(path).is_ok();
    match Output::file(path) {
        Ok(_) => {
            if !was_there {
                let _ = fs::remove_file(path);
            }
            Check::ok("output", path.display().to_string())
        }
        Err(error) => {
            let help = error.help();
            Check::failed("output", &Failure::environment(error).help(help))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lockdown_is_read_as_the_kernel_writes_it() {
        let state = |text: &str| judge_lockdown(Ok(text.to_owned())).state;
        assert_eq!(state("[none] integrity confidentiality\n"), State::Info);
        assert_eq!(state("none [integrity] confidentiality\n"), State::Info);
        assert_eq!(state("none integrity [confidentiality]\n"), State::Degraded);
        assert_eq!(
            judge_lockdown(Ok("none [integrity] confidentiality".to_owned())).detail,
            "integrity"
        );
        let unreadable = judge_lockdown(Err(io::ErrorKind::NotFound.into()));
        assert_eq!(unreadable.state, State::Info);
    }

    #[test]
    fn token_volumes_are_counted_below_the_kubelets_pods_only() {
        let mount = |point: &str| format!("30 20 0:27 / {point} rw - tmpfs tmpfs rw\n");
        let text: String = [
            "/var/lib/kubelet/pods/u1/volumes/kubernetes.io~projected/token",
            "/var/lib/kubelet/pods/u2/volumes/kubernetes.io~projected/token",
            "/var/lib/kubelet/pods/u2/volumes/kubernetes.io~secret/s",
            "/other/pods/u3/volumes/kubernetes.io~projected/token",
        ]
        .map(mount)
        .concat();
        assert_eq!(
            count_token_volumes(text.as_bytes(), Path::new("/var/lib/kubelet/pods")),
            2
        );
    }

    #[test]
    fn only_what_is_missing_is_to_be_removed_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        assert_eq!(
            missing_ancestors(&path),
            [dir.path().join("a/b"), dir.path().join("a")]
        );
        assert!(missing_ancestors(dir.path()).is_empty());
    }
}
