//! `cargo xtask vm-test`: distributions' kernels in QEMU play the lab's scenes on backends that this machine may refuse.

mod alerts;
pub mod arch;
mod console;
mod counted;
mod cpio;
pub mod cross;
mod guest;
mod initramfs;
mod job;
mod judge;
mod kernels;
mod libraries;
mod markdown;
mod matrix;
mod modules;
mod qemu;
mod runtime;
mod side_by_side;
mod temporary;
mod verified;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Result, anyhow};
use clap::ValueEnum;

use crate::{
    build::{self, Built},
    process,
    summary::Counts,
};
use arch::Arch;
use guest::{Binaries, Guest, Report, Target};
use kernels::Line;
use matrix::Matrix;

pub use counted::{Counted, run as counted};
pub use verified::check_here;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vm-test                                       the whole matrix
  cargo xtask vm-test --kernel 6.1 --kernel 6.12            two kernels on x86-64
  cargo xtask vm-test --arch aarch64                        Graviton's: 6.1 and 6.12
  cargo xtask vm-test --kernel 6.12 --backend syscall --scene own-irsa
  cargo xtask vm-test --kernel 6.12 --backend fentry --scene own-irsa --containers --simulate
  cargo xtask vm-test --probes --record                     only load the programs, and record what the verifier counts
  cargo xtask vm-test --kernel 6.12 --backend fentry --churn 1000")]
pub struct Args {
    /// A kernel line to boot, or `all`; repeatable. Default: those that are tested on the architecture.
    #[arg(long)]
    kernel: Vec<String>,
    /// The architecture to emulate; repeatable. Default: x86_64 with --kernel, else both.
    #[arg(long)]
    arch: Vec<Arch>,
    /// A backend to play the scenes on; repeatable. Default: all, on 5.10 only fentry.
    #[arg(long)]
    backend: Vec<Backend>,
    /// Backends that play the evasion corpus and no scene.
    #[arg(skip)]
    corpus_only: Vec<Backend>,
    /// Only this scene; repeatable. Without --technique, none of the evasion corpus.
    #[arg(long)]
    scene: Vec<String>,
    /// Only this technique of the evasion corpus; repeatable. Without --scene, no scene.
    #[arg(long)]
    technique: Vec<String>,
    /// Also prints the auditor's lines of these scenes, as JSON and as OCSF: what `docs/samples` takes of hooks that this machine
    /// refuses.
    #[arg(long, requires = "scene")]
    lines: bool,
    /// Also run the auditor in a container as the DaemonSet has it, by this machine's containerd and runc. So it is without flags, too.
    #[arg(long)]
    containers: bool,
    /// Also play the attack simulation, and hold the alerts against what the auditor's metrics say of it. So it is without flags, too.
    #[arg(long)]
    simulate: bool,
    /// No scenes: only load every program and compare the verifier's counts.
    #[arg(long)]
    probes: bool,
    /// Also mount, open and unmount token volumes this many times on each backend.
    #[arg(long, value_name = "CYCLES")]
    churn: Option<u32>,
    /// Writes the verifier's counts to tests/verified_insns instead of comparing them.
    #[arg(long)]
    record: bool,
    /// Writes the matrix as Markdown, too: between the marks `<!-- matrix -->` and `<!-- /matrix -->` of a file that has
    /// them, else the whole file.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// How many guests run side by side; each takes up to 1 GiB. They may be more than there are processors: some scenes do
    /// nothing but wait for a time limit.
    #[arg(long, default_value_t = 4)]
    jobs: usize,
    /// Processors of each guest.
    #[arg(long, default_value_t = 1)]
    smp: u32,
    /// Seconds after which a boot counts as hung.
    #[arg(long, default_value_t = 1800)]
    timeout: u64,
}

/// A way to attach the probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    Fentry,
    Kprobe,
    Syscall,
}

impl Backend {
    pub const ALL: [Self; 3] = [Self::Fentry, Self::Kprobe, Self::Syscall];

    /// As `auditor run --backend` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fentry => "fentry",
            Self::Kprobe => "kprobe",
            Self::Syscall => "syscall",
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Self {
            kernel: Vec::new(),
            arch: Vec::new(),
            backend: Vec::new(),
            corpus_only: Vec::new(),
            scene: Vec::new(),
            technique: Vec::new(),
            lines: false,
            containers: false,
            simulate: false,
            probes: false,
            churn: None,
            record: false,
            markdown: None,
            jobs: 4,
            smp: 1,
            timeout: 1800,
        }
    }
}

