//! `cargo xtask e2e apiserver`: the auditor against a real kube-apiserver with etcd, and the installation as docs/install.md has it, with
//! the controllers. Not part of `cargo xtask test`: the servers are built from source once.

use std::process::Command;

use anyhow::{Result, bail};

use super::kubernetes::{self, Programs};
use crate::{
    apt, build, process,
    summary::{Counts, Format, run_counted},
    venv::Venv,
};

#[derive(clap::Args)]
pub struct Args {
    /// Only build the servers and say where they are.
    #[arg(long)]
    build_only: bool,
    /// Only this part.
    #[arg(long, value_enum, conflicts_with = "build_only")]
    only: Option<Part>,
    /// Arguments for `lab e2e apiserver`.
    #[arg(last = true)]
    lab: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// The auditor, while the server is killed, compacted, away, and grants less.
    Scenes,
    /// Install, upgrade and remove, with kubectl and Helm.
    Installation,
}

/// # Errors
/// Without root, and when a part cannot be installed or built.
pub fn run(args: &Args) -> Result<Counts> {
    if !args.build_only && !process::is_root() {
        bail!(
            "the lab needs root (cgroups, mounts, namespaces, BPF): run `sudo cargo xtask e2e apiserver`"
        );
    }
    let Programs {
        apiserver,
        controller_manager,
        etcd,
    } = kubernetes::programs()?;
    for program in [&apiserver, &controller_manager, &etcd] {
        println!("{}", program.display());
    }
    if args.build_only {
        return Ok(Counts::default());
    }
    apt::ensure_program("openssl", "openssl", "certificates for the API server")?;
    apt::ensure_program("curl", "curl", "the lab makes objects in the API server")?;
    let built = build::release()?;
    let lab = |suite: &str| {
        let mut lab = Command::new(&built.lab);
        lab.args(["e2e", suite, "--auditor"]).arg(&built.auditor);
        lab.arg("--kube-apiserver").arg(&apiserver);
        lab.arg("--etcd").arg(&etcd);
        lab
    };
    let mut counts = Counts::default();
    if args.only != Some(Part::Installation) {
        counts += run_counted(lab("apiserver").args(&args.lab), Format::Lab)?;
    }
    if args.only != Some(Part::Scenes) {
        let requirements = process::workspace().join("tests/manifests/requirements.txt");
        let venv = Venv::open("manifests", &requirements)?;
        let mut lab = lab("installation");
        lab.arg("--kube-controller-manager")
            .arg(&controller_manager);
        lab.arg("--venv").arg(venv.directory());
        lab.arg("--workspace").arg(process::workspace());
        counts += run_counted(&mut lab, Format::Lab)?;
    }
    Ok(counts)
}
