//! Set-up: a compiler and a linker for BPF, taken where they are and installed where they are missing.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt, process,
    toolchain::{self, Choice, DEBIAN_PACKAGES, Facts, LEAST_RUSTC, Toolchain},
};

const LINKER_VERSION: &str = "0.13.0";
/// The LLVM versions that this bpf-linker has a feature for, and the one of Debian's compiler.
const LINKER_LLVM: [u32; 3] = [21, 22, 23];
const NIGHTLY_LIMIT: Duration = Duration::from_secs(180);

/// Gives the toolchain that compiles the probes, with a linker in place.
///
/// # Errors
/// When something is missing that cannot be installed here; the message says what to run.
pub fn run() -> Result<Toolchain> {
    check_host()?;
    let toolchain = compiler()?;
    linker(&toolchain)?;
    println!("==> probes: compiled by {}", describe(&toolchain));
    Ok(toolchain)
}

/// The toolchain in words.
pub fn describe(toolchain: &Toolchain) -> String {
    match toolchain {
        Toolchain::Explicit(name) => format!("{} (EBPF_TOOLCHAIN)", name.display()),
        Toolchain::Nightly => "rustup's nightly, core built from rust-src".into(),
        Toolchain::Debian => "Debian's rustc in /usr, prebuilt core for BPF".into(),
    }
}

/// The compiler of the userspace half.
fn check_host() -> Result<()> {
    let (major, minor) = LEAST_RUSTC;
    match toolchain::rustc_version(&mut Command::new("rustc")) {
        Some(version) if version >= LEAST_RUSTC => Ok(()),
        Some((a, b)) => {
            bail!(
                "rustc is {a}.{b}, the workspace needs {major}.{minor} or newer; run: rustup update stable"
            )
        }
        None => bail!(
            "`rustc --version` does not work; install Rust {major}.{minor} or newer: https://rustup.rs"
        ),
    }
}

fn compiler() -> Result<Toolchain> {
    match toolchain::choose(&Facts::read()) {
        Choice::Use(found) => Ok(found),
        Choice::InstallDebian => install_debian().or_else(|error| {
            if process::find("rustup").is_none() {
                return Err(error);
            }
            println!("==> Debian's packages did not help ({error:#}), trying rustup");
            install_nightly()
        }),
        Choice::InstallNightly => install_nightly(),
        Choice::Nothing => bail!("no compiler for BPF and no way to install one here. {REMEDY}"),
    }
}

/// What to run by hand, on either kind of machine.
pub const REMEDY: &str = "Run one of:
  rustup toolchain install nightly --component rust-src && cargo binstall bpf-linker      (any machine with rustup)
  sudo apt-get install -y rustc-web cargo-web libstd-rust-web-dev-bpf llvm-22-dev         (Debian 12; then again: cargo xtask setup)";

fn install_debian() -> Result<Toolchain> {
    apt::install(
        &DEBIAN_PACKAGES,
        "a Rust compiler with a core library for BPF",
    )?;
    match toolchain::choose(&Facts {
        explicit: None,
        ..Facts::read()
    }) {
        Choice::Use(found) => Ok(found),
        _ => bail!(
            "Debian's rustc is older than {}.{} here; enable the security suite. {REMEDY}",
            LEAST_RUSTC.0,
            LEAST_RUSTC.1
        ),
    }
}

fn install_nightly() -> Result<Toolchain> {
    let why = "a Rust compiler that can build core for BPF";
    process::step("installing rustup's nightly with rust-src", why, || {
        let mut rustup = Command::new("rustup");
        rustup.args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ]);
        process::run_within(&mut rustup, NIGHTLY_LIMIT)
    })
    .with_context(|| format!("rustup could not install a nightly toolchain. {REMEDY}"))?;
    Ok(Toolchain::Nightly)
}

/// bpf-linker must read the bitcode of the compiler, so it is built against the same LLVM.
fn linker(toolchain: &Toolchain) -> Result<()> {
    if process::find("bpf-linker").is_some()
        || std::env::var_os("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER").is_some()
    {
        return Ok(());
    }
    let llvm = toolchain::llvm_major(&mut toolchain.program("rustc"))
        .filter(|version| LINKER_LLVM.contains(version))
        .with_context(|| {
            format!(
                "bpf-linker is missing, run: cargo binstall bpf-linker ({})",
                describe(toolchain)
            )
        })?;
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    if !prefix.join("bin/llvm-config").exists() {
        let package = format!("llvm-{llvm}-dev");
        apt::install(&[&package], "bpf-linker links against LLVM")
            .context("bpf-linker is missing; a ready-made one: cargo binstall bpf-linker")?;
    }
    let why = "links the probes; compiled once, about a minute";
    process::step(
        &format!("installing bpf-linker {LINKER_VERSION}"),
        why,
        || {
            process::run(
                process::cargo()
                    .args([
                        "install",
                        "--locked",
                        &format!("bpf-linker@{LINKER_VERSION}"),
                    ])
                    .args([
                        "--no-default-features",
                        "--features",
                        &format!("llvm-{llvm}"),
                    ])
                    .env("LLVM_PREFIX", &prefix),
            )
        },
    )
}
