//! `cargo xtask e2e`: end to end with real parts, each suite with its own counts.

mod apiserver;
pub mod containerd;
mod kubernetes;
mod prometheus;
mod shipping;

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use crate::summary::Counts;

pub use containerd::ci as containerd_ci;
pub use prometheus::ci as prometheus_ci;
pub use shipping::{FIXTURES, ci as shipping_ci, fixtures_file};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask e2e containerd                 scenes in real containers, then 1,000 short-lived ones
  cargo xtask e2e containerd --count 50 -- --scene rotation
  cargo xtask e2e apiserver                  a real kube-apiserver and its controllers; builds them once, about 10 minutes
  cargo xtask e2e apiserver --only installation   kubectl and Helm install, upgrade and remove by docs/install.md
  cargo xtask e2e shipping                   OCSF against its schema; Fluent Bit and Vector, where they are
  cargo xtask e2e prometheus                 a real Prometheus; each alert fires for a theft that is played
  cargo xtask e2e prometheus --picture       the same, and draws docs/dashboard.svg from it")]
pub struct Args {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Real containers: containerd and runc from Debian, the lab plays the kubelet. Needs root.
    Containerd(containerd::Args),
    /// A real kube-apiserver with etcd: killed, compacted, away for a while; then installed on, upgraded and removed from, with its
    /// controllers. Needs root.
    Apiserver(apiserver::Args),
    /// Every scene as OCSF, against the schema of OCSF; Fluent Bit and Vector on real lines, where they are. Needs root.
    Shipping(shipping::Args),
    /// A real Prometheus scrapes the auditor during thefts: its alerts must fire, and name the workloads. Needs root.
    Prometheus(prometheus::Args),
}

/// The last line is `N passed, N failed, N skipped`; exit code 1 if any failed.
pub fn run(args: &Args) -> Result<ExitCode> {
    let counts: Counts = match &args.suite {
        Suite::Containerd(args) => containerd::run(args)?,
        Suite::Apiserver(args) => apiserver::run(args)?,
        Suite::Shipping(args) => shipping::run(args)?,
        Suite::Prometheus(args) => prometheus::run(args)?,
    };
    println!("{counts}");
    Ok(if counts.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
