//! What a user could attach instead, as Debian has it: each started, known to trace, and stopped again.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::{Subject, audit::Audit, stream::Stream};
use crate::{
    auditor,
    node::Lab,
    patience,
    sys::{
        empty_program::{Empty, Hook},
        mounts,
    },
};

const TRACEFS: &str = "/sys/kernel/tracing";
/// To attach and to show a first line.
const ATTACH: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Tool {
    None,
    /// A program that returns at once, on the auditor's hook.
    Empty,
    Auditor,
    /// libbpf-tools'.
    Opensnoop,
    /// bpftrace's.
    #[value(name = "opensnoop.bt")]
    OpensnoopBt,
    /// In bpftrace, by hand: the path is compared in the kernel.
    PathCompare,
    Fatrace,
    /// The kernel's audit, a watch on the kubelet's directory.
    Audit,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Empty => "empty",
            Self::Auditor => "auditor",
            Self::Opensnoop => "opensnoop",
            Self::OpensnoopBt => "opensnoop.bt",
            Self::PathCompare => "path-compare",
            Self::Fatrace => "fatrace",
            Self::Audit => "audit",
        }
    }
}

/// A tool at work; stopped when dropped.
pub enum Running {
    Nothing,
    Empty(Empty),
    Auditor(Box<Stream>),
    Program(Program),
    Audit(Audit),
}

impl Running {
    /// # Errors
    /// In the tool's or the kernel's own words where it cannot work here.
    pub fn start(tool: Tool, lab: &Lab, subject: &Subject, open_me: &Path) -> Result<Self> {
        let root = lab.kubelet_root();
        Ok(match tool {
            Tool::None => Self::Nothing,
            Tool::Empty => {
                let hook = match subject.auditor.backend.as_str() {
                    "syscall" => Hook::Tracepoint("sys_exit"),
                    _ => Hook::Fentry("security_file_open"),
                };
                Self::Empty(Empty::attach(hook)?)
            }
            Tool::Auditor => Self::Auditor(Box::new(Stream::start(lab, subject)?)),
            Tool::Opensnoop => {
                let command = Command::new(find("opensnoop", "libbpf-tools")?);
                Self::Program(Program::start(command, open_me)?)
            }
            Tool::OpensnoopBt => {
                let mut command = Command::new(find("bpftrace", "bpftrace")?);
                command.arg(find("opensnoop.bt", "bpftrace")?);
                Self::Program(Program::start(command, open_me)?)
            }
            Tool::PathCompare => {
                let mut command = Command::new(find("bpftrace", "bpftrace")?);
                command.args(["-e", &path_compare(&root)]);
                // What is not there has a path, too.
                Self::Program(Program::start(command, &root.join("nothing-here"))?)
            }
            Tool::Fatrace => {
                let command = Command::new(find("fatrace", "fatrace")?);
                Self::Program(Program::start(command, open_me)?)
            }
            Tool::Audit => Self::Audit(Audit::start(
                &find("auditctl", "auditd")?,
                &root.join("pods"),
            )?),
        })
    }

    /// Lines that the tool has printed; none where that cannot be seen.
    pub fn lines(&self) -> Option<u64> {
        match self {
            Self::Auditor(stream) => Some(stream.seen().lines),
            Self::Program(program) => Some(program.lines.load(Ordering::Relaxed)),
            Self::Nothing | Self::Empty(_) | Self::Audit(_) => None,
        }
    }

    /// The process whose time is the tool's.
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Auditor(stream) => Some(stream.pid()),
            Self::Program(program) => Some(program.child.id()),
            Self::Nothing | Self::Empty(_) | Self::Audit(_) => None,
        }
    }
}

/// Paths below the kubelet's directory, and those at which containers see their tokens. Written as well as bpftrace 0.17 lets it:
/// one comparison decides about most opens, and nothing is stored for those that do not match.
fn path_compare(kubelet_root: &Path) -> String {
    let root = kubelet_root.to_string_lossy();
    let tokens = "/var/run/secrets/";
    format!(
        "tracepoint:syscalls:sys_enter_openat \
         /strncmp(str(args->filename), \"{tokens}\", {}) == 0 || strncmp(str(args->filename), \"{root}\", {}) == 0/ \
         {{ printf(\"%d %s %s\\n\", pid, comm, str(args->filename)); }}",
        tokens.len(),
        root.len()
    )
}

fn find(program: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = crate::helpers_beside_self()?;
    let directories = std::env::split_paths(&path).chain([beside, "/usr/sbin".into()]);
    let mut files = directories.map(|directory| directory.join(program));
    let found = files.find(|file| file.is_file());
    found.with_context(|| format!("no `{program}` here (Debian's {package} has it)"))
}

/// A program that prints a line for each open that it sees; the lines are counted and thrown away.
pub struct Program {
    child: Child,
    lines: Arc<AtomicU64>,
}

impl Program {
    /// Waits until it has printed something for `open_me`: its output is buffered, so that takes many opens.
    fn start(mut command: Command, open_me: &Path) -> Result<Self> {
        let log = std::env::temp_dir().join(format!("measured-tool-{}.log", std::process::id()));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?);
        let child = command.spawn();
        let mut child = child.with_context(|| format!("start {:?}", command.get_program()))?;
        let mut output = child.stdout.take().context("no standard output")?;
        let lines = Arc::new(AtomicU64::new(0));
        let mut this = Self {
            child,
            lines: Arc::clone(&lines),
        };
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                let read = buffer.get(..count).unwrap_or_default();
                let ends = read.iter().filter(|byte| **byte == b'\n').count();
                lines.fetch_add(ends as u64, Ordering::Relaxed);
            }
        });
        let traced = this.trace(open_me);
        let said = fs::read_to_string(&log).unwrap_or_default();
        // It holds nothing that is needed again.
        let _ = fs::remove_file(&log);
        traced.with_context(|| {
            said.trim()
                .lines()
                .next_back()
                .unwrap_or("it said nothing")
                .to_owned()
        })?;
        Ok(this)
    }

    fn trace(&mut self, open_me: &Path) -> Result<()> {
        let deadline = Instant::now() + ATTACH * patience();
        // A heading is no trace: two buffers of 4 KiB have more lines.
        let begin = 100;
        while self.lines.load(Ordering::Relaxed) < begin {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            if Instant::now() > deadline {
                bail!(
                    "it traced nothing in {} s",
                    ATTACH.as_secs() * u64::from(patience())
                );
            }
            for _ in 0..50 {
                // A path that is not there is traced, too.
                let _ = File::open(open_me);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if auditor::terminate(&mut self.child, STOP * patience()).is_err() {
            // Both fail only where it has ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// tracefs, which tracepoints by name need; unmounted again where it was not there.
pub struct Tracefs {
    mounted_here: bool,
}

impl Tracefs {
    pub fn mounted() -> Result<Self> {
        let mounted_here = !mounts::list()?
            .iter()
            .any(|mount| mount.fs_type == "tracefs");
        if mounted_here {
            mount("tracefs", TRACEFS, "tracefs", MountFlags::empty(), None)
                .with_context(|| format!("mount {TRACEFS}"))?;
        }
        Ok(Self { mounted_here })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.mounted_here
            && let Err(error) = unmount(TRACEFS, UnmountFlags::DETACH)
        {
            eprintln!("{TRACEFS} stays mounted: {error}");
        }
    }
}
