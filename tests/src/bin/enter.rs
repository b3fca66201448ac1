//! Becomes another program in another place.
//!
//! `enter [--cgroup DIR] [--netns FILE] [--hide DIR] [--unmount DIR] [--drop-capabilities] [--confined [--without CAPABILITY]]
//! [--unshare] -- PROGRAM ARG…`
//! `--hide` and `--unmount` happen in a mount namespace of its own. `--unshare`: the program is the first process of a new
//! pid namespace, in a mount namespace of its own (as `unshare --pid --fork --mount`). `--confined`: with the privileges that the
//! DaemonSet's container has, see `lab::confinement`.

use std::{
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};
use lab::{
    cgroup,
    confinement::Confinement,
    sys::{capabilities, mounts, netns},
};
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut private_mounts = false;
    let mut unshare = false;
    let mut confinement: Option<Confinement> = None;
    loop {
        let flag = args
            .next()
            .context("usage: enter [OPTION…] -- PROGRAM ARG…")?;
        let mut value = || args.next().with_context(|| format!("{flag} needs a value"));
        match flag.as_str() {
            "--" => break,
            "--cgroup" => cgroup::join(Path::new(&value()?))?,
            "--netns" => {
                let ns = netns::open(Path::new(&value()?))?;
                move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("enter the network")?;
            }
            "--hide" | "--unmount" => {
                if !private_mounts {
                    unshare_mounts_and(UnshareFlags::empty())?;
                    private_mounts = true;
                }
                let dir = value()?;
                if flag == "--hide" {
                    mounts::tmpfs(Path::new(&dir), "mode=0755")?;
                } else {
                    mounts::detach(Path::new(&dir)).with_context(|| format!("unmount {dir}"))?;
                }
            }
            "--drop-capabilities" => capabilities::bound_to(0)?,
            "--confined" => confinement = Some(Confinement::of_manifest()?),
            "--without" => {
                let whole = confinement.context("--without is of --confined")?;
                confinement = Some(whole.without(&value()?)?);
            }
            "--unshare" => unshare = true,
            other => bail!("unknown option {other}"),
        }
    }
    let program = args.next().context("no program")?;
    let args: Vec<String> = args.collect();
    let mut command = Command::new(&program);
    command.args(&args);
    if let Some(confinement) = confinement {
        confinement.apply(&args)?;
    }
    if unshare {
        unshare_mounts_and(UnshareFlags::NEWPID)?;
        let status = command.status().context(program)?;
        // Without a code: a signal ended it.
        std::process::exit(status.code().unwrap_or(128));
    }
    Err(command.exec()).context(program)
}

fn unshare_mounts_and(others: UnshareFlags) -> Result<()> {
    // SAFETY: one thread, and no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS | others) }.context("unshare the mounts")?;
    let flags = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", flags).context("make the mounts private")
}
