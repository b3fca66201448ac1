//! One guest: its kernel, what it is given to do, and what its console makes of it.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Args, Backend, alerts,
    arch::Arch,
    console::Console,
    initramfs::{self, Contents},
    job::{self, job},
    judge,
    kernels::{Kernel, Line},
    modules,
    qemu::{self, Machine, Outcome},
    runtime::Runtime,
    temporary::Unnamed,
    verified::{self, Probe},
};
use crate::{
    apt,
    build::Built,
    summary::{Counts, Format, Tally},
};

/// What the lab makes its node of and the cloud kernel has as modules.
pub const MODULES: [&str; 3] = ["veth", "overlay", "dummy"];
/// No scene is so long without a line, even one whose lines do not come.
const SILENCE: Duration = Duration::from_secs(300);

/// A kernel line on an architecture.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    pub line: &'static Line,
    pub arch: Arch,
}

impl Target {
    /// What `auto` must choose to watch opens; none where it is not known what the kernel offers.
    pub fn best(self) -> Option<Backend> {
        let is_allowed = |backend: &Backend| self.line.refusal(self.arch, *backend).is_none();
        Backend::ALL.into_iter().find(is_allowed)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.line.name, self.arch.name())
    }
}

/// What goes into the guests of an architecture.
pub struct Binaries {
    pub arch: Arch,
    pub auditor: PathBuf,
    pub lab: PathBuf,
    pub helpers: Vec<PathBuf>,
    /// For exec probes that are scripts or `sh -c`.
    pub shell: PathBuf,
}

impl Binaries {
    pub fn host(arch: Arch, built: &Built) -> Self {
        Self::foreign(arch, built, PathBuf::from("/bin/sh"))
    }

    pub fn foreign(arch: Arch, built: &Built, shell: PathBuf) -> Self {
        Self {
            arch,
            auditor: built.auditor.clone(),
            lab: built.lab.clone(),
            helpers: built.helpers.clone(),
            shell,
        }
    }
}

/// A guest, ready to boot.
pub struct Guest {
    pub target: Target,
    kernel: Kernel,
    initramfs: Unnamed,
    jobs: usize,
}

/// How a boot went.
#[derive(Debug)]
pub struct Report {
    pub target: Target,
    pub console: Console,
    pub counts: Counts,
    /// What is wrong and is no scene's.
    pub notes: Vec<String>,
    pub took: Duration,
    /// Processor time that QEMU took, of all its threads: the measure where other work shares the machine.
    pub processor: Duration,
}

impl Report {
    /// A guest that could not be had or started: the others are booted all the same.
    pub fn unbooted(target: Target, error: &anyhow::Error) -> Self {
        let failed = Counts {
            failed: 1,
            ..Counts::default()
        };
        Self {
            target,
            console: Console::default(),
            counts: lenient(target, failed),
            notes: vec![format!("not booted: {error:#}")],
            took: Duration::ZERO,
            processor: Duration::ZERO,
        }
    }
}

/// What fails on a kernel of best effort is shown, never a failure.
fn lenient(target: Target, counts: Counts) -> Counts {
    if !target.line.best_effort {
        return counts;
    }
    Counts {
        passed: counts.passed,
        failed: 0,
        skipped: counts.skipped + counts.failed,
    }
}

/// Fetches the kernel and packs the guest's root.
pub fn prepare(target: Target, binaries: &Binaries, args: &Args) -> Result<Guest> {
    let (program, package) = target.arch.qemu();
    apt::ensure_program(program, package, "boots the kernel without KVM")?;
    apt::ensure_program("xz", "xz-utils", "unpacks kernel modules")?;
    let kernel = target.line.kernel(target.arch)?;
    let job = job(target, args);
    let runtime = job::has_containers(target, args)
        .then(Runtime::here)
        .transpose()?;
    let contents = initramfs::build(&Contents {
        binaries,
        modules: &modules::collect(&kernel.modules, &MODULES)?,
        job: &job,
        runtime: runtime.as_ref(),
    })?;
    println!(
        "==> {target}: {}, initramfs {} MiB",
        kernel.package,
        contents.len() >> 20
    );
    Ok(Guest {
        target,
        kernel,
        initramfs: Unnamed::write(&contents)?,
        // The corpus begins in the console as a job of its own does.
        jobs: job.lines().count() + job.matches("--corpus").count(),
    })
}

