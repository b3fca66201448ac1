//! `cargo xtask e2e shipping`: what leaves the auditor as OCSF is held against OCSF's own schema, and what Fluent Bit and Vector
//! make of its lines against what was written.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    build::{self, Built},
    process,
    summary::{Counts, Format, run_counted},
    venv::Venv,
};

#[derive(clap::Args)]
pub struct Args {
    /// Builds without optimisation.
    #[arg(long)]
    debug: bool,
    /// Arguments for `lab play`, which plays every scene by default.
    #[arg(last = true)]
    lab: Vec<String>,
}

/// # Errors
/// Without root, and where Python or PyPI's packages cannot be had.
pub fn run(args: &Args) -> Result<Counts> {
    if !process::is_root() {
        bail!("the lab needs root: run `sudo cargo xtask e2e shipping`");
    }
    let built = if args.debug {
        build::debug()?
    } else {
        build::release()?
    };
    let mut fixtures = process::cargo();
    fixtures.args(["test", "-p", "auditor", "--lib", "ocsf::"]);
    fixtures.envs(built.toolchain.environment());
    fixtures.env(FIXTURES, fixtures_file()?);
    let mut counts = run_counted(&mut fixtures, Format::Libtest)?;
    counts += all(&built, &args.lab)?;
    Ok(counts)
}

/// The suite as a part of `cargo xtask test`, after the unit tests, which wrote the fixtures: skipped where it cannot run, and
/// says why.
pub fn ci(built: &Built) -> Result<Counts> {
    if !process::is_root() {
        return Ok(skipped("what is shipped", "not root (the lab needs it)"));
    }
    all(built, &[])
}

/// Names the file that the unit tests of `auditor::ocsf` write their events to.
pub const FIXTURES: &str = "OCSF_EVENTS";

/// That file.
pub fn fixtures_file() -> Result<PathBuf> {
    Ok(directory()?.join("fixtures.jsonl"))
}

fn directory() -> Result<PathBuf> {
    let directory = process::target_directory().join("shipping");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    Ok(directory)
}

fn all(built: &Built, lab: &[String]) -> Result<Counts> {
    let tests = process::workspace().join("tests");
    let mut counts = Counts::default();
    let lines = play(built, lab, &mut counts)?;
    let samples = process::workspace().join("docs/samples");
    match Venv::open("ocsf", &tests.join("ocsf/requirements.txt")) {
        Ok(venv) => {
            let validate = |files: &[PathBuf], follow: bool| {
                let mut command = venv.python();
                command.arg(tests.join("ocsf/validate.py"));
                command.args(follow.then_some("--follow")).args(files);
                command
            };
            let fixtures = fixtures_file()?;
            counts += if fixtures.exists() {
                one("OCSF of the fixtures", &mut validate(&[fixtures], false))
            } else {
                skipped(
                    "OCSF of the fixtures",
                    "the unit tests, which write them, did not run",
                )
            };
            counts += one(
                "OCSF of docs/samples",
                &mut validate(&json_files(&samples.join("ocsf"))?, false),
            );
            counts += one("OCSF of the lab's runs", &mut validate(&lines, true));
        }
        Err(why) => counts += skipped("the schema of OCSF", &format!("{why:#}")),
    }
    let json = directory()?.join("samples.jsonl");
    fs::write(&json, one_a_line(&samples.join("events"))?)?;
    let mut runs = vec![json];
    runs.extend(lines);
    let check = tests.join("shipping/check.py");
    match Venv::open("vrl", &tests.join("shipping/requirements.txt")) {
        Ok(venv) => {
            counts += one(
                "vector.yaml's programs",
                venv.python().arg(&check).arg("vrl").args(&runs),
            );
        }
        Err(why) => counts += skipped("vector.yaml's programs", &format!("{why:#}")),
    }
    for (program, variable) in [("fluent-bit", "FLUENT_BIT"), ("vector", "VECTOR")] {
        let named = std::env::var_os(variable).map(PathBuf::from);
        counts += match named.or_else(|| process::find(program)) {
            Some(path) => {
                let mut command = Command::new("python3");
                command.arg(&check).arg(program).arg(path).args(&runs);
                one(&format!("{program} as configured"), &mut command)
            }
            None => skipped(
                &format!("{program} as configured"),
                &format!(
                    "it is neither in PATH nor named by {variable}, and no registry here has it"
                ),
            ),
        };
    }
    Ok(counts)
}

/// Plays the lab on an auditor that writes OCSF; gives the files of its runs.
fn play(built: &Built, more: &[String], counts: &mut Counts) -> Result<Vec<PathBuf>> {
    let output = directory()?.join("lab.jsonl");
    let denied = output.with_extension("denied.jsonl");
    let later = output.with_extension("later.jsonl");
    let files = [output.clone(), denied, later];
    for file in &files {
        let _ = fs::remove_file(file);
    }
    let mut lab = Command::new(&built.lab);
    lab.args(["play", "--output", "ocsf", "--auditor"])
        .arg(&built.auditor);
    lab.arg("--output-file").arg(&output).args(more);
    *counts += run_counted(&mut lab, Format::Lab)?;
    Ok(files.into_iter().filter(|file| file.exists()).collect())
}

/// A command that passes where it ends with 0.
fn one(what: &str, command: &mut Command) -> Counts {
    let result = process::step(what, "as others read it", || process::run(command));
    match result {
        Ok(()) => Counts {
            passed: 1,
            ..Counts::default()
        },
        Err(error) => {
            println!("failed: {what}: {error:#}");
            Counts {
                failed: 1,
                ..Counts::default()
            }
        }
    }
}

fn skipped(what: &str, why: &str) -> Counts {
    println!("skipped: {what}: {why}");
    Counts {
        skipped: 1,
        ..Counts::default()
    }
}

fn json_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    files.sort();
    Ok(files)
}

/// The samples of a directory, as a run's lines: numbered anew. White space between JSON's parts is of no meaning.
fn one_a_line(directory: &Path) -> Result<String> {
    let mut lines = String::new();
    for (number, file) in json_files(directory)?.iter().enumerate() {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        for part in text.lines().map(str::trim) {
            match part.strip_prefix(r#""seq": "#) {
                Some(_) => lines.push_str(&format!(r#""seq":{number},"#)),
                None => lines.push_str(part),
            }
        }
        lines.push('\n');
    }
    Ok(lines)
}
