//! The fuzz targets' binaries: the host's compiler, with libFuzzer's instrumentation.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{apt, process};

/// As cargo-fuzz 0.13 gives them with `--sanitizer none` (its src/project.rs); all of them are flags of stable rustc.
const FLAGS: [&str; 7] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Where the binaries are.
pub struct Built {
    pub directory: PathBuf,
}

/// Builds all targets; nothing is built anew that has not changed.
///
/// # Errors
/// When there is no C++ compiler and none can be installed, or the build fails.
pub fn build() -> Result<Built> {
    let why = "libFuzzer, no sanitizer";
    process::step("building the fuzz targets", why, || {
        process::run(&mut command()?)?;
        Ok(Built {
            directory: directory().join(host()?).join("debug"),
        })
    })
}

/// What [`build`] runs, with a C++ compiler in place.
pub fn command() -> Result<Command> {
    let compilers = ["c++", "g++", "clang++"];
    if compilers.iter().all(|name| process::find(name).is_none()) {
        apt::install(&["g++"], "libFuzzer is C++")?;
    }
    let mut cargo = process::cargo();
    cargo.args(["build", "--locked", "--bins"]);
    cargo.args(["--manifest-path", "fuzz/Cargo.toml", "--target-dir"]);
    cargo
        .arg(directory())
        // With a target named, build scripts and macros are compiled without these flags.
        .args(["--target", &host()?])
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"))
        .env_remove("RUSTFLAGS")
        // The kernel half is nothing that a decoder needs; see `probe::loader`.
        .env("AYA_BUILD_SKIP", "1");
    Ok(cargo)
}

fn directory() -> PathBuf {
    process::target_directory().join("fuzz")
}

/// `x86_64-unknown-linux-gnu` and its like.
fn host() -> Result<String> {
    let verbose = process::capture(Command::new("rustc").arg("-vV"))?;
    let host = verbose.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}
