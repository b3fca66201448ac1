//! `cargo xtask demo`: build, then let the lab play its scenes against the real auditor on this machine.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::{build, process};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  cargo xtask demo
  cargo xtask demo -- --scene own-irsa
  cargo xtask demo --evasion
  cargo xtask demo -- --backend syscall --output-file /tmp/events.jsonl")]
pub struct Args {
    /// Play the evasion corpus instead of the scenes.
    #[arg(long)]
    evasion: bool,
    /// Arguments for `lab play`, or `lab evade`.
    #[arg(last = true)]
    play: Vec<String>,
}

/// Exit status is the lab's.
pub fn run(args: &Args) -> Result<ExitCode> {
    let built = build::release()?;
    // Only the lab and the auditor need root; the build stays the user's.
    let mut command = if process::is_root() {
        Command::new(&built.lab)
    } else if process::find("sudo").is_some() {
        println!("==> sudo: mounts, cgroups, namespaces and BPF need root");
        let mut sudo = Command::new("sudo");
        sudo.arg(&built.lab);
        sudo
    } else {
        bail!(
            "the demo makes mounts, cgroups and namespaces and loads BPF: run `cargo xtask demo` as root (there is no sudo here)"
        );
    };
    command
        .arg(if args.evasion { "evade" } else { "play" })
        .arg("--auditor")
        .arg(&built.auditor)
        .args(&args.play);
    println!("$ {}", process::shown(&command));
    let status = command.status().context("cannot start the lab")?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}
