//! `cargo xtask e2e apiserver`: the auditor against a real kube-apiserver with etcd. Not part of `cargo xtask test`: the
//! server is built from source once.

use std::process::Command;

use anyhow::{Result, bail};

use super::kubernetes::{self, Programs};
use crate::{
    apt, build, process,
    summary::{Counts, Format, run_counted},
};

#[derive(clap::Args)]
pub struct Args {
    /// Only build the server and say where it is.
    #[arg(long)]
    build_only: bool,
    /// Arguments for `lab e2e apiserver`.
    #[arg(last = true)]
    lab: Vec<String>,
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
    let mut lab = Command::new(&built.lab);
    lab.args(["e2e", "apiserver", "--auditor"])
        .arg(&built.auditor);
    lab.arg("--kube-apiserver").arg(&apiserver);
    lab.arg("--etcd").arg(&etcd).args(&args.lab);
    run_counted(&mut lab, Format::Lab)
}
