//! `auditor remove-state`: nothing of the auditor stays on a node that it is taken off.

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cli::{self, Failure, RemoveStateArgs},
    state::{self, Removed},
};

/// # Errors
/// An auditor runs there, the directory is not an auditor's or holds something else, or it cannot be removed.
pub fn run(args: &RemoveStateArgs) -> Result<(), Failure> {
    let path = args.state_dir.display();
    let removed = state::remove(&args.state_dir).map_err(|error| {
        let help = error.help();
        Failure::environment(error).help(help)
    })?;
    cli::print(&match removed {
        Removed::Now => format!("removed {path}\n"),
        Removed::Before => format!("there is no {path}\n"),
    })?;
    if args.stay {
        stay()?;
    }
    Ok(())
}

fn stay() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::environment)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::environment)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::environment)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
