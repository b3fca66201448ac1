//! What is left where the lab is interrupted: nothing.

use std::thread;

use anyhow::{Context, Result};
use lab::cleanup;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Ctrl-C leaves nothing behind either.
pub fn clean_up_on_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("watch for signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            if let Err(e) = cleanup::remove_own() {
                eprintln!("cleaning up after the lab: {e:#}");
            }
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}