impl Args {
    /// What every change is tested on: the oldest and the newest line of EKS' Amazon Linux 2023. Of the syscall backend only
    /// the corpus: this machine's own kernel plays its scenes ([`crate::test`]), and emulation is slow.
    pub fn ci() -> Self {
        Self {
            kernel: ["6.1", "6.12"].map(str::to_owned).to_vec(),
            corpus_only: vec![Backend::Syscall],
            ..Self::default()
        }
    }

    /// Those that a kernel line is played on. One of best effort has no claim to a third of the matrix' time: on fentry alone, which it
    /// would choose, unless others are asked for.
    fn backends(&self, line: &Line) -> Vec<Backend> {
        match (self.backend.is_empty(), line.best_effort) {
            (false, _) => self.backend.clone(),
            (true, true) => vec![Backend::Fentry],
            (true, false) => Backend::ALL.to_vec(),
        }
    }

    /// Scenes and corpus.
    fn plays_all(&self) -> bool {
        self.scene.is_empty() && self.technique.is_empty()
    }

    /// Whether scenes are played on the backend.
    fn plays(&self, backend: Backend) -> bool {
        (self.plays_all() && !self.corpus_only.contains(&backend)) || !self.scene.is_empty()
    }

    /// Whether the evasion corpus is played.
    fn evades(&self) -> bool {
        self.plays_all() || !self.technique.is_empty()
    }
}

