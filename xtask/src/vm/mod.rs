//! `cargo xtask vm-test`: a distribution's kernel in QEMU plays the lab's scenes on backends that this machine may refuse.

mod cpio;
mod initramfs;
mod kernels;
mod matrix;
mod modules;
mod qemu;

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, Result};
use clap::ValueEnum;

use crate::{
    apt,
    build::{self, Built},
    process,
    summary::{Counts, Format, Tally},
};
use initramfs::Contents;
use matrix::Matrix;
use qemu::Outcome;

/// What the lab makes its node of and the cloud kernel has as modules.
const MODULES: [&str; 3] = ["veth", "overlay", "dummy"];

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vm-test                                       fentry and kprobe on 6.12
  cargo xtask vm-test --backend syscall --scene own-irsa
  cargo xtask vm-test --backend fentry --churn 1000         device numbers recycled a thousand times")]
pub struct Args {
    /// The kernel line to boot.
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// A backend to play the scenes on; repeatable. Default: fentry and kprobe.
    #[arg(long)]
    backend: Vec<Backend>,
    /// Only this scene; repeatable.
    #[arg(long)]
    scene: Vec<String>,
    /// Also mount, open and unmount token volumes this many times on each backend.
    #[arg(long, value_name = "CYCLES")]
    churn: Option<u32>,
    /// Seconds after which the whole boot counts as hung.
    #[arg(long, default_value_t = 900)]
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
            kernel: "6.12".into(),
            backend: Vec::new(),
            scene: Vec::new(),
            churn: None,
            timeout: 900,
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

/// One boot of the kernel for all backends.
///
/// # Errors
/// When the kernel, QEMU or a part of the guest cannot be had; a failing guest is a failed count, not an error.
pub fn boot(args: &Args, built: &Built) -> Result<Counts> {
    let line = kernels::line(&args.kernel)?;
    apt::ensure_program(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "boots the kernel without KVM",
    )?;
    apt::ensure_program("xz", "xz-utils", "unpacks kernel modules")?;
    let kernel = line.kernel()?;
    let backends = if args.backend.is_empty() {
        &[Backend::Fentry, Backend::Kprobe][..]
    } else {
        &args.backend
    };
    let initramfs = initramfs::build(&Contents {
        auditor: &built.auditor,
        lab: &built.lab,
        helpers: &built.helpers,
        modules: &modules::collect(&kernel.modules, &MODULES)?,
        job: &job(args, backends),
    })?;
    let file = TemporaryFile::write("initramfs", &initramfs)?;
    println!(
        "==> booting {}, initramfs {} MiB",
        kernel.package,
        initramfs.len() >> 20
    );
    let mut tally = Tally::new(Format::Lab);
    let mut matrix = Matrix::default();
    let limit = Duration::from_secs(args.timeout);
    let outcome = process::step("guest", "the scenes, on the kernel named above", || {
        qemu::boot(&kernel.image, &file.0, limit, |text| {
            println!("vm| {text}");
            tally.line(text);
            matrix.line(text);
        })
    })?;
    print!("{matrix}");
    match &outcome {
        Outcome::Success => {}
        Outcome::Failure => println!("vm-test: the guest reports a failure, see its lines above"),
        Outcome::KernelTrouble(message) => {
            println!("vm-test: the guest's kernel is in trouble: {message}")
        }
        Outcome::TimedOut(limit) => println!(
            "vm-test: no end after {} s (--timeout), guest stopped",
            limit.as_secs()
        ),
        Outcome::Silent(status) => {
            println!("vm-test: QEMU ended ({status}) before the guest said success or failure")
        }
    }
    let complete = matrix.completed() == backends.len();
    if !complete {
        println!(
            "vm-test: scenes ended on {} of {} backends",
            matrix.completed(),
            backends.len()
        );
    }
    Ok(tally.finish(complete && outcome == Outcome::Success))
}

/// The guest's job: one `lab` command line a line.
fn job(args: &Args, backends: &[Backend]) -> String {
    let mut lines = String::new();
    for backend in backends {
        let backend = backend.name();
        lines.push_str(&format!(
            "play --auditor /auditor --backend {backend} --color never"
        ));
        for scene in &args.scene {
            lines.push_str(&format!(" --scene {scene}"));
        }
        lines.push('\n');
        if let Some(cycles) = args.churn {
            lines.push_str(&format!(
                "churn --auditor /auditor --backend {backend} --cycles {cycles}\n"
            ));
        }
    }
    lines
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

    #[test]
    fn a_job_is_one_command_a_line() {
        let args = Args {
            scene: vec!["a".into()],
            churn: Some(9),
            ..Args::default()
        };
        let expected = "play --auditor /auditor --backend fentry --color never --scene a\n\
            churn --auditor /auditor --backend fentry --cycles 9\n";
        assert_eq!(job(&args, &[Backend::Fentry]), expected);
    }
}
