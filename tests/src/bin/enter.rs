//! Becomes another program in another place.
//!
//! `enter [--cgroup DIR] [--netns FILE] [--hide DIR] [--unmount DIR] [--drop-capabilities] -- PROGRAM ARG…`
//! `--hide` and `--unmount` happen in a mount namespace of its own.

use std::{
    os::{fd::AsFd, unix::process::CommandExt},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail};
use lab::{
    cgroup,
    sys::{mounts, netns},
};
use rustix::{
    mount::{MountPropagationFlags, mount_change},
    thread::{
        CapabilitySet, LinkNameSpaceType, UnshareFlags, move_into_link_name_space,
        remove_capability_from_bounding_set, unshare_unsafe,
    },
};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let mut private_mounts = false;
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
                    // SAFETY: one thread, and no descriptor table is unshared.
                    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.context("unshare the mounts")?;
                    mount_change(
                        "/",
                        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
                    )?;
                    private_mounts = true;
                }
                let dir = value()?;
                if flag == "--hide" {
                    mounts::tmpfs(Path::new(&dir), "mode=0755")?;
                } else {
                    mounts::detach(Path::new(&dir)).with_context(|| format!("unmount {dir}"))?;
                }
            }
            "--drop-capabilities" => drop_capabilities()?,
            other => bail!("unknown option {other}"),
        }
    }
    let program = args.next().context("no program")?;
    Err(Command::new(&program).args(args).exec()).context(program)
}

/// Root's capabilities after an exec are what the bounding set leaves.
fn drop_capabilities() -> Result<()> {
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Newer capabilities than this kernel knows.
            Err(rustix::io::Errno::INVAL) => {}
            result => result.with_context(|| format!("drop {capability:?}"))?,
        }
    }
    Ok(())
}
