//! `cargo xtask e2e containerd`: the lab's scenes in containers that containerd and runc make, while the auditor runs in one, too: the
//! image, as the DaemonSet has it.

use std::{path::Path, process::Command};

use anyhow::{Result, bail};

use crate::{
    apt,
    build::{self, Built},
    image, process,
    summary::{Counts, Format, run_counted},
};

const WHY: &str =
    "real containers; the suite runs a containerd of its own and leaves any other alone";
/// The manifest that the auditor's container is made by.
pub const DAEMONSET: &str = "manifests/kustomize/base/workloads.yaml";
/// What `cargo xtask test` can wait for.
const CI_CHURN: u32 = 50;

#[derive(clap::Args)]
pub struct Args {
    /// Short-lived containers, each in a pod of its own, after the scenes; 0 for none.
    #[arg(long, default_value_t = 1_000)]
    count: u32,
    /// As `cargo xtask test` runs it: 50 short-lived containers.
    #[arg(long, conflicts_with = "count")]
    ci: bool,
    /// The auditor as a process of the node instead of a container: no image is made.
    #[arg(long)]
    on_the_node: bool,
    /// Arguments for `lab e2e containerd`.
    #[arg(last = true)]
    lab: Vec<String>,
}

/// # Errors
/// Without root, and when a program is missing that cannot be installed.
pub fn run(args: &Args) -> Result<Counts> {
    if !process::is_root() {
        bail!(
            "real containers need root (cgroups, mounts, namespaces, BPF): run `sudo cargo xtask e2e containerd`"
        );
    }
    programs()?;
    let count = if args.ci { CI_CHURN } else { args.count };
    let built = build::release()?;
    if args.on_the_node {
        return play(&built, None, count, &args.lab);
    }
    contained(&built, count, &args.lab)
}

/// The suite as a part of `cargo xtask test`: skipped where it cannot run, and says why.
pub fn ci(built: &Built) -> Result<Counts> {
    let skipped = |why: &str| {
        println!("skipped: end to end with real containers: {why}");
        Ok(Counts {
            skipped: 1,
            ..Counts::default()
        })
    };
    if !process::is_root() {
        return skipped("not root (cgroups, mounts, namespaces and BPF need it)");
    }
    if let Err(why) = programs() {
        return skipped(&format!("{why:#}"));
    }
    contained(built, CI_CHURN, &[])
}

/// The image is made, checked, and run.
fn contained(built: &Built, count: u32, more: &[String]) -> Result<Counts> {
    let (archive, mut counts) = image::here(&built.toolchain)?;
    counts += play(built, Some(&archive), count, more)?;
    Ok(counts)
}

/// Installs what is missing.
///
/// # Errors
/// Names what cannot be installed here.
pub fn programs() -> Result<()> {
    for (program, package) in [
        ("containerd", "containerd"),
        ("ctr", "containerd"),
        ("containerd-shim-runc-v2", "containerd"),
        ("runc", "runc"),
        ("busybox", "busybox-static"),
    ] {
        apt::ensure_program(program, package, WHY)?;
    }
    Ok(())
}

/// `image`: what the auditor is run from.
fn play(built: &Built, image: Option<&Path>, count: u32, more: &[String]) -> Result<Counts> {
    let mut lab = Command::new(&built.lab);
    lab.args(["e2e", "containerd", "--auditor"])
        .arg(&built.auditor);
    if let Some(archive) = image {
        lab.arg("--image").arg(archive);
        lab.arg("--manifest")
            .arg(process::workspace().join(DAEMONSET));
    }
    lab.args(["--count", &count.to_string()]).args(more);
    run_counted(&mut lab, Format::Lab)
}
