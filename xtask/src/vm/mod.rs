//! `cargo xtask vm-test`: distributions' kernels in QEMU play the lab's scenes on backends that this machine may refuse.

mod arch;
mod cpio;
mod cross;
mod guest;
mod initramfs;
mod kernels;
mod libraries;
mod matrix;
mod modules;
mod qemu;
mod side_by_side;
mod verified;

use std::{fs, path::PathBuf, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{
    build::{self, Built},
    process,
    summary::Counts,
};
use arch::Arch;
use guest::{Binaries, Report, Target};
use matrix::Matrix;

pub use verified::check_here;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vm-test                                       the whole matrix
  cargo xtask vm-test --kernel 6.1 --kernel 6.12            two kernels on x86-64
  cargo xtask vm-test --arch aarch64                        Graviton's: 6.1 and 6.12
  cargo xtask vm-test --kernel 6.12 --backend syscall --scene own-irsa
  cargo xtask vm-test --probes --record                     only load the programs, and record what the verifier counts
  cargo xtask vm-test --kernel 6.12 --backend fentry --churn 1000")]
pub struct Args {
    /// A kernel line to boot, or `all`; repeatable. Default: those that are tested on the architecture.
    #[arg(long)]
    kernel: Vec<String>,
    /// The architecture to emulate; repeatable. Default: x86_64 with --kernel, else both.
    #[arg(long)]
    arch: Vec<Arch>,
    /// A backend to play the scenes on; repeatable. Default: fentry and kprobe.
    #[arg(long)]
    backend: Vec<Backend>,
    /// Only this scene; repeatable. Without --technique, none of the evasion corpus.
    #[arg(long)]
    scene: Vec<String>,
    /// Only this technique of the evasion corpus; repeatable. Without --scene, no scene.
    #[arg(long)]
    technique: Vec<String>,
    /// No scenes: only load every program and compare the verifier's counts.
    #[arg(long)]
    probes: bool,
    /// Also mount, open and unmount token volumes this many times on each backend.
    #[arg(long, value_name = "CYCLES")]
    churn: Option<u32>,
    /// Writes the verifier's counts to tests/verified_insns instead of comparing them.
    #[arg(long)]
    record: bool,
    /// Writes the matrix as Markdown, too.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// How many guests run side by side.
    #[arg(long, default_value_t = 2)]
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
            scene: Vec::new(),
            technique: Vec::new(),
            probes: false,
            churn: None,
            record: false,
            markdown: None,
            jobs: 2,
            smp: 1,
            timeout: 1800,
        }
    }
}

impl Args {
    /// What every change is tested on: the oldest and the newest line of EKS' Amazon Linux 2023.
    pub fn ci() -> Self {
        Self {
            kernel: ["6.1", "6.12"].map(str::to_owned).to_vec(),
            ..Self::default()
        }
    }

    fn backends(&self) -> Vec<Backend> {
        if self.backend.is_empty() {
            vec![Backend::Fentry, Backend::Kprobe]
        } else {
            self.backend.clone()
        }
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
/// When a kernel, QEMU or a part of a guest cannot be had; a failing guest is a failed count, not an error.
pub fn boot(args: &Args, built: &Built) -> Result<Counts> {
    let targets = targets(args)?;
    let binaries = binaries(&targets, built)?;
    // Fetching is one at a time; booting is not.
    let mut guests = Vec::new();
    for target in targets {
        let binaries = binaries
            .iter()
            .find(|binaries| binaries.arch == target.arch)
            .context("no binaries for the architecture")?;
        guests.push(guest::prepare(target, binaries, args)?);
    }
    let begun = Instant::now();
    let reports = side_by_side::run(&guests, args.jobs, |guest| guest::run(guest, args));
    let mut matrix = Matrix::default();
    let mut counts = Counts::default();
    for report in reports {
        let Report {
            target,
            column,
            counts: counted,
            notes,
            took,
        } = report?;
        println!("==> {target}: {counted}, {:.0} s", took.as_secs_f64());
        notes
            .iter()
            .for_each(|note| println!("vm-test: {target}: {note}"));
        counts += counted;
        matrix.add(&target.to_string(), column);
    }
    print!("{matrix}{}", matrix.slowest());
    println!("==> all guests: {:.0} s", begun.elapsed().as_secs_f64());
    if let Some(file) = &args.markdown {
        fs::write(file, matrix.markdown()).with_context(|| file.display().to_string())?;
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

/// The binaries of each architecture that a guest has.
fn binaries(targets: &[Target], built: &Built) -> Result<Vec<Binaries>> {
    let mut all = Vec::new();
    for arch in Arch::ALL {
        if !targets.iter().any(|target| target.arch == arch) {
            continue;
        }
        all.push(if arch.is_host() {
            Binaries::host(arch, built)
        } else {
            let cross::Cross { built, shell } = process::step(
                &format!("building for {}", arch.name()),
                "the guest runs the real auditor",
                || cross::build(arch),
            )?;
            Binaries::foreign(arch, &built, shell)
        });
    }
    Ok(all)
}

/// A file that goes when its owner does.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn write(name: &str, contents: &[u8]) -> Result<Self> {
        let path = std::env::temp_dir().join(format!(
            "eks-credential-auditor-{name}-{}",
            std::process::id()
        ));
        let file = Self(path);
        fs::write(&file.0, contents).with_context(|| file.0.display().to_string())?;
        Ok(file)
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // A left-over file in the temporary directory harms nobody.
        let _ = fs::remove_file(&self.0);
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
}
