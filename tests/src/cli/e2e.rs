//! `lab e2e`: end to end with real parts.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use lab::{
    containerd, helpers_beside_self, kubernetes,
    play::Score,
    prometheus,
    report::{Color, Paint},
};

use super::auditor::AuditorArgs;

#[derive(Subcommand)]
pub enum EndToEnd {
    /// Containers made by containerd and runc; the lab plays the kubelet. Ends with `N passed, N failed, N skipped`.
    Containerd {
        #[command(flatten)]
        auditor: AuditorArgs,
        /// Run the auditor as the DaemonSet in this YAML says, from an image that holds --auditor alone; else --auditor runs as a process
        /// of the node.
        #[arg(long, value_name = "PATH")]
        manifest: Option<PathBuf>,
        /// From this OCI archive (`cargo xtask image`) instead.
        #[arg(long, value_name = "ARCHIVE", requires = "manifest")]
        image: Option<PathBuf>,
        /// Play only this scene; repeatable.
        #[arg(long = "scene", value_name = "NAME")]
        scenes: Vec<String>,
        /// Short-lived containers, each in a pod of its own, after the scenes; 0 for none.
        #[arg(long, default_value_t = 1_000)]
        count: u32,
        #[arg(long, value_enum, default_value_t)]
        color: Color,
    },
    /// A real kube-apiserver on etcd (`cargo xtask e2e apiserver` makes them). Ends with `N passed, N failed, N skipped`.
    Apiserver(ApiserverArgs),
    /// Install, upgrade and remove as docs/install.md says, with kubectl and Helm, on a real kube-apiserver with its controllers.
    /// Ends with `N passed, N failed, N skipped`.
    Installation(InstallationArgs),
    /// A real Prometheus that scrapes the auditor while thefts are played: the alerts must fire. Ends with
    /// `N passed, N failed, N skipped`.
    Prometheus(PrometheusArgs),
}

#[derive(Args)]
pub struct PrometheusArgs {
    #[command(flatten)]
    auditor: AuditorArgs,
    #[arg(long, value_name = "PATH")]
    prometheus: PathBuf,
    /// The rule file, in `manifests/alerts`.
    #[arg(long, value_name = "PATH")]
    rules: PathBuf,
    /// Queries to ask at the end, as `cargo xtask e2e prometheus` takes them from the dashboard.
    #[arg(long, value_name = "PATH", requires = "answers")]
    queries: Option<PathBuf>,
    /// Where they go, with their answers.
    #[arg(long, value_name = "PATH", requires = "queries")]
    answers: Option<PathBuf>,
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Args)]
pub struct ApiserverArgs {
    #[command(flatten)]
    auditor: AuditorArgs,
    #[arg(long, value_name = "PATH")]
    kube_apiserver: PathBuf,
    #[arg(long, value_name = "PATH")]
    etcd: PathBuf,
    /// Play only this scene; repeatable.
    #[arg(long = "scene", value_name = "NAME")]
    scenes: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

#[derive(Args)]
pub struct InstallationArgs {
    /// The auditor's executable, which is the syncer too.
    #[arg(long, value_name = "PATH")]
    auditor: PathBuf,
    #[arg(long, value_name = "PATH")]
    kube_apiserver: PathBuf,
    #[arg(long, value_name = "PATH")]
    kube_controller_manager: PathBuf,
    #[arg(long, value_name = "PATH")]
    etcd: PathBuf,
    /// Where kubectl, and Python with Helm as a library, are (`tests/manifests/requirements.txt`).
    #[arg(long, value_name = "DIR")]
    venv: PathBuf,
    /// What is installed, and by which document: the workspace, or a copy of it.
    #[arg(long, value_name = "DIR")]
    workspace: PathBuf,
    /// Play only this round: kubectl, overlay, helm or helm-shared; repeatable.
    #[arg(long = "round", value_name = "NAME")]
    rounds: Vec<String>,
    #[arg(long, value_enum, default_value_t)]
    color: Color,
}

pub fn run(what: EndToEnd) -> Result<Score> {
    match what {
        EndToEnd::Containerd {
            auditor,
            image,
            manifest,
            scenes,
            count,
            color,
        } => {
            let options = containerd::Options {
                auditor: auditor.options()?,
                helpers: helpers_beside_self()?,
                scenes,
                shipped: manifest.map(|manifest| containerd::Shipped {
                    archive: image,
                    manifest,
                }),
                churn: count,
                paint: Paint::new(color),
            };
            containerd::run(&options)
        }
        EndToEnd::Apiserver(args) => {
            let options = kubernetes::Options {
                auditor: args.auditor.options()?,
                helpers: helpers_beside_self()?,
                programs: kubernetes::Programs {
                    apiserver: std::path::absolute(args.kube_apiserver)?,
                    controller_manager: None,
                    etcd: std::path::absolute(args.etcd)?,
                },
                scenes: args.scenes,
                paint: Paint::new(args.color),
            };
            kubernetes::run(&options)
        }
        EndToEnd::Installation(args) => {
            let options = kubernetes::installation::Options {
                auditor: std::path::absolute(args.auditor)?,
                helpers: helpers_beside_self()?,
                programs: kubernetes::Programs {
                    apiserver: std::path::absolute(args.kube_apiserver)?,
                    controller_manager: Some(std::path::absolute(args.kube_controller_manager)?),
                    etcd: std::path::absolute(args.etcd)?,
                },
                venv: std::path::absolute(args.venv)?,
                workspace: std::path::absolute(args.workspace)?,
                rounds: args.rounds,
                paint: Paint::new(args.color),
            };
            kubernetes::installation::run(&options)
        }
        EndToEnd::Prometheus(args) => {
            let options = prometheus::Options {
                auditor: args.auditor.options()?,
                helpers: helpers_beside_self()?,
                prometheus: std::path::absolute(args.prometheus)?,
                rules: std::path::absolute(args.rules)?,
                queries: args.queries.zip(args.answers),
                paint: Paint::new(args.color),
            };
            prometheus::run(&options)
        }
    }
}
