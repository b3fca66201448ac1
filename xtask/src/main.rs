//! Developer and CI tasks of EKS Credential Auditor, one file a task. Run `cargo xtask help`.

mod apt;
mod bench;
mod build;
mod daemon;
mod demo;
mod docs;
mod doctor;
mod e2e;
mod examples;
mod fuzz;
mod image;
mod lint;
mod manifests;
mod newcomer;
mod node;
mod process;
mod prometheus;
mod setup;
mod shipped;
mod soak;
mod suite;
mod summary;
mod test;
mod toolchain;
mod venv;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, demonstrates, tests and measures EKS Credential Auditor.
///
/// Each task does its own set-up, says what it installs and why, and names the exact command where it cannot.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Examples:
  cargo xtask doctor                                 what is here, what is missing, and how to get it
  cargo xtask demo                                   build, then play every scene on this machine (root)
  cargo xtask demo -- --scene own-irsa --keep        arguments after -- go to `lab play`
  cargo xtask test                                   unit, property, end-to-end and two VM kernels
  cargo xtask examples docs/policy.md                the examples of one document
  cargo xtask fuzz --seconds 600 --target cluster    one decoder for ten minutes
  cargo xtask image                                  the container image for amd64 and arm64, with its SBOMs
  cargo xtask e2e containerd                         real containers, 1,000 short-lived ones among them
  cargo xtask vm-test --kernel 6.12 --backend kprobe
  cargo xtask bench --quick                          what the auditor costs, beside other tools and its goals
  cargo xtask soak --minutes 30                      mixed load; nothing may grow, no theft be lost"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Says what this machine has and lacks for each task, with the exact remedy.
    Doctor,
    /// Finds or installs a toolchain that builds for BPF, and says what it chose.
    Setup,
    /// Builds the auditor (BPF object embedded) and the lab.
    Build(build::Args),
    /// Builds, makes a node in miniature and plays the scenes against the real auditor. Needs root.
    Demo(demo::Args),
    /// Format check and clippy, for the host crates and for the eBPF crate on its own target; links of the documents.
    Lint,
    /// Every test; ends with one line `N passed, N failed, N skipped`.
    Test(test::Args),
    /// Fuzzes each decoder with libFuzzer, no nightly needed; ends with a table and `N passed, N failed, N skipped`.
    Fuzz(fuzz::Args),
    /// Alert rules, dashboard and runbooks: checks them with promtool, or writes the PrometheusRule.
    Manifests(manifests::Args),
    /// The documents: links, paths and the newcomer's patches are held against the tree; docs/tail.svg is drawn.
    Docs(docs::Args),
    /// The first hour of CONTRIBUTING.md, command by command in a fresh clone: a toy finding is added, tested, and seen in the demo. Needs root.
    Newcomer(newcomer::Args),
    /// The container image, from scratch and reproducible, with an SBOM; ends with `N passed, N failed, N skipped`.
    Image(image::Args),
    /// Runs every example of the documents and of `--help`; what no rule runs is a failure. Needs root.
    Examples(examples::Args),
    /// End to end with real parts: containers by containerd, a kube-apiserver, a Prometheus. Needs root.
    E2e(e2e::Args),
    /// Boots a distribution's kernel in QEMU (no KVM needed) and plays the scenes there.
    VmTest(vm::Args),
    /// Measures what the auditor costs, beside other tools and beside its goals; writes docs/benchmarks.md. Needs root and a
    /// quiet machine.
    Bench(bench::Args),
    /// The auditor under mixed load for minutes: nothing may grow, no theft be lost. Ends with `N passed, N failed, N skipped`.
    Soak(soak::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Doctor => doctor::run(),
        Task::Setup => setup::run().map(|_| ExitCode::SUCCESS),
        Task::Build(args) => build::run(&args).map(|()| ExitCode::SUCCESS),
        Task::Demo(args) => demo::run(&args),
        Task::Lint => lint::run(),
        Task::Test(args) => test::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Manifests(args) => manifests::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Newcomer(args) => newcomer::run(&args),
        Task::Image(args) => image::run(&args),
        Task::Examples(args) => examples::run(&args),
        Task::E2e(args) => e2e::run(&args),
        Task::VmTest(args) => vm::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Soak(args) => soak::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
