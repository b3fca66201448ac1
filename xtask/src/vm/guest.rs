//! One guest: its kernel, what it is given to do, and what its console makes of it.

use std::{
    fmt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::{
    Args, Backend,
    arch::Arch,
    console::{Console, EVADE},
    initramfs::{self, Contents},
    judge,
    kernels::{Kernel, Line},
    modules,
    qemu::{self, Machine, Outcome},
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
/// Played with `--backend auto`, which must choose by itself.
const AUTO_SCENE: &str = "own-irsa";

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
    let contents = initramfs::build(&Contents {
        binaries,
        modules: &modules::collect(&kernel.modules, &MODULES)?,
        job: &job,
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

/// The guest's job: one `lab` command line a line.
fn job(target: Target, args: &Args) -> String {
    let mut lines = "probes --auditor /auditor\n".to_owned();
    if args.probes {
        return lines;
    }
    // What the kernel refuses has no probe to prove.
    let is_allowed = |backend: &Backend| target.line.refusal(target.arch, *backend).is_none();
    let plain = |what: &str, backend: Backend| {
        format!("{what} --auditor /auditor --backend {}", backend.name())
    };
    let play = |what: &str, backend: &str, names: &[String]| {
        let mut line =
            format!("{what} --auditor /auditor --backend {backend} --accept-refusal --color never");
        for name in names {
            line.push_str(&format!(" --scene {name}"));
        }
        line + "\n"
    };
    let backends = args.backends(target.line);
    // A start of the auditor costs a guest as much as a dozen scenes. Where something may be refused, each is asked for by itself.
    let at_once = |backend: Backend| {
        let is_whole = args.plays_all() && args.plays(backend);
        is_whole && !target.line.best_effort && is_allowed(&backend)
    };
    // Its column is played as `auto` has it, which must choose it.
    let best = target
        .best()
        .filter(|best| backends.contains(best) && at_once(*best));
    if best.is_none() {
        lines += &play("play", "auto", &[AUTO_SCENE.to_owned()]);
    }
    // Once: it tries every way to watch every hook, and a backend whose canaries are silent starts no scene.
    if !target.line.best_effort {
        lines += "check --auditor /auditor --backend auto --color never\n";
    }
    for backend in backends {
        if best == Some(backend) {
            let what = format!("play --corpus --must-choose {}", backend.name());
            lines += &play(&what, "auto", &[]);
            continue;
        }
        if at_once(backend) {
            lines += &play("play --corpus", backend.name(), &[]);
            continue;
        }
        let whats: &[&str] = match args.lines {
            false => &["play"],
            true => &["play --print-lines", "play --print-lines --output ocsf"],
        };
        for what in whats.iter().filter(|_| args.plays(backend)) {
            lines += &play(what, backend.name(), &args.scene);
        }
        if args.evades() {
            lines += &play(EVADE, backend.name(), &args.technique);
        }
    }
    if let Some(cycles) = args.churn {
        for backend in args.backends(target.line).into_iter().filter(is_allowed) {
            lines += &format!("{} --cycles {cycles}\n", plain("churn", backend));
        }
    }
    // The last: nothing works afterwards.
    if target.line.is_locked_down() && args.plays_all() {
        lines += "lockdown --auditor /auditor --color never\n";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels;

    fn on(name: &str) -> Target {
        let line = kernels::lines(&[name.to_owned()]).unwrap()[0];
        Target {
            line,
            arch: Arch::Aarch64,
        }
    }

    #[test]
    fn a_job_is_one_command_a_line() {
        let args = Args {
            scene: vec!["a".into()],
            technique: vec!["b".into()],
            backend: vec![Backend::Fentry],
            churn: Some(9),
            ..Args::default()
        };
        let expected = "probes --auditor /auditor\n\
            play --auditor /auditor --backend auto --accept-refusal --color never --scene own-irsa\n\
            check --auditor /auditor --backend auto --color never\n\
            play --auditor /auditor --backend fentry --accept-refusal --color never --scene a\n\
            evade --auditor /auditor --backend fentry --accept-refusal --color never --scene b\n\
            churn --auditor /auditor --backend fentry --cycles 9\n";
        assert_eq!(job(on("6.12"), &args), expected);
        let args = Args {
            probes: true,
            ..Args::default()
        };
        assert_eq!(job(on("6.12"), &args), "probes --auditor /auditor\n");
    }

    #[test]
    fn scenes_and_corpus_share_an_auditor_where_neither_can_be_refused() {
        let at_once = |name| job(on(name), &Args::default()).matches("--corpus").count();
        // On arm64 6.1 refuses fentry.
        assert_eq!(
            [at_once("5.10"), at_once("6.1"), at_once("6.12")],
            [0, 2, 3]
        );
        assert_eq!(job(on("6.12"), &Args::ci()).matches("evade").count(), 1);
    }

    #[test]
    fn auto_must_choose_the_best_there_is() {
        let auto = |name| {
            let job = job(on(name), &Args::default());
            let lines = job
                .lines()
                .filter(|line| line.contains("play") && line.contains("auto "));
            let words = lines.map(|line| {
                line.split(" --auditor")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
            words.collect::<Vec<_>>()
        };
        assert_eq!(auto("5.10"), ["play"]);
        assert_eq!(auto("6.1"), ["play --corpus --must-choose kprobe"]);
        assert_eq!(auto("6.12"), ["play --corpus --must-choose fentry"]);
    }

    #[test]
    fn a_kernel_is_locked_down_further_when_all_was_played() {
        let last = |name, args: &Args| job(on(name), args).lines().last().map(str::to_owned);
        let is_locked = |name| {
            let last = last(name, &Args::default());
            last.is_some_and(|line| line.starts_with("lockdown "))
        };
        assert_eq!([is_locked("6.1"), is_locked("6.12")], [false, true]);
        let churn = Args {
            churn: Some(9),
            ..Args::ci()
        };
        assert!(last("6.12", &churn).unwrap().starts_with("lockdown "));
    }

    #[test]
    fn a_node_is_checked_once_where_all_must_work() {
        let checked = |name| job(on(name), &Args::default()).matches("check ").count();
        assert_eq!(
            [checked("5.10"), checked("6.1"), checked("6.12")],
            [0, 1, 1]
        );
    }
}