/// Builds, boots, and ends with `N passed, N failed, N skipped`.
pub fn run(args: &Args) -> Result<ExitCode> {
    let built = build::release()?;
    let counts = boot(args, &built)?;
    println!("{counts}");
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Boots each kernel once for all backends.
///
/// # Errors
/// When the flags are wrong, or the Markdown cannot be written. A guest that fails or cannot be had is a failed count, not an
/// error: the others are still of interest.
pub fn boot(args: &Args, built: &Built) -> Result<Counts> {
    let targets = targets(args)?;
    if let Some(file) = &args.markdown {
        markdown::check(file)?;
    }
    let binaries = binaries(&targets, built);
    // Fetching is one at a time; booting is not.
    let guests: Vec<Result<Guest, Box<Report>>> = targets
        .into_iter()
        .map(|target| {
            let prepared = of_arch(&binaries, target.arch)
                .and_then(|binaries| guest::prepare(target, binaries, args));
            prepared.map_err(|error| Box::new(Report::unbooted(target, &error)))
        })
        .collect();
    let begun = Instant::now();
    let booted: Vec<_> = guests
        .iter()
        .filter_map(|guest| guest.as_ref().ok())
        .collect();
    let mut booted =
        side_by_side::run(&booted, args.jobs, |guest| guest::run(guest, args)).into_iter();
    let mut matrix = Matrix::default();
    let mut counts = Counts::default();
    let reports = guests
        .into_iter()
        .filter_map(|guest| guest.map_or_else(|report| Some(*report), |_| booted.next()));
    for report in reports {
        let Report {
            target,
            console,
            counts: counted,
            notes,
            took,
            processor,
        } = report;
        println!(
            "==> {target}: {counted}, {:.0} s, {:.0} s of processor time",
            took.as_secs_f64(),
            processor.as_secs_f64()
        );
        notes
            .iter()
            .for_each(|note| println!("vm-test: {target}: {note}"));
        counts += counted;
        matrix.add(&target.to_string(), console);
    }
    print!("{matrix}{}", matrix.slowest());
    println!("==> all guests: {:.0} s", begun.elapsed().as_secs_f64());
    if let Some(file) = &args.markdown {
        markdown::write(file, &markdown::table(&matrix))?;
    }
    Ok(counts)
}

/// The guests that the flags ask for.
fn targets(args: &Args) -> Result<Vec<Target>> {
    let lines = if args.kernel.is_empty() {
        kernels::lines(&["all".to_owned()])?
    } else {
        kernels::lines(&args.kernel)?
    };
    let arches = match (args.arch.as_slice(), args.kernel.is_empty()) {
        ([], true) => &Arch::ALL[..],
        ([], false) => &[Arch::X86_64],
        (arches, _) => arches,
    };
    let mut targets = Vec::new();
    for arch in arches {
        for line in &lines {
            // A kernel asked for by its name is booted wherever it is asked for.
            if !args.kernel.is_empty() || line.tested_on.contains(arch) {
                targets.push(Target { line, arch: *arch });
            }
        }
    }
    Ok(targets)
}

/// The binaries of each architecture that a guest has, or why there are none.
fn binaries(targets: &[Target], built: &Built) -> Vec<(Arch, Result<Binaries>)> {
    let wanted = Arch::ALL
        .into_iter()
        .filter(|arch| targets.iter().any(|target| target.arch == *arch));
    wanted
        .map(|arch| {
            let binaries = if arch.is_host() {
                Ok(Binaries::host(arch, built))
            } else {
                let what = format!("building for {}", arch.name());
                let built = process::step(&what, "the guest runs the real auditor", || {
                    cross::build(arch)
                });
                built.map(|cross| Binaries::foreign(arch, &cross.built, cross.shell))
            };
            (arch, binaries)
        })
        .collect()
}

fn of_arch(all: &[(Arch, Result<Binaries>)], wanted: Arch) -> Result<&Binaries> {
    let found = all.iter().find(|(arch, _)| *arch == wanted);
    match found {
        Some((_, Ok(binaries))) => Ok(binaries),
        Some((_, Err(error))) => Err(anyhow!("{error:#}")),
        None => Err(anyhow!("no binaries for {}", wanted.name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(args: &Args) -> Vec<String> {
        let targets = targets(args).unwrap();
        targets.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn without_flags_it_is_the_whole_matrix() {
        let expected = [
            "5.10 x86_64",
            "6.1 x86_64",
            "6.12 x86_64",
            "6.18 x86_64",
            "6.1 aarch64",
            "6.12 aarch64",
        ];
        assert_eq!(named(&Args::default()), expected);
    }

    #[test]
    fn flags_narrow_it() {
        let args = Args {
            kernel: vec!["6.18".into()],
            ..Args::default()
        };
        assert_eq!(named(&args), ["6.18 x86_64"]);
        let args = Args {
            arch: vec![Arch::Aarch64],
            ..Args::default()
        };
        assert_eq!(named(&args), ["6.1 aarch64", "6.12 aarch64"]);
        assert_eq!(named(&Args::ci()), ["6.1 x86_64", "6.12 x86_64"]);
    }

    #[test]
    fn every_backend_is_played_and_ci_plays_the_corpus_alone_on_one() {
        let (whole, ci) = (Args::default(), Args::ci());
        let backends =
            |args: &Args, line: &str| args.backends(kernels::lines(&[line.to_owned()]).unwrap()[0]);
        assert_eq!(backends(&whole, "6.18"), Backend::ALL);
        assert_eq!(backends(&ci, "6.1"), Backend::ALL);
        assert_eq!(backends(&whole, "5.10"), [Backend::Fentry]);
        let played = |args: &Args| Backend::ALL.map(|backend| args.plays(backend));
        assert_eq!(played(&whole), [true, true, true]);
        assert_eq!(played(&ci), [true, true, false]);
        assert!(whole.evades() && ci.evades());
        let technique = Args {
            technique: vec!["open".into()],
            ..Args::default()
        };
        assert_eq!(played(&technique), [false, false, false]);
        assert!(technique.evades());
    }

    #[test]
    fn a_missing_architecture_is_the_error_of_its_guests_alone() {
        let all = [(Arch::Aarch64, Err(anyhow!("no linker")))];
        let error = of_arch(&all, Arch::Aarch64).err().unwrap();
        assert_eq!(error.to_string(), "no linker");
        for (name, counted) in [("6.12", (1, 0)), ("5.10", (0, 1))] {
            let line = kernels::lines(&[name.to_owned()]).unwrap()[0];
            let arch = Arch::Aarch64;
            let report = Report::unbooted(Target { line, arch }, &error);
            let Counts {
                failed, skipped, ..
            } = report.counts;
            assert_eq!((failed, skipped), counted);
            assert_eq!(report.notes, ["not booted: no linker"]);
        }
    }
}
