//! A container: a process in its cgroup and namespaces on its own root, made in the order in which runc makes it.

mod root;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::Command,
};

use anyhow::{Context, Result, bail};
use rustix::{
    process::{Pid, PidfdFlags, WaitOptions, pidfd_open, waitpid},
    thread::{
        LinkNameSpaceType, ThreadNameSpaceType, UnshareFlags, move_into_link_name_space,
        move_into_thread_name_spaces, unshare_unsafe,
    },
};
use serde::{Deserialize, Serialize};

use crate::{
    cgroup,
    sys::{
        capabilities,
        fork::{Fork, SingleThreaded},
        netns,
    },
};

/// Where the helper programs are found inside every container.
pub const HELPERS: &str = "/lab/bin";

/// A mount that the container gets besides its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub source: PathBuf,
    /// Absolute, as the container sees it.
    pub target: PathBuf,
    pub read_only: bool,
    /// `rslave` (HostToContainer) instead of `rprivate`: later mounts of the host appear too.
    pub host_to_container: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The cgroup's directory, which exists.
    pub cgroup: PathBuf,
    /// The network namespace to join, by file.
    pub netns: PathBuf,
    /// Stay in the host's pid namespace.
    pub host_pid: bool,
    /// An empty directory to mount the root on.
    pub root: PathBuf,
    /// The host's directory of helper programs, mounted at [`HELPERS`].
    pub helpers: PathBuf,
    pub mounts: Vec<Mount>,
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// The bounding set.
    pub capabilities: u64,
}

/// A container's process and the other ends of its stdin and stdout.
pub struct Started {
    pub pid: Pid,
    pub stdin: PipeWriter,
    pub stdout: BufReader<PipeReader>,
}

/// Starts the container's init: inside its cgroup from its first instruction on, with the caller as its parent.
pub fn start(spec: &ContainerSpec, single: SingleThreaded) -> Result<Started> {
    spawn(
        single,
        || {
            cgroup::join(&spec.cgroup)?;
            let net = netns::open(&spec.netns)?;
            move_into_link_name_space(net.as_fd(), Some(LinkNameSpaceType::Network))
                .context("enter the pod's network")?;
            let mut flags = UnshareFlags::NEWNS
                | UnshareFlags::NEWUTS
                | UnshareFlags::NEWIPC
                | UnshareFlags::NEWCGROUP;
            if !spec.host_pid {
                flags |= UnshareFlags::NEWPID;
            }
            // SAFETY: this process has one thread and no descriptor table is unshared.
            unsafe { unshare_unsafe(flags) }.context("unshare the container's namespaces")
        },
        || {
            root::make(spec)?;
            capabilities::bound_to(spec.capabilities)?;
            command(&spec.argv, Some(&spec.env))
        },
    )
}

/// Starts a process in a running container as `kubectl exec` does: it joins the cgroup and namespaces from outside, so
/// that its parent is the shim and not the container's init.
pub fn exec(
    spec: &ContainerSpec,
    init: Pid,
    argv: &[String],
    single: SingleThreaded,
) -> Result<Started> {
    spawn(
        single,
        || {
            let target =
                pidfd_open(init, PidfdFlags::empty()).context("find the container's init")?;
            cgroup::join(&spec.cgroup)?;
            let all = ThreadNameSpaceType::MOUNT
                | ThreadNameSpaceType::PROCESS_ID
                | ThreadNameSpaceType::NETWORK
                | ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION
                | ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME
                | ThreadNameSpaceType::CONTROL_GROUP;
            move_into_thread_name_spaces(target.as_fd(), all)
                .context("enter the container's namespaces")
        },
        || {
            capabilities::bound_to(spec.capabilities)?;
            command(argv, Some(&spec.env))
        },
    )
}

/// Forks a child that runs `enter`, whose sibling then runs what `prepare` returns. (A process never moves into another
/// pid namespace itself, only its children do.)
fn spawn(
    single: SingleThreaded,
    enter: impl FnOnce() -> Result<()>,
    prepare: impl FnOnce() -> Result<Command>,
) -> Result<Started> {
    let (stdin_read, stdin) = std::io::pipe()?;
    let (stdout, stdout_write) = std::io::pipe()?;
    let (mut report, mut report_write) = std::io::pipe()?;
    let middle = match single.fork()? {
        Fork::Parent(pid) => pid,
        Fork::Child => {
            let result = enter().and_then(|()| Ok(single.fork_sibling()?));
            match result {
                Ok(Fork::Parent(pid)) => {
                    let written = writeln!(report_write, "{}", pid.as_raw_nonzero());
                    std::process::exit(i32::from(written.is_err()));
                }
                Ok(Fork::Child) => {
                    let error = run(prepare, &stdin_read, &stdout_write);
                    let _ = writeln!(report_write, "error {error:#}");
                }
                Err(e) => {
                    let _ = writeln!(report_write, "error {e:#}");
                }
            }
            std::process::exit(127);
        }
    };
    drop((stdin_read, stdout_write, report_write));
    // Ends when the middle process has ended and the last one has executed its program.
    let mut said = String::new();
    report.read_to_string(&mut said)?;
    waitpid(Some(middle), WaitOptions::empty())?;
    if let Some(error) = said.lines().find_map(|l| l.strip_prefix("error ")) {
        bail!("{error}");
    }
    let pid = said
        .trim()
        .parse()
        .ok()
        .and_then(Pid::from_raw)
        .context("the container's process did not report")?;
    Ok(Started {
        pid,
        stdin,
        stdout: BufReader::new(stdout),
    })
}

/// Becomes the prepared command; returns only the reason why that failed.
fn run(
    prepare: impl FnOnce() -> Result<Command>,
    stdin: &PipeReader,
    stdout: &PipeWriter,
) -> anyhow::Error {
    let ready = prepare().and_then(|command| {
        rustix::stdio::dup2_stdin(stdin)?;
        rustix::stdio::dup2_stdout(stdout)?;
        Ok(command)
    });
    match ready {
        Ok(mut command) => {
            let error = command.exec();
            anyhow::Error::new(error).context(format!("execute {:?}", command.get_program()))
        }
        Err(e) => e,
    }
}

fn command(argv: &[String], env: Option<&BTreeMap<String, String>>) -> Result<Command> {
    let (program, args) = argv.split_first().context("an empty command line")?;
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", format!("{HELPERS}:/usr/bin:/bin"));
    command.envs(env.into_iter().flatten());
    Ok(command)
}

/// Reads what the process writes until it ends, and its exit status.
pub fn finish(mut started: Started) -> Result<crate::wire::Output> {
    drop(started.stdin);
    let mut stdout = String::new();
    started.stdout.read_to_string(&mut stdout)?;
    Ok(crate::wire::Output {
        pid: started.pid.as_raw_nonzero().get().unsigned_abs(),
        status: wait(started.pid)?,
        stdout,
    })
}

/// Exit code, or 128 + signal.
pub fn wait(pid: Pid) -> Result<i32> {
    let (_, status) =
        waitpid(Some(pid), WaitOptions::empty())?.context("the process has no status yet")?;
    Ok(status
        .exit_status()
        .or(status.terminating_signal().map(|s| 128 + s))
        .unwrap_or(255))
}

/// One line of a conversation with the container's init.
pub fn tell(started: &mut Started, line: &str) -> Result<String> {
    writeln!(started.stdin, "{line}").context("the container's init is gone")?;
    let mut reply = String::new();
    if started.stdout.read_line(&mut reply)? == 0 {
        bail!("the container's init ended");
    }
    Ok(reply)
}
