//! `cargo xtask lint`: format and clippy, warnings are errors, for both halves; and the documents' links.

use std::process::ExitCode;

use anyhow::Result;

use crate::{apt, docs, process, setup, toolchain::Toolchain};

/// Runs every check even if one fails; exit code 1 if any did.
pub fn run() -> Result<ExitCode> {
    let toolchain = setup::run()?;
    let checks = [
        (
            "documents",
            (|_| docs::check()) as fn(&Toolchain) -> Result<()>,
        ),
        ("format", format),
        ("clippy, host crates", clippy_host),
        ("clippy, probes", clippy_probes),
    ];
    let mut failures = 0;
    for (name, check) in checks {
        if let Err(error) = process::step(name, "no difference, no warning", || check(&toolchain)) {
            println!("failed: {name}: {error:#}");
            failures += 1;
        }
    }
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn format(_: &Toolchain) -> Result<()> {
    apt::ensure_program("cargo-fmt", "rustfmt-web", "checks the format")?;
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo().args(["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]))
}

fn clippy_host(toolchain: &Toolchain) -> Result<()> {
    apt::ensure_program("cargo-clippy", "rust-web-clippy", "lints")?;
    let mut cargo = process::cargo();
    cargo.args([
        "clippy",
        "--workspace",
        "--exclude",
        "auditor-ebpf",
        "--all-targets",
    ]);
    process::run(
        cargo
            .args(["--", "-D", "warnings"])
            .envs(toolchain.environment()),
    )
}

/// The eBPF crate has a target of its own, and so its own compiler and clippy.
fn clippy_probes(toolchain: &Toolchain) -> Result<()> {
    if let Err(error) = probes_clippy_available(toolchain) {
        println!("skipped: clippy for the probes: {error:#}");
        return Ok(());
    }
    let mut command = toolchain.program("cargo");
    command.current_dir(process::workspace());
    command.args([
        "clippy",
        "-p",
        "auditor-ebpf",
        "--target",
        "bpfel-unknown-none",
    ]);
    if *toolchain == Toolchain::Nightly {
        command.args(["-Z", "build-std=core"]);
    }
    // Another compiler in the same directory would rebuild the host's dependencies each time.
    command
        .arg("--target-dir")
        .arg(process::target_directory().join("clippy-bpf"));
    // As aya-build sets it; the macros choose registers by it.
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    command.env("CARGO_ENCODED_RUSTFLAGS", arch);
    // As auditor/build.rs sets it.
    command.env("RUSTC_BOOTSTRAP", "aya_ebpf,auditor_ebpf");
    process::run(command.args(["--", "-D", "warnings"]))
}

fn probes_clippy_available(toolchain: &Toolchain) -> Result<()> {
    let there = || process::capture(toolchain.program("cargo-clippy").arg("--version")).map(drop);
    there().or_else(|error| {
        if *toolchain != Toolchain::Debian {
            return Err(error.context("run: rustup component add clippy --toolchain nightly"));
        }
        apt::install(&["rust-web-clippy"], "lints the probes")?;
        there()
    })
}
