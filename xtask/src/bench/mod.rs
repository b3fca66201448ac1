//! `cargo xtask bench`: what the auditor costs, measured on this machine, each figure beside its goal, in one file with plots.

mod burst;
mod counted;
pub mod lab;
mod machine;
mod markdown;
mod memory;
mod opens;
mod paced;
mod part;
mod programs;
mod rest;
mod section;
mod stage;
pub mod svg;

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::{
    apt,
    build::{self, Built},
    daemon::Daemon,
    node::Node,
    process,
    vm::Backend,
};
use machine::Machine;
use markdown::Run;
use part::Part;
use section::Section;
use stage::Stage;

const PODS: u32 = 250;
const ASSOCIATIONS: u32 = 1000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                    everything, to docs/benchmarks.md: some 35 minutes on two processors
  cargo xtask bench --quick            less of each, without the virtual machine: some 3 minutes
  cargo xtask bench --only pace

A goal missed is reported, not an error: these are measurements of this machine at this moment.")]
pub struct Args {
    /// Less of each; what takes a virtual machine is skipped.
    #[arg(long)]
    quick: bool,
    /// Only this part; repeatable.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Rounds of `opens`, in each of which every tool is measured.
    #[arg(long)]
    rounds: Option<u32>,
    /// Runs of `burst`.
    #[arg(long)]
    runs: Option<u32>,
    /// Opens in each run of `burst`.
    #[arg(long)]
    opens: Option<u64>,
    /// Seconds that a node is watched at rest against an API server.
    #[arg(long)]
    rest: Option<u32>,
    #[arg(long, default_value = "syscall")]
    backend: Backend,
    /// Where benchmarks.md and benchmarks/*.svg are written: docs for a whole run, else benchmarks in cargo's target directory.
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// What is measured, and with what.
struct Subject {
    auditor: PathBuf,
    lab: PathBuf,
    /// The lab's `flood`, which opens files in a loop.
    flood: PathBuf,
    node: Node,
    backend: &'static str,
}

impl Subject {
    fn start(&self) -> Result<Daemon> {
        Daemon::start(&self.auditor, &self.node, self.backend)
    }

    /// Opens and closes a file so often.
    fn open(&self, path: &Path, opens: u32) -> Result<()> {
        let mut flood = Command::new(&self.flood);
        flood.arg("time").arg(path).args([&opens.to_string(), "1"]);
        process::capture(&mut flood).map(drop)
    }
}

/// Prints the tables, and writes them.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("the benchmark loads BPF and mounts token volumes: run `cargo xtask bench` as root");
    }
    if args.rounds == Some(0) || args.runs == Some(0) || args.opens == Some(0) {
        bail!("--rounds 0, --runs 0 and --opens 0 measure nothing");
    }
    if let Err(error) = apt::ensure_program("bpftool", "bpftool", "names of BPF programs") {
        println!("programs will have no names: {error:#}");
    }
    let built = build::release()?;
    let machine = Machine::this();
    let begun = Instant::now();
    let sections = measure(args, &built)?;
    for section in &sections {
        print!("{}", section.text());
    }
    let (command, directory) = (shown(args), directory(args));
    let run = Run {
        machine: &machine,
        command: &command,
        took_seconds: begun.elapsed().as_secs(),
    };
    markdown::write(&directory, &run, &sections)?;
    let figures = || sections.iter().flat_map(|section| &section.figures);
    let with = |met| figures().filter(|figure| figure.met == met).count();
    println!(
        "{} goals met, {} missed, {} not measured",
        with(Some(true)),
        with(Some(false)),
        with(None)
    );
    Ok(ExitCode::SUCCESS)
}

/// Every part that is asked for; one that fails says so in its place, and the others go on.
fn measure(args: &Args, built: &Built) -> Result<Vec<Section>> {
    let stage = Stage::mount()?;
    let node = Node::create(&stage.directory().join("node"), PODS, ASSOCIATIONS)?;
    let tokens = (0..PODS).map(|pod| node.mount_token(pod));
    let tokens = tokens.collect::<Result<Vec<PathBuf>>>()?;
    let token = tokens.first().context("no token volume")?;
    let subject = Subject {
        auditor: built.auditor.clone(),
        lab: built.lab.clone(),
        flood: built.lab.with_file_name("flood"),
        node,
        backend: args.backend.name(),
    };
    let is_asked = |part: &&Part| args.only.is_empty() || args.only.contains(part);
    let parts = Part::value_variants().iter().filter(is_asked);
    let sections = parts.map(|part| {
        let measured = process::step(part.name(), "part of the benchmark", || {
            part.measure(args, &subject, built, token)
        });
        measured.unwrap_or_else(|error| {
            println!("{} could not be measured: {error:#}", part.name());
            part.failed(&error)
        })
    });
    Ok(sections.collect())
}

/// The command line, as one would type it.
fn shown(args: &Args) -> String {
    let mut command = "cargo xtask bench".to_owned();
    if args.quick {
        command.push_str(" --quick");
    }
    for part in &args.only {
        command.push_str(&format!(" --only {}", part.name()));
    }
    if let Some(runs) = args.runs {
        command.push_str(&format!(" --runs {runs}"));
    }
    if let Some(rounds) = args.rounds {
        command.push_str(&format!(" --rounds {rounds}"));
    }
    command
}

fn directory(args: &Args) -> PathBuf {
    let whole = !args.quick && args.only.is_empty();
    args.output.clone().unwrap_or_else(|| match whole {
        true => process::workspace().join("docs"),
        false => process::target_directory().join("benchmarks"),
    })
}
