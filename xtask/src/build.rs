//! `cargo xtask build`: set-up, then the auditor and the lab.

use std::{ffi::OsString, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result, bail};

use crate::{process, setup, toolchain::Toolchain};

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
    let built = build(!args.debug)?;
    println!("auditor: {}", built.auditor.display());
    println!("lab:     {}", built.lab.display());
    Ok(())
}

/// Set-up, then an optimised build.
pub fn release() -> Result<Built> {
    build(true)
}

/// Set-up, then a quick build without optimisation.
pub fn debug() -> Result<Built> {
    build(false)
}

/// An optimised build for another target, by `environment`'s linker and compiler.
///
/// # Errors
/// As of the build.
pub fn for_target(target: &str, environment: &[(&str, OsString)]) -> Result<Built> {
    let toolchain = setup::run()?;
    let mut all = toolchain.environment();
    all.extend(environment.iter().cloned());
    let profile = ["--release", "--target", target];
    let mut binaries = cargo_build(&["auditor", "lab"], &profile, &all)?;
    Ok(Built {
        auditor: take(&mut binaries, "auditor")?,
        lab: take(&mut binaries, "lab")?,
        helpers: binaries,
        toolchain,
    })
}

fn build(release: bool) -> Result<Built> {
    let toolchain = setup::run()?;
    let profile: &[&str] = if release { &["--release"] } else { &[] };
    let mut binaries = cargo_build(&["auditor", "lab"], profile, &toolchain.environment())?;
    Ok(Built {
        auditor: take(&mut binaries, "auditor")?,
        lab: take(&mut binaries, "lab")?,
        helpers: binaries,
        toolchain,
    })
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
