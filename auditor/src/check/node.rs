//! The machine around the probes.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::report::{Check, State};
use crate::{
    cli::{Failure, RunConfig},
    metrics::Listener,
    node::find_cgroup_root,
    probe::FileCanary,
    report::Output,
    run::setup,
    state::StateDir,
};

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

pub fn kernel() -> Check {
    let detail = format!("{} {}", setup::kernel_release(), std::env::consts::ARCH);
    Check::new("kernel", State::Info, detail)
}

/// Whether it matters is told by the probes.
pub fn lockdown() -> Check {
    judge_lockdown(fs::read_to_string(LOCKDOWN))
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

pub fn cgroup(config: &RunConfig) -> Check {
    match setup::cgroups(config) {
        Ok(_) => {
            let found = config
                .cgroup_root
                .clone()
                .map(Ok)
                .unwrap_or_else(|| find_cgroup_root(&config.host_proc));
            let path = found.map_or_else(|_| "found".to_owned(), |path| path.display().to_string());
            Check::ok("cgroup-v2", path)
        }
        Err(failure) => Check::failed("cgroup-v2", &failure),
    }
}

pub fn mountinfo(config: &RunConfig, canary: Option<FileCanary>) -> Check {
    let host_mnt_ns = canary.and_then(|canary| canary.host_mnt_ns);
    match setup::volumes(config, host_mnt_ns) {
        Ok(_) => {
            let path = config.host_proc.join("1/mountinfo");
            Check::ok("mountinfo", path.display().to_string())
        }
        Err(failure) => Check::failed("mountinfo", &failure),
    }
}

/// `run` starts without, since it may come later, and knows no owner of any token until then.
pub fn kubelet_root(config: &RunConfig) -> Check {
    let path = &config.kubelet_root;
    match fs::read_dir(path) {
        Ok(_) => Check::ok("kubelet-root", path.display().to_string()),
        Err(error) => Check::new(
            "kubelet-root",
            State::Degraded,
            format!("{}: {error}; no token's owner is known without", path.display()),
        )
        .remedy(
            "name the kubelet's --root-dir with --kubelet-root (in a pod: mount it at the same path, with \
             mountPropagation: HostToContainer)",
        ),
    }
}

pub fn agent_netns(config: &RunConfig) -> Check {
    let path = config.agent_netns.display();
    match setup::agent_net_ns(config) {
        Ok(Some(_)) => Check::ok("agent-netns", path.to_string()),
        Ok(None) => Check::new(
            "agent-netns",
            State::Degraded,
            format!("{path} cannot be read: those who pose as the agent are not told from it"),
        )
        .remedy("give the auditor CAP_SYS_PTRACE and the host's /proc (--host-proc), or name it with --agent-netns"),
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
    let lock = path.join("lock");
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