/// Boots it, and judges its console.
pub fn run(guest: &Guest, args: &Args) -> Report {
    boot(guest, args).unwrap_or_else(|error| Report::unbooted(guest.target, &error))
}

fn boot(guest: &Guest, args: &Args) -> Result<Report> {
    let target = guest.target;
    let begun = Instant::now();
    let mut tally = Tally::new(Format::Lab);
    let mut console = Console::default();
    let machine = Machine {
        arch: target.arch,
        kernel: &guest.kernel.image,
        initramfs: &guest.initramfs.path(),
        parameters: target.line.parameters,
        processors: args.smp,
        counted: false,
    };
    let limit = Duration::from_secs(args.timeout);
    let limits = qemu::Limits {
        whole: limit,
        // A churn tells nothing before its end.
        silence: args.churn.map_or(SILENCE, |_| limit),
    };
    let qemu::End { outcome, processor } = qemu::boot(&machine, limits, |text| {
        let at = begun.elapsed();
        println!("{target}|{:4}s| {text}", at.as_secs());
        tally.line(text);
        console.line(text, at);
    })?;
    let mut notes = judge::judge(target, &console, args);
    if let Some(trouble) = trouble(&outcome) {
        notes.push(format!("{trouble} {}", console.doing()));
    }
    let jobs = console.jobs().len();
    if jobs != guest.jobs {
        notes.push(format!("{jobs} of {} jobs begun", guest.jobs));
    }
    let succeeded = outcome == Outcome::Success;
    if job::simulates(target, args) {
        let alerts = alerts::check(target, console.samples());
        notes.extend(alerts.err().map(|why| format!("{why:#}")));
    }
    notes.extend(verified(target, console.probes(), args, succeeded));
    let mut counts = if args.probes {
        // No command there ends with a summary.
        Counts {
            passed: u32::from(notes.is_empty() && succeeded),
            failed: u32::from(!succeeded),
            skipped: 0,
        }
    } else {
        tally.finish(succeeded)
    };
    counts.failed += u32::try_from(notes.len()).unwrap_or(u32::MAX);
    Ok(Report {
        target,
        console,
        counts: lenient(target, counts),
        notes,
        took: begun.elapsed(),
        processor,
    })
}

/// What is wrong with the verifier's counts; records them where that is asked for and nothing is.
fn verified(target: Target, probes: &[Probe], args: &Args, succeeded: bool) -> Vec<String> {
    let mut wrong = verified::refused(target.line.best_effort, probes);
    let counted = match (args.record, succeeded && wrong.is_empty()) {
        (true, true) => verified::record(&target.to_string(), probes).map(|()| Vec::new()),
        (true, false) => Ok(vec![
            "nothing is recorded: the guest did not succeed, or a program is refused".to_owned(),
        ]),
        (false, _) => verified::check(&target.to_string(), probes),
    };
    wrong.extend(counted.unwrap_or_else(|error| vec![format!("{error:#}")]));
    wrong
}

/// Ends where the note says what the guest was doing.
fn trouble(outcome: &Outcome) -> Option<String> {
    match outcome {
        // Its failures are counted one by one.
        Outcome::Success | Outcome::Failure => None,
        Outcome::KernelTrouble(message) => {
            Some(format!("the guest's kernel is in trouble: {message};"))
        }
        Outcome::TimedOut(limit) => Some(format!(
            "no end after {} s (--timeout), guest stopped",
            limit.as_secs()
        )),
        Outcome::Hung(limit) => Some(format!(
            "nothing on the console for {} s, guest stopped",
            limit.as_secs()
        )),
        Outcome::Silent(status) => Some(format!(
            "QEMU ended ({status}) before the guest said success or failure,"
        )),
    }
}
