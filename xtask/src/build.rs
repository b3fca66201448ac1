//! `cargo xtask build`: set-up, then the auditor and the lab.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    process, setup,
    shipped::{self, Place},
    toolchain::Toolchain,
    vm::arch::Arch,
};

#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask build && target/release/auditor check")]
pub struct Args {
    /// Builds without optimisation (the probes are always optimised: the verifier wants them so).
    #[arg(long)]
    debug: bool,
}

/// What a build made.
pub struct Built {
    pub toolchain: Toolchain,
    pub auditor: PathBuf,
    pub lab: PathBuf,
    /// The programs that the lab's scenes run; `lab` finds them beside itself.
    pub helpers: Vec<PathBuf>,
}

/// Builds and says where the binaries are.
pub fn run(args: &Args) -> Result<()> {
    let built = if args.debug { debug()? } else { release()? };
    println!("auditor: {}", built.auditor.display());
    println!("lab:     {}", built.lab.display());
    Ok(())
}

/// An optimised build for another architecture, by `environment`'s linker and compiler.
///
/// # Errors
/// As of the build.
pub fn foreign(arch: Arch, environment: &[(&str, OsString)]) -> Result<Built> {
    let toolchain = setup::run()?;
    let auditor = shipped::build(arch, &Place::here(), &toolchain)?;
    let mut all = toolchain.environment();
    all.extend(environment.iter().cloned());
    let profile = ["--release", "--target", arch.target()];
    let mut binaries = cargo_build(&["lab"], &profile, &all)?;
    Ok(Built {
        auditor,
        lab: take(&mut binaries, "lab")?,
        helpers: binaries,
        toolchain,
    })
}

/// Set-up, then an optimised build: of the auditor the very program that the image holds, so that what is tested is what is shipped.
///
/// # Errors
/// When something is missing that cannot be installed here, or the build fails.
pub fn release() -> Result<Built> {
    let toolchain = setup::run()?;
    let auditor = shipped::build(Arch::host()?, &Place::here(), &toolchain)?;
    let mut binaries = cargo_build(&["lab"], &["--release"], &toolchain.environment())?;
    let lab = take(&mut binaries, "lab")?;
    Ok(Built {
        auditor: beside(&lab, &auditor)?,
        lab,
        helpers: binaries,
        toolchain,
    })
}

/// Set-up, then a build without optimisation.
///
/// # Errors
/// As [`release`].
pub fn debug() -> Result<Built> {
    let toolchain = setup::run()?;
    let mut binaries = cargo_build(&["auditor", "lab"], &[], &toolchain.environment())?;
    Ok(Built {
        auditor: take(&mut binaries, "auditor")?,
        lab: take(&mut binaries, "lab")?,
        helpers: binaries,
        toolchain,
    })
}

/// Puts the program where cargo's own release build would leave it, and people look for it.
fn beside(lab: &Path, auditor: &Path) -> Result<PathBuf> {
    let to = lab.with_file_name(shipped::NAME);
    let partial = lab.with_file_name(format!("{}.{}", shipped::NAME, std::process::id()));
    // Not over what is there: it may be running.
    fs::copy(auditor, &partial)
        .and_then(|_| fs::rename(&partial, &to))
        .with_context(|| to.display().to_string())?;
    Ok(to)
}

/// Builds packages; gives their binaries.
fn cargo_build(
    packages: &[&str],
    profile: &[&str],
    environment: &[(&str, OsString)],
) -> Result<Vec<PathBuf>> {
    let mut cargo = process::cargo();
    cargo.arg("build").args(profile);
    cargo.args(packages.iter().flat_map(|name| ["-p", name]));
    cargo.args(["--message-format", "json-render-diagnostics"]);
    cargo.envs(environment.iter().cloned());
    let why = "cargo compiles what has changed";
    process::step(&format!("building {}", packages.join(" and ")), why, || {
        println!("$ {}", process::shown(&cargo));
        // Progress stays on the terminal (stderr); the paths of the binaries come on stdout.
        cargo.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = cargo.output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("the build failed: {}", output.status);
        }
        Ok(executables(&String::from_utf8_lossy(&output.stdout)))
    })
}

fn take(binaries: &mut Vec<PathBuf>, name: &str) -> Result<PathBuf> {
    let named = |file: &PathBuf| file.file_name().is_some_and(|base| base == name);
    let at = binaries.iter().position(named);
    let at = at.with_context(|| format!("the build made no binary `{name}`"))?;
    Ok(binaries.swap_remove(at))
}

/// The `executable` of each cargo message that has one (JSON strings; paths with escapes are not ours).
fn executables(messages: &str) -> Vec<PathBuf> {
    let artifacts = messages
        .lines()
        .filter(|line| line.contains(r#""reason":"compiler-artifact""#));
    artifacts
        .filter_map(|line| {
            let (_, rest) = line.split_once(r#""executable":""#)?;
            rest.split('"').next().map(PathBuf::from)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_executables_and_nothing_else() {
        let messages = r#"{"reason":"compiler-artifact","filenames":["/t/liba.rlib"],"executable":null,"fresh":true}
{"reason":"compiler-artifact","filenames":["/t/lab"],"executable":"/t/lab","fresh":false}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executables(messages), [PathBuf::from("/t/lab")]);
    }
}
