//! The lab's command line.

mod act;
mod auditor;
mod e2e;
mod measure;
mod signals;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use lab::{node::NODE_NAME, report::Color};

use self::{auditor::AuditorArgs, e2e::EndToEnd, measure::Measure};

pub use self::act::act;

/// A Kubernetes node in miniature, made of real mounts, cgroups, namespaces and processes.
#[derive(Parser)]
#[command(name = "lab", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Action,
}

#[derive(Subcommand)]
pub enum Action {
    /// Make the lab, start the auditor, play the scenes and hold its lines against what they must be.
    Play {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Play only this scene; repeatable.
        #[arg(long = "scene", value_name = "NAME")]
        scenes: Vec<String>,
        /// Play the evasion corpus too, with the same run of the auditor, after a line `guest: lab evade --backend BACKEND`.
        #[arg(long, conflicts_with = "scenes")]
        corpus: bool,
        /// Play the attack simulation too, after the scenes and with the same run of the auditor, and print what the auditor's metrics
        /// say of it, after the word `samples`.
        #[arg(long)]
        simulate: bool,
        /// With `--backend auto`: the backend that must have been chosen to watch opens.
        #[arg(long, value_name = "BACKEND")]
        must_choose: Option<String>,
        /// A kernel that refuses the backend is told as `refused BACKEND: why` and a skip, not as a failure.
        #[arg(long)]
        accept_refusal: bool,
        /// Leave the lab in place; the next run removes it.
        #[arg(long)]
        keep: bool,
        /// Print the auditor's lines, too, as it wrote them.
        #[arg(long)]
        print_lines: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// List the scenes.
    List {
        /// The evasion corpus's techniques instead.
        #[arg(long)]
        evasion: bool,
    },
    /// Play the evasion corpus, and hold the auditor's lines against what is declared for its backend. After its name, each
    /// technique's line says what of it is seen: `seen`, `partly`, `not-seen` or `harmless`. Ends with
    /// `N passed, N failed, N skipped`.
    Evade {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Play only this technique; repeatable.
        #[arg(long = "technique", alias = "scene", value_name = "NAME")]
        techniques: Vec<String>,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// Play the scenes without an auditor: does the lab itself work on this machine?
    Rehearse,
    /// Mount, open and unmount token volumes of changing pods: no open may be laid to the wrong pod. Ends with
    /// `N passed, N failed`.
    Churn {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 1_000)]
        cycles: u32,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
    },
    /// Run `auditor check` on a node in miniature: each hook must be watched by the backend that was asked for, and be proven
    /// by its canary. Ends with `N passed, N failed`.
    Check {
        /// The auditor's executable.
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
        /// auto, fentry, kprobe or syscall.
        #[arg(long, env = "AUDITOR_BACKEND", default_value = "auto")]
        backend: String,
        /// As of `play`.
        #[arg(long)]
        accept_refusal: bool,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// Of a virtual machine that was booted with `lockdown=integrity`: lock its kernel down further, and hold against it what the
    /// auditor says. Ends with `N passed, N failed`.
    Lockdown {
        /// The auditor's executable.
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// End to end with real parts.
    #[command(subcommand)]
    E2e(EndToEnd),
    /// Run the auditor against an API server with many fat pods: what it asks at start and at rest, and the memory it takes.
    Load {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 250)]
        pods: usize,
        #[arg(long, default_value_t = 1_000)]
        associations: usize,
        /// Seconds at rest.
        #[arg(long, default_value_t = 180)]
        rest: u64,
        /// Seconds between two syncs of the associations.
        #[arg(long, default_value_t = 60)]
        interval: u64,
    },
    /// Figures of the auditor, as one JSON object on the last line.
    #[command(subcommand)]
    Measure(Measure),
    /// Mixed load for minutes on end: own opens, thefts, connects, changing pods and files, a reader that falls asleep. Prints a
    /// line a check, a JSON object with samples of the auditor's memory, and ends with `N passed, N failed`.
    Soak {
        #[command(flatten)]
        auditor: AuditorArgs,
        #[arg(long, default_value_t = 30.0)]
        minutes: f64,
        /// Seconds between two samples.
        #[arg(long, default_value_t = 4.0)]
        interval: f64,
    },
    /// Be a Kubernetes API server with pods of one node, for `auditor run --cluster kube`; prints its kubeconfig's path.
    Apiserver {
        #[arg(long, default_value_t = 250)]
        pods: usize,
        /// The node that the pods run on.
        #[arg(long, value_name = "NAME", default_value = NODE_NAME)]
        node: String,
        /// Seconds between two bookmarks.
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        bookmarks: u64,
        /// Where the kubeconfig is written.
        #[arg(long, value_name = "PATH", default_value = "/tmp")]
        dir: PathBuf,
    },
    /// Load each of the auditor's programs, attach none: `probe NAME BACKEND VERIFIED_INSNS`, `loaded` where the kernel does
    /// not tell the number, or `refused: why`.
    Probes {
        #[arg(long, value_name = "PATH")]
        auditor: PathBuf,
    },
    /// Be PID 1 of a virtual machine and run the jobs of /job.
    Guest,
}
