//! The loop that is timed: a program of its own, so that what it costs is what a process of the node would pay.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::process;

#[derive(clap::Args)]
pub struct Args {
    path: PathBuf,
    /// Opens in a batch.
    iterations: u32,
    batches: u32,
}

/// Prints nanoseconds per open+close, one line a batch.
pub fn run(args: &Args) -> Result<ExitCode> {
    for _ in 0..args.batches {
        let begun = Instant::now();
        for _ in 0..args.iterations {
            File::open(&args.path)
                .with_context(|| format!("cannot open {}", args.path.display()))?;
        }
        println!(
            "{:.1}",
            begun.elapsed().as_nanos() as f64 / f64::from(args.iterations)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the loop in a process of its own: nanoseconds per open+close, one for each batch.
pub fn measure(xtask: &Path, path: &Path, iterations: u32, batches: u32) -> Result<Vec<f64>> {
    let mut command = Command::new(xtask);
    command
        .arg("bench-loop")
        .arg(path)
        .args([iterations, batches].map(|number| number.to_string()));
    let output = process::capture(&mut command)?;
    output
        .lines()
        .map(|line| line.parse().context("bench-loop prints numbers"))
        .collect()
}
