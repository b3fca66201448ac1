//! `cargo xtask bench`: what the auditor costs, measured on this machine, each figure beside its goal, in one file with plots.

mod burst;
mod counted;
pub mod lab;
mod machine;
mod markdown;
mod memory;
pub mod open_loop;
mod opens;
mod paced;
mod programs;
mod rest;
mod section;
mod stage;
pub mod svg;

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    time::{Duration, Instant},
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
use section::{Figure, Section, Table};
use stage::Stage;

const PODS: u32 = 250;
const ASSOCIATIONS: u32 = 1000;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask bench                    everything, to docs/benchmarks.md: some 25 minutes on two processors
  cargo xtask bench --quick            less of each, without the virtual machine: some 3 minutes
  cargo xtask bench --only burst --runs 100

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
    #[arg(long, default_value_t = 1_000_000)]
    opens: u64,
    /// Seconds that a node is watched at rest against an API server.
    #[arg(long)]
    rest: Option<u32>,
    #[arg(long, default_value = "syscall")]
    backend: Backend,
    /// Where benchmarks.md and benchmarks/*.svg are written: docs for a whole run, else benchmarks in cargo's target directory.
    #[arg(long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

/// A part of the benchmark, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Memory and processor time of an auditor that has nothing to do.
    Rest,
    /// What each BPF program takes, as the kernel counts it.
    Programs,
    /// What an open+close costs more, beside other tools.
    Opens,
    /// Delay and processor time at 100 and 1,000 matching opens a second.
    Pace,
    /// A million opens of one pod, and a theft.
    Burst,
    /// 200,000 matching opens a second of 2,000 keys.
    Flood,
    /// The cost of an open+close with fentry, counted in a virtual machine.
    Instructions,
    /// What one node asks of an API server.
    Api,
}

/// What is measured, and with what.
struct Subject {
    auditor: PathBuf,
    lab: PathBuf,
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
    fn time_opens(
        &self,
        path: &std::path::Path,
        iterations: u32,
        batches: u32,
    ) -> Result<Vec<f64>> {
        open_loop::measure(&self.opener, path, iterations, batches)
    }
}

/// Prints the tables, and writes them.
pub fn run(args: &Args) -> Result<ExitCode> {
    if !process::is_root() {
        bail!("the benchmark loads BPF and mounts token volumes: run `cargo xtask bench` as root");
    }
    if args.rounds == Some(0) || args.runs == Some(0) || args.opens == 0 {
        bail!("--rounds 0, --runs 0 and --opens 0 measure nothing");
    }
    if let Err(error) = apt::ensure_program("bpftool", "bpftool", "names of BPF programs") {
        println!("programs will have no names: {error:#}");
    }
    let built = build::release()?;
    let opener = build::optimised_xtask()?;
    let machine = Machine::this();
    let begun = Instant::now();
    let sections = measure(args, &built, opener)?;
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
fn measure(args: &Args, built: &Built, opener: PathBuf) -> Result<Vec<Section>> {
    let stage = Stage::mount()?;
    let node = Node::create(&stage.directory().join("node"), PODS, ASSOCIATIONS)?;
    let tokens = (0..PODS).map(|pod| node.mount_token(pod));
    let tokens = tokens.collect::<Result<Vec<PathBuf>>>()?;
    let token = tokens.first().context("no token volume")?;
    let subject = Subject {
        auditor: built.auditor.clone(),
        lab: built.lab.clone(),
        opener,
        node,
        backend: args.backend.name(),
    };
    let mut sections = Vec::new();
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        let name = part.to_possible_value();
        let name = name
            .map(|name| name.get_name().to_owned())
            .unwrap_or_default();
        let measured = process::step(&name, "part of the benchmark", || {
            one(*part, args, &subject, built, token)
        });
        sections.push(measured.unwrap_or_else(|error| {
            println!("{name} could not be measured: {error:#}");
            failed(*part, &error)
        }));
    }
    Ok(sections)
}

fn one(
    part: Part,
    args: &Args,
    subject: &Subject,
    built: &Built,
    token: &std::path::Path,
) -> Result<Section> {
    let quick = args.quick;
    let of = |full: u32, less: u32| if quick { less } else { full };
    match part {
        Part::Rest => rest::measure(subject, Duration::from_secs(of(60, 10).into())),
        Part::Programs => programs::section(subject, token),
        Part::Opens => opens::native(subject, args.rounds.unwrap_or(of(8, 1))),
        Part::Pace => paced::pace(subject, f64::from(of(30, 5))),
        Part::Burst => burst::measure(subject, args.runs.unwrap_or(of(25, 3)), args.opens),
        Part::Flood => paced::flood(subject, f64::from(of(10, 5))),
        Part::Instructions if quick && args.only.is_empty() => {
            let goal = "unrelated open+close with fentry, in instructions";
            Ok(Section {
                name: "instructions",
                title: "Cost of an open+close with fentry, in instructions",
                figures: vec![Figure::unmeasured(goal, "as of a whole run", "--quick")],
                ..Section::default()
            })
        }
        Part::Instructions => counted::measure(built, of(2, 1)),
        Part::Api => api(subject, args.rest.unwrap_or(of(125, 10))),
    }
}

fn failed(part: Part, error: &anyhow::Error) -> Section {
    let name = match part {
        Part::Rest => "rest",
        Part::Programs => "programs",
        Part::Opens => "opens",
        Part::Pace => "pace",
        Part::Burst => "burst",
        Part::Flood => "flood",
        Part::Instructions => "instructions",
        Part::Api => "api",
    };
    Section {
        name,
        title: name,
        how: "It could not be measured.".to_owned(),
        figures: vec![Figure::unmeasured(
            name,
            "all of this part",
            &format!("{error:#}"),
        )],
        ..Section::default()
    }
}

/// `lab load`, as it prints it.
fn api(subject: &Subject, rest: u32) -> Result<Section> {
    let mut lab = Command::new(&subject.lab);
    lab.arg("load").arg("--auditor").arg(&subject.auditor);
    lab.args(["--backend", subject.backend, "--rest", &rest.to_string()]);
    println!("$ {}", process::shown(&lab));
    let printed = process::capture(&mut lab)?;
    let mut table = Table::new(["what one node asks of an API server"]);
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        table.rows.push(vec![words.join(" ")]);
    }
    Ok(Section {
        name: "api",
        title: "What one node asks of an API server",
        how: format!(
            "The lab's API server with {PODS} fat pods, and `sync-associations` with {ASSOCIATIONS} associations beside it; \
             {rest} s at rest."
        ),
        tables: vec![table],
        ..Section::default()
    })
}

/// The command line, as one would type it.
fn shown(args: &Args) -> String {
    let mut command = "cargo xtask bench".to_owned();
    if args.quick {
        command.push_str(" --quick");
    }
    for part in &args.only {
        if let Some(name) = part.to_possible_value() {
            command.push_str(&format!(" --only {}", name.get_name()));
        }
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
