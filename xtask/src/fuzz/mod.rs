//! `cargo xtask fuzz`: builds the targets of `fuzz/` for libFuzzer and runs them side by side.
//!
//! Without cargo-fuzz and without nightly: what cargo-fuzz adds to a build with `--sanitizer none` are flags that every
//! compiler takes, rustup's and Debian's alike, so that the host's own compiler is used. `cargo fuzz run NAME` works too.

mod build;
mod fuzzer;
mod log;

use std::{
    collections::VecDeque,
    fs,
    process::{Command, ExitCode},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use self::fuzzer::{Extent, Fuzzer, Outcome};
use crate::{process, summary::Counts};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz                               each decoder for a minute, as many at once as there are processors
  cargo xtask fuzz --seconds 600 --target cluster --target policy

The corpora grow in ~/.cache/eks-credential-auditor/fuzz, starting from fuzz/seeds. A crash prints the input's path and the
command that replays it. The last line is `N passed, N failed, N skipped`, one for each target.")]
pub struct Args {
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Only these, by the name of their file in fuzz/fuzz_targets.
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// How many run at once; as many as there are processors by default.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
}

/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// For the test suite: enough to find what a change broke. A suite that explored would fail for what is as old as the decoder,
/// with whichever change is under test that day.
const SHORT: Extent = Extent::Repeat(20_000, 5);

/// Exit code 1 if a target crashed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let all = targets()?;
    if let Some(unknown) = args.targets.iter().find(|name| !all.contains(name)) {
        bail!(
            "no target is called {unknown}; there are: {}",
            all.join(", ")
        );
    }
    let chosen = if args.targets.is_empty() {
        all
    } else {
        args.targets.clone()
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, usize::from);
    let built = build::build()?;
    let counts = fuzz(&built, &chosen, Extent::Explore(args.seconds), jobs)?;
    println!("{counts}");
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A few seconds of each target from its seeds, two at once.
///
/// # Errors
/// When they cannot be built or started.
pub fn short() -> Result<Counts> {
    let built = build::build()?;
    fuzz(&built, &targets()?, SHORT, 2)
}

/// What compiles them; [`short`] finds it done then.
///
/// # Errors
/// When there is no C++ compiler and none can be installed.
pub fn build_command() -> Result<Command> {
    build::command()
}

/// Names of the files in fuzz/fuzz_targets.
fn targets() -> Result<Vec<String>> {
    let directory = process::workspace().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(
                path.file_stem()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    ensure!(!names.is_empty(), "{} has no targets", directory.display());
    Ok(names)
}

fn fuzz(built: &build::Built, targets: &[String], extent: Extent, jobs: usize) -> Result<Counts> {
    let cache = process::cache_directory("fuzz")?;
    let waiting = Mutex::new(targets.iter().cloned().collect::<VecDeque<_>>());
    let ended: Mutex<Vec<(String, Result<Outcome>)>> = Mutex::default();
    let running: Mutex<Vec<(String, String)>> = Mutex::default();
    let length = match extent {
        Extent::Explore(seconds) => format!("{seconds} s each"),
        Extent::Repeat(inputs, seconds) => {
            format!("from their seeds, {inputs} inputs or {seconds} s each")
        }
    };
    println!(
        "==> fuzzing {} targets, {length}, {jobs} at once",
        targets.len()
    );
    let next = || locked(&waiting).pop_front();
    let begun = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.min(targets.len()))
            .map(|_| {
                scope.spawn(|| {
                    // In a closure: the lock must not be held while the target runs.
                    while let Some(name) = next() {
                        let told = |line: &str| {
                            let mut running = locked(&running);
                            running.retain(|(other, _)| *other != name);
                            running.push((name.clone(), line.to_owned()));
                        };
                        let outcome = Fuzzer::start(built, &cache, &name, extent)
                            .and_then(|fuzzer| fuzzer.finish(told));
                        locked(&running).retain(|(other, _)| *other != name);
                        locked(&ended).push((name, outcome));
                    }
                })
            })
            .collect();
        let mut due = PROGRESS;
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(200));
            if begun.elapsed() > due {
                due += PROGRESS;
                let now: Vec<String> = locked(&running)
                    .iter()
                    .map(|(name, line)| format!("{name} {line}"))
                    .collect();
                println!(
                    "    {:.0} s: {} of {} done; {}",
                    begun.elapsed().as_secs_f64(),
                    locked(&ended).len(),
                    targets.len(),
                    now.join("; ")
                );
            }
        }
    });
    let mut ended = ended
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    ended.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(report(&ended))
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Prints the table and what crashed.
fn report(ended: &[(String, Result<Outcome>)]) -> Counts {
    let mut counts = Counts::default();
    println!(
        "{:14} {:>12} {:>9} {:>9} {:>9} {:>7} {:>8} {:>7}",
        "target", "executions", "exec/s", "coverage", "new cov", "corpus", "peak MiB", "crashes"
    );
    for (name, outcome) in ended {
        match outcome {
            Ok(outcome) => {
                let log::Seen {
                    executions,
                    per_second,
                    coverage,
                    new_coverage,
                    corpus,
                    peak_mib,
                } = outcome.seen;
                println!(
                    "{name:14} {executions:>12} {per_second:>9} {coverage:>9} {new_coverage:>9} {corpus:>7} {peak_mib:>8} {:>7}",
                    u32::from(outcome.crash.is_some())
                );
            }
            Err(_) => println!("{name:14} {:>12}", "-"),
        }
    }
    for (name, outcome) in ended {
        match outcome {
            Ok(Outcome { crash: None, .. }) => counts.passed += 1,
            Ok(Outcome {
                crash: Some(crash), ..
            }) => {
                counts.failed += 1;
                println!("failed: {name}: {}", crash.why);
                println!("    input:  {}", crash.input);
                println!("    replay: {}", crash.replay);
                println!("    log:    {}", crash.log.display());
            }
            Err(error) => {
                counts.failed += 1;
                println!("failed: {name}: {error:#}");
            }
        }
    }
    counts
}
