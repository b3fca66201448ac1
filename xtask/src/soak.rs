//! `cargo xtask soak`: builds, lets `lab soak` play, and plots the auditor's memory.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{
    bench::{lab, svg},
    build, process,
    summary::Counts,
    vm::Backend,
};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask soak                    half an hour
  cargo xtask soak --minutes 3        a look; the bound for growth is wider")]
pub struct Args {
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Seconds between two samples of memory.
    #[arg(long, default_value_t = 4.0)]
    interval: f64,
    #[arg(long, default_value = "syscall")]
    backend: Backend,
    /// Where the plot goes; default: benchmarks/soak.svg in cargo's target directory.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// Fails where a check fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("the soak makes mounts and namespaces and loads BPF: run `cargo xtask soak` as root");
    }
    let built = build::release()?;
    let mut command = Command::new(&built.lab);
    command.arg("soak").arg("--auditor").arg(&built.auditor);
    command.args(["--backend", args.backend.name()]);
    command.args(["--minutes", &args.minutes.to_string()]);
    command.args(["--interval", &args.interval.to_string()]);
    println!("$ {}", process::shown(&command));
    // Its progress is on standard error.
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start the lab")?;
    let output = child.stdout.take().context("the lab has no output")?;
    let (mut report, mut counts) = (None, None);
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line.starts_with('{') {
            report = Some(lab::json(&line)?);
        } else if let Some(told) = crate::summary::lab(line.trim()) {
            counts = Some(told);
        } else {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if let Some(report) = &report {
        tell(report);
        let default = process::target_directory().join("benchmarks/soak.svg");
        plot(report, args.plot.as_deref().unwrap_or(&default))?;
    }
    let mut counts = counts.unwrap_or_default();
    if !status.success() && counts.failed == 0 {
        counts = Counts {
            failed: 1,
            ..counts
        };
    }
    println!("{counts}");
    Ok(match counts.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What was done and what came of it.
fn tell(report: &Value) {
    let done = &report["done"];
    println!(
        "done: {} own opens, {} thefts, {} connects, {} pods came and went, {} policies and {} association files rewritten, the \
         reader slept {} times",
        done["opens"],
        done["thefts"],
        done["connects"],
        done["churned"],
        done["policies"],
        done["clusters"],
        done["sleeps"]
    );
    println!(
        "written: {} lines, {} findings, {} folded, {} lost",
        report["lines"], report["findings"], report["folded"], report["lost"]
    );
}

fn samples(report: &Value, key: &str) -> Vec<(f64, f64)> {
    let samples = report["samples"].as_array().into_iter().flatten();
    let points =
        samples.filter_map(|one| Some((one["seconds"].as_f64()? / 60.0, one[key].as_f64()?)));
    points.collect()
}

fn plot(report: &Value, file: &Path) -> Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    let axes = svg::Axes {
        title: "Resident memory under mixed load",
        x: "minutes",
        y: "MiB",
    };
    let series = [("auditor, VmRSS", samples(report, "resident"))];
    fs::write(file, svg::points(&axes, &series, true, None))
        .with_context(|| file.display().to_string())?;
    println!("{}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn samples_are_in_minutes() {
        let report = json!({"samples": [{"seconds": 90.0, "resident": 20.5}, {"seconds": 91.0}]});
        assert_eq!(samples(&report, "resident"), [(1.5, 20.5)]);
    }
}
