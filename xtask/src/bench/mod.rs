//! `cargo xtask bench`: what the auditor costs, measured on this machine, each figure beside its goal.

mod cost;
mod memory;
pub mod open_loop;
mod programs;
mod stage;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{apt, build, daemon::Daemon, node::Node, process, vm::Backend};
use cost::Samples;
use memory::Memory;
use programs::{Cost, Costs};
use stage::Stage;

const PODS: u32 = 250;
const ASSOCIATIONS: u32 = 1000;
/// Goal: added cost of an unrelated open, as a share of what opensnoop.bt adds.
const RATIO_GOAL: f64 = 0.25;
const MEMORY_GOAL_MIB: f64 = 30.0;
/// After `ready`, until loading is over and the allocator has given back what it does not need.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench
  cargo xtask bench --rounds 3        quicker and rougher

A goal missed is reported, not an error: these are measurements of this machine at this moment.")]
pub struct Args {
    /// Rounds of none, auditor, opensnoop; minima and medians are over all of them.
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    #[arg(long, default_value = "syscall")]
    backend: Backend,
    /// Seconds that a node is watched at rest against an API server.
    #[arg(long, default_value_t = 185)]
    rest: u32,
}

/// What is measured, and with what.
struct Subject {
    auditor: PathBuf,
    /// An optimised xtask, for its `bench-loop`.
    opener: PathBuf,
    node: Node,
    backend: &'static str,
}

impl Subject {
    fn start(&self) -> Result<Daemon> {
        Daemon::start(&self.auditor, &self.node, self.backend)
    }

    /// Nanoseconds per open+close of a path, one for each batch.
    fn time_opens(&self, path: &Path, iterations: u32, batches: u32) -> Result<Vec<f64>> {
        open_loop::measure(&self.opener, path, iterations, batches)
    }
}

/// Prints the tables.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("the benchmark loads BPF and mounts token volumes: run `cargo xtask bench` as root");
    }
    if args.rounds == 0 {
        bail!("--rounds 0 measures nothing");
    }
    apt::ensure_program(
        "opensnoop.bt",
        "bpftrace",
        "the tool that the auditor is compared with",
    )?;
    if let Err(error) = apt::ensure_program("bpftool", "bpftool", "names of BPF programs") {
        println!("programs will have no names: {error:#}");
    }
    let built = build::release()?;
    let auditor = built.auditor.clone();
    let opener = build::optimised_xtask()?;
    let stage = Stage::mount()?;
    let node = Node::create(&stage.directory().join("node"), PODS, ASSOCIATIONS)?;
    let tokens = (0..PODS).map(|pod| node.mount_token(pod));
    let tokens = tokens.collect::<Result<Vec<_>>>()?;
    let token = tokens.first().context("no token volume")?;
    let subject = Subject {
        auditor,
        opener,
        node,
        backend: args.backend.name(),
    };
    let unrelated = process::workspace().join("Cargo.toml");

    let why = "250 pods with a mounted token each, 1,000 associations";
    let memory = process::step("memory", why, || {
        let daemon = subject.start()?;
        thread::sleep(SETTLE);
        memory::read(daemon.pid())
    })?;
    let why = "nanoseconds a run, counted by the kernel";
    let costs = process::step("programs", why, || {
        programs::measure(&subject, &unrelated, token)
    })?;
    let why = "what an unrelated open+close costs more";
    let samples = process::step("opens", why, || {
        cost::measure(&subject, &unrelated, args.rounds)
    })?;
    report_opens(subject.backend, &samples);
    report_programs(&costs);
    report_memory(&memory);
    let why = "what one node asks of an API server with 250 fat pods, and the memory it takes";
    process::step("api server", why, || {
        println!();
        let mut lab = Command::new(&built.lab);
        lab.arg("load").arg("--auditor").arg(&subject.auditor);
        lab.args(["--rest", &args.rest.to_string()]);
        process::run(&mut lab)
    })?;
    println!("  goal: resident at most {MEMORY_GOAL_MIB} MiB");
    Ok(ExitCode::SUCCESS)
}

fn report_opens(
    backend: &str,
    Samples {
        none,
        auditor,
        opensnoop,
    }: &Samples,
) {
    println!(
        "\nunrelated open+close, ns ({} batches each, interleaved)",
        none.len()
    );
    println!("  {:<28} {:>9} {:>9}", "", "minimum", "median");
    let rows = [
        ("no tool", none),
        ("auditor", auditor),
        ("opensnoop.bt", opensnoop),
    ];
    for (name, samples) in rows {
        println!(
            "  {name:<28} {:>9.0} {:>9.0}",
            quantile(samples, 0.0),
            quantile(samples, 0.5)
        );
    }
    let ratio = |share: f64| {
        let base = quantile(none, share);
        (quantile(auditor, share) - base) / (quantile(opensnoop, share) - base)
    };
    let (minimum, median) = (ratio(0.0), ratio(0.5));
    println!(
        "  {:<28} {minimum:>9.2} {median:>9.2}  goal: at most {RATIO_GOAL} ({backend} backend)",
        "added, auditor / opensnoop"
    );
}

fn report_programs(
    Costs {
        unrelated,
        matching,
    }: &Costs,
) {
    println!(
        "\nBPF programs (run_time_ns / run_cnt; the statistics themselves take about 30 ns of each run;\n\
         runs by every process of the machine count, the auditor's own among them)"
    );
    println!(
        "  {:<10} {:<20} {:>13} {:>10}",
        "open", "program", "runs per open", "ns per run"
    );
    for (kind, costs) in [("unrelated", unrelated), ("token", matching)] {
        for Cost {
            program,
            runs_per_open,
            nanoseconds_per_run,
        } in costs
        {
            println!(
                "  {kind:<10} {program:<20} {runs_per_open:>13.2} {nanoseconds_per_run:>10.1}"
            );
        }
    }
}

fn report_memory(Memory { now, peak }: &Memory) {
    println!("\nmemory of `auditor run`, {PODS} pods, {ASSOCIATIONS} associations");
    println!("  resident {now:.1} MiB (peak {peak:.1})  goal: at most {MEMORY_GOAL_MIB} MiB");
}

/// The sample at a share of the sorted ones: 0 is the minimum, 0.5 the median.
fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let samples = [3.0, 1.0, 2.0];
        assert_eq!(
            (quantile(&samples, 0.0), quantile(&samples, 0.5)),
            (1.0, 2.0)
        );
        assert!(quantile(&[], 0.5).is_nan());
    }
}
