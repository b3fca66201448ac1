//! One job of the lab in a guest whose clock counts instructions, for the benchmark.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    arch::Arch,
    guest::{Binaries, MODULES},
    initramfs::{self, Contents},
    kernels, modules,
    qemu::{self, Machine, Outcome},
    temporary::Unnamed,
};
use crate::{apt, build::Built};

const LIMITS: qemu::Limits = qemu::Limits {
    whole: Duration::from_secs(900),
    silence: Duration::from_secs(600),
};

pub struct Counted<'a> {
    /// A line of kernels.
    pub kernel: &'a str,
    pub built: &'a Built,
    /// Further programs, beside the lab's.
    pub programs: Vec<PathBuf>,
    /// A `lab` command line.
    pub job: &'a str,
}

/// Boots it; what it wrote to its console.
///
/// # Errors
/// When the guest cannot be had, or does not end well; with its last lines.
pub fn run(counted: &Counted<'_>) -> Result<String> {
    let arch = Arch::ALL.into_iter().find(|arch| arch.is_host());
    let arch = arch.context("no guest of this machine's architecture")?;
    let (program, package) = arch.qemu();
    apt::ensure_program(program, package, "boots the kernel without KVM")?;
    apt::ensure_program("xz", "xz-utils", "unpacks kernel modules")?;
    let lines = kernels::lines(&[counted.kernel.to_owned()])?;
    let kernel = lines.first().context("no such kernel")?.kernel(arch)?;
    let mut binaries = Binaries::host(arch, counted.built);
    binaries.helpers.extend(counted.programs.iter().cloned());
    let contents = initramfs::build(&Contents {
        binaries: &binaries,
        modules: &modules::collect(&kernel.modules, &MODULES)?,
        job: counted.job,
        runtime: None,
    })?;
    let initramfs = Unnamed::write(&contents)?;
    let machine = Machine {
        arch,
        kernel: &kernel.image,
        initramfs: &initramfs.path(),
        parameters: "",
        processors: 1,
        counted: true,
    };
    let begun = Instant::now();
    let mut console = Vec::new();
    let end = qemu::boot(&machine, LIMITS, |line| {
        println!("{:4}s| {line}", begun.elapsed().as_secs());
        console.push(line.to_owned());
    })?;
    match end.outcome {
        Outcome::Success => Ok(console.join("\n")),
        outcome => {
            let last = console.iter().rev().find(|line| !line.trim().is_empty());
            bail!("the guest ended with {outcome:?}, its last line {last:?}")
        }
    }
}
