//! `cargo xtask newcomer`: somebody's first hour, as CONTRIBUTING.md has it, command by command in a fresh clone.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    docs::steps::{self, Step},
    process,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask newcomer                      as a stranger: everything is built anew (an hour on two cores)
  cargo xtask newcomer --target-dir DIR     with what was built in DIR; it holds the toy's programs afterwards

The clone is of the last commit; the guide is the one of the working tree.")]
pub struct Args {
    /// Where cargo builds; default: a directory of its own in the target directory.
    #[arg(long, value_name = "DIR")]
    target_dir: Option<PathBuf>,
}

/// # Errors
/// At the first step that goes another way than the guide says.
pub fn run(args: &Args) -> Result<ExitCode> {
    let guide = process::workspace().join(steps::GUIDE);
    let guide = fs::read_to_string(&guide).with_context(|| guide.display().to_string())?;
    let steps = steps::of(&guide)?;
    let place = process::target_directory().join("newcomer");
    let clone = place.join("clone");
    if clone.exists() {
        fs::remove_dir_all(&clone).with_context(|| clone.display().to_string())?;
    }
    fs::create_dir_all(&place)?;
    let mut git = Command::new("git");
    git.args(["clone", "--quiet"]).arg(process::workspace());
    process::run(git.arg(&clone))?;
    let target = match &args.target_dir {
        Some(directory) => std::path::absolute(directory)?,
        None => place.join("target"),
    };
    let begun = Instant::now();
    let mut output = String::new();
    for (at, step) in steps.iter().enumerate() {
        println!("==> step {} of {}", at + 1, steps.len());
        match step {
            Step::Type(script) => output = type_in(script, &clone, &target)?,
            Step::Change(diff) => {
                let mut git = Command::new("git");
                git.args(["apply", "--verbose", "-"]).current_dir(&clone);
                steps::feed(&mut git, diff)?;
            }
            Step::See(seen) => {
                let missing = steps::missing(seen, &output);
                ensure!(missing.is_empty(), "not seen: {missing:#?}");
                println!("seen: {}", seen.trim_end());
            }
        }
    }
    println!(
        "==> the newcomer's hour took {} min",
        begun.elapsed().as_secs().div_ceil(60)
    );
    Ok(ExitCode::SUCCESS)
}

/// Gives what it printed, and shows it meanwhile.
fn type_in(script: &str, clone: &Path, target: &Path) -> Result<String> {
    print!("$ {script}");
    let begun = Instant::now();
    let (reader, writer) = std::io::pipe()?;
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script])
        .current_dir(clone)
        .env("CARGO_TARGET_DIR", target)
        .stdin(File::open("/dev/null")?)
        .stdout(Stdio::from(writer.try_clone()?))
        .stderr(Stdio::from(writer));
    for (name, _) in std::env::vars_os() {
        // Cargo's own words to xtask are not the newcomer's.
        let said = name.to_string_lossy();
        if said.starts_with("CARGO_PKG_") || said.starts_with("CARGO_MANIFEST_") {
            bash.env_remove(&name);
        }
    }
    let mut child = bash.spawn().context("cannot start bash")?;
    // It holds the pipe's other end, too.
    drop(bash);
    let mut output = String::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        println!("{line}");
        output.push_str(&crate::summary::without_colour(&line));
        output.push('\n');
    }
    let status = child.wait()?;
    println!("(after {} s)", begun.elapsed().as_secs());
    ensure!(status.success(), "{status}: {script}");
    Ok(output)
}
